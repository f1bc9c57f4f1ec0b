"""Unit norms, and two vectors an item (text and image, say) made one."""

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


def combine(first: Floats, second: Floats, item_ids: Sequence[str], weight: float = 1.0) -> Floats:
    """[first, weight * second] (N, D1 + D2) after both are scaled to unit norm.

    The cosine of two combined vectors is (cos_first + weight^2 cos_second) / (1 + weight^2):
    neither the scale nor the number of dimensions of a part changes its say.
    """
    return np.concatenate(
        [
            unit_norm(first, item_ids, "the first vectors"),
            np.float32(weight) * unit_norm(second, item_ids, "embed.second"),
        ],
        axis=1,
    )
