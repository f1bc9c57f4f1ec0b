"""What two versions of a code table have in common."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sidmint.diagnostics.alignment import alignment, renamed
from sidmint.errors import BadInput
from sidmint.types import Ints


@dataclass(frozen=True)
class Stability:
    """Share of items whose first 1, 2, ... L codes are the same before and after.

    `matched` is the same after each level's codes were renamed by the best one-to-one matching:
    a permuted codebook is no geometric change (matched 1.0), but it breaks every recommender
    that was trained on the old codes (raw 0.0).
    """

    raw: tuple[float, ...]
    matched: tuple[float, ...]

    @property
    def churn(self) -> tuple[float, ...]:
        """Share of items whose first 1, 2, ... L codes are others than before, as written."""
        return tuple(1 - share for share in self.raw)

    @property
    def aligned_churn(self) -> tuple[float, ...]:
        """The same, had the codes of each level been named as before: not a matter of numbers."""
        return tuple(1 - share for share in self.matched)


def stability(before: Ints, after: Ints) -> Stability:
    """`Stability` of two code tables (N, L) over the same items, row by row.

    Rows are the items that both versions have; count items added and removed beside it. The
    matching is that of `alignment`, each level by itself: at the first level `matched` is never
    below `raw`.
    """
    if before.shape != after.shape or before.ndim != 2 or before.size == 0:
        raise BadInput(
            f"stability wants two code tables of one shape, got {before.shape} and {after.shape}; "
            "keep the items that both versions have, in one order"
        )
    sizes = (np.maximum(before.max(axis=0), after.max(axis=0)) + 1).tolist()
    names = alignment(before, after, sizes)
    return Stability(_unchanged(before, after), _unchanged(before, renamed(after, names)))


def _unchanged(one: Ints, other: Ints) -> tuple[float, ...]:
    same = np.logical_and.accumulate(one == other, axis=1)
    return tuple(same.mean(axis=0).tolist())
