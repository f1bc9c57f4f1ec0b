"""Vectors of unit norm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sidmint.embedding.checks import norms
from sidmint.errors import BadInput
from sidmint.types import Floats


def unit_norm(vectors: Floats, item_ids: Sequence[str], name: str = "the vectors") -> Floats:
    """`vectors` (N, D) divided by their norms; a vector without a direction is `BadInput`."""
    lengths = norms(vectors)
    bad = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if len(bad):
        raise BadInput(
            f"{name}: item {item_ids[bad[0]]} has a vector of norm {lengths[bad[0]]:g} "
            f"({len(bad)} such items), which has no direction; encode it again or remove the item"
        )
    return (vectors / lengths[:, None]).astype(np.float32)
