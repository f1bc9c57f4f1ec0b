"""Vectors of unit norm."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sidmint.embedding.checks import ItemIds, norms
from sidmint.errors import BadInput
from sidmint.rows import Rows, rows_made
from sidmint.types import Floats


def unit_norm(vectors: Floats, item_ids: ItemIds, name: str = "the vectors") -> Floats:
    """`vectors` (N, D) divided by their norms; a vector without a direction is `BadInput`."""
    lengths = norms(vectors)
    _require_directions(lengths, item_ids, name)
    return _divided(vectors, lengths)


def unit_rows(vectors: Rows, item_ids: ItemIds, name: str = "the vectors") -> Rows:
    """`unit_norm` of rows that may lie in a file: many are scaled whenever they are read."""
    _require_directions(norms(vectors), item_ids, name)
    return rows_made(vectors, lambda piece: _divided(piece, norms(piece)))


def _divided(vectors: Floats, lengths: npt.NDArray[np.float64]) -> Floats:
    return (vectors / lengths[:, None]).astype(np.float32)


def _require_directions(lengths: npt.NDArray[np.float64], item_ids: ItemIds, name: str) -> None:
    bad = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if len(bad):
        first = int(bad[0])
        raise BadInput(
            f"{name}: item {item_ids[first]} has a vector of norm {lengths[first]:g} "
            f"({len(bad)} such items), which has no direction; encode it again or remove the item"
        )
