"""Shannon entropy of counts, in nats."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sidmint.errors import BadInput


def entropy(counts: npt.ArrayLike, times: npt.ArrayLike = 1) -> float:
    """Entropy of the distribution proportional to `counts`; zeros add nothing.

    H = ln n - (1/n) sum m c ln c with n = sum m c, where each count c occurs m = `times` times:
    a million buckets of one item are one count and one number.
    """
    values = np.asarray(counts, dtype=np.float64)
    weights = np.asarray(times, dtype=np.float64) * values
    total = weights.sum()
    if total == 0:
        raise BadInput("the entropy of no items is not defined; the catalogue is empty")
    # max: for one used code the difference is 0 up to rounding, and may come out below it.
    used = values > 0
    return float(max(np.log(total) - (weights[used] @ np.log(values[used])) / total, 0.0))
