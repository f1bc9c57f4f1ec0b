"""Which fits the rows of docs/results are of."""

from __future__ import annotations

from sidmint.stages.train import RESULT_VERSION

_ALIKE = (4, 5)
"""Versions of stage train that fit the benchmarks' catalogues to the same bytes: the fifth changed
fits on more than 256 MiB of vectors alone."""

FIT_VERSION = _ALIKE[0] if RESULT_VERSION in _ALIKE else RESULT_VERSION
"""What a row says and is asked for; the next version of train makes every row an older one."""
