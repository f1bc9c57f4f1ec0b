"""What two versions of a code table have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidmint.diagnostics.alignment import names_of_pairs, renamed
from sidmint.errors import BadInput
from sidmint.tallies import Tally, merge_tallies
from sidmint.types import Ints

_CODE_BITS = np.uint64(32)

Blocks = Callable[[], Iterable[tuple[Ints, Ints]]]
"""Pieces of two code tables (n, L) over the same items, the same whenever it is asked."""


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
    return stability_of_blocks(lambda: [(before, after)])


def stability_of_blocks(blocks: Blocks) -> Stability:
    """`stability` of all rows of `blocks`, however they are cut, to the bit.

    They are read twice. In memory is a piece, and beside it 16 bytes for each pair of an old and a
    new code that some item has, each level by itself.
    """
    pairs: list[Tally] = []
    unchanged: npt.NDArray[np.int64] | None = None
    for before, after in blocks():
        _require_one_shape(before, after)
        found = _unchanged(before, after)
        unchanged = found if unchanged is None else unchanged + found
        pairs = pairs or [Tally.empty(1) for _ in found]
        pairs = [
            merge_tallies(known, _pairs(old, new))
            for known, old, new in zip(pairs, before.T, after.T, strict=True)
        ]
    if unchanged is None:
        raise BadInput("stability wants items that both versions have, got none")
    names = tuple(map(_names, pairs))
    matched = np.zeros_like(unchanged)
    for before, after in blocks():
        matched += _unchanged(before, renamed(after, names))
    num_items = int(pairs[0].counts.sum())
    return Stability(*(tuple((each / num_items).tolist()) for each in (unchanged, matched)))


def _require_one_shape(before: Ints, after: Ints) -> None:
    if before.shape != after.shape or before.ndim != 2 or before.size == 0:
        raise BadInput(
            f"stability wants two code tables of one shape, got {before.shape} and {after.shape}; "
            "keep the items that both versions have, in one order"
        )


def _unchanged(one: Ints, other: Ints) -> npt.NDArray[np.int64]:
    """Items (L,) whose first 1, 2, ... codes are the same."""
    same = np.logical_and.accumulate(one == other, axis=1)
    return np.asarray(same.sum(axis=0), dtype=np.int64)


def _pairs(before: Ints, after: Ints) -> Tally:
    """How many items have each old code (upper half of a word) and new code (lower half)."""
    words = before.astype(np.uint64) << _CODE_BITS | after.astype(np.uint64)
    found, counts = np.unique(words, return_counts=True)
    return Tally(found[:, None], counts.astype(np.int64))


def _names(pairs: Tally) -> npt.NDArray[np.int32]:
    words = pairs.words[:, 0]
    before, after = (words >> _CODE_BITS).astype(np.int32), words.astype(np.uint32).astype(np.int32)
    size = int(max(before.max(), after.max())) + 1
    return names_of_pairs(before, after, pairs.counts, size)
