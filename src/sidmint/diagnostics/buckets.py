"""How items fall into buckets by their prefixes: sizes alone, at any number of items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidmint.diagnostics.entropy import entropy
from sidmint.packing import (
    ROWS_AT_ONCE,
    CodeArray,
    Keys,
    append_levels,
    bits_of_levels,
    level_groups,
    rank,
)


@dataclass(frozen=True)
class BucketSizes:
    """Items with one prefix are a bucket; `num_buckets[i]` buckets hold `sizes[i]` items each.

    `sizes` (S,) rise. N items fall into buckets of at most sqrt(2 N) different sizes, so this
    is short at any N; usage, collisions and branching need no more.
    """

    sizes: npt.NDArray[np.int64]
    num_buckets: npt.NDArray[np.int64]

    @classmethod
    def of(cls, held: npt.NDArray[np.int64]) -> BucketSizes:
        """Of buckets that hold so many items each: `held` (B,), in any order; zeros are none."""
        sizes, num_buckets = np.unique(held[held > 0], return_counts=True)
        return cls(sizes.astype(np.int64), num_buckets.astype(np.int64))

    @property
    def num_items(self) -> int:
        """N."""
        return int(self.sizes @ self.num_buckets)

    @property
    def num_distinct(self) -> int:
        """Distinct prefixes."""
        return int(self.num_buckets.sum())

    @property
    def entropy(self) -> float:
        """H of the prefix in nats: 0 where all share one, ln N where each stands alone."""
        return entropy(self.sizes, self.num_buckets)


def bucket_sizes(codes: CodeArray) -> tuple[BucketSizes, ...]:
    """`BucketSizes` of `codes` (N, L) by the first 1, 2, ... L codes, from one sort.

    Codes may be of any integer type and lie in a file (`np.memmap`), which is read in pieces.
    Memory beyond the codes: 8 bytes a row, and 16 where a row needs more than 64 bits (one sort
    for each 64 then), plus a few MB. Exact for any number of levels.
    """
    bits = bits_of_levels(codes)
    keys: Keys = np.zeros(len(codes), dtype=np.uint64)
    found = []
    for levels in level_groups(bits, len(codes)):
        append_levels(keys, codes, levels, bits)
        is_last = levels.stop == len(bits)
        ordered = keys if is_last else keys.copy()
        ordered.sort()
        found += [_runs(ordered, sum(bits[length : levels.stop])) for length in _lengths(levels)]
        if not is_last:
            rank(keys, ordered)
        del ordered  # or the copy of the next group would be a third array
    return tuple(found)


def merge_bucket_sizes(parts: Iterable[BucketSizes]) -> BucketSizes:
    """`BucketSizes` of all rows from those of parts of them, in any order and grouping.

    Exact where no bucket has items in two parts: part the rows by (some of) the codes of the
    prefix, never by row number.
    """
    tally: Counter[int] = Counter()
    for part in parts:
        tally.update(dict(zip(part.sizes.tolist(), part.num_buckets.tolist(), strict=True)))
    return _rising(tally)


def _lengths(levels: range) -> range:
    """The prefixes that end at each of `levels`."""
    return range(levels.start + 1, levels.stop + 1)


def _runs(ordered: Keys, dropped_bits: int) -> BucketSizes:
    """Runs of equal keys, by their lengths, once the last `dropped_bits` are taken off."""
    tally: Counter[int] = Counter()
    begin = 0
    for start in range(0, len(ordered), ROWS_AT_ONCE):
        prefixes = ordered[start : start + ROWS_AT_ONCE + 1] >> np.uint64(dropped_bits)
        ends = np.flatnonzero(prefixes[1:] != prefixes[:-1]) + (start + 1)
        sizes, counts = np.unique(np.diff(ends, prepend=begin), return_counts=True)
        tally.update(dict(zip(sizes.tolist(), counts.tolist(), strict=True)))
        begin = int(ends[-1]) if len(ends) else begin
    tally[len(ordered) - begin] += 1
    return _rising(tally)


def _rising(tally: Mapping[int, int]) -> BucketSizes:
    rising = sorted(tally)
    return BucketSizes(
        np.array(rising, dtype=np.int64), np.array([tally[s] for s in rising], dtype=np.int64)
    )
