"""`count_codes` over blocks that come one after another, in bounded memory.

Usage of codebooks adds up. For buckets, rows are parted by their first codes, so that a longer
prefix lives in one partition and each partition is counted alone. A partition that memory does
not hold is parted once more, by one code more: skewed codes cost another pass over their rows,
and change no figure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sidmint.diagnostics.buckets import BucketSizes, bucket_sizes, merge_bucket_sizes
from sidmint.diagnostics.code_counts import CodeCounts
from sidmint.diagnostics.collisions import Collisions
from sidmint.diagnostics.utilization import (
    Utilization,
    branching_of,
    merge_utilization,
    utilization_by_level,
)
from sidmint.errors import BadInput
from sidmint.packing import CodeArray, Keys, num_words, words
from sidmint.partitions import (
    NUM_PARTITIONS,
    Spill,
    in_pieces,
    partition_of,
    read_all,
    send,
)
from sidmint.tallies import BYTES_A_ROW, BYTES_A_WORD, Tally, count_on, merge_tallies

_SORTED_BYTES = 16
"""A row, beside its codes, of the keys that `bucket_sizes` sorts."""
_MOST_ROWS_AT_ONCE = 1 << 20


def count_code_blocks(
    blocks: Iterable[CodeArray],
    sizes: Sequence[int],
    *,
    spill: Spill,
    memory: int,
    num_partitions: int = NUM_PARTITIONS,
) -> CodeCounts:
    """`CodeCounts` of the rows of all `blocks` (n, L), equal to those of `count_codes` to the bit.

    However rows are cut into blocks, in whatever order, for any `num_partitions`. `blocks` are
    read once; `sizes` are the rows of the codebooks. `memory` is in bytes: the work space beside
    the block at hand and 16 bytes a codeword. Rows lie in `spill` meanwhile, in as few bytes a
    code as its codebook needs (2 up to 65,536), and are gone from it at the end.

    Raises `BadInput` for codes outside their codebook, for no rows at all, and where even the
    distinct prefixes of a partition do not fit `memory`; it says what would be enough.
    """
    usage = tuple(Utilization(np.zeros(size, dtype=np.int64)) for size in sizes)
    plan = _Plan(tuple(sizes), memory, num_partitions)
    split = _Split(plan, 1, spill, enough=2 * plan.tally_bytes * sizes[0])
    for block in blocks:
        if len(block) == 0:
            continue
        more = utilization_by_level(block, sizes)
        usage = tuple(map(merge_utilization, usage, more))
        split.add(block)
    if not usage[0].counts.any():
        raise BadInput("codes want at least one row, got blocks without any; is a shard missing?")
    buckets = split.buckets()
    return CodeCounts(usage, branching_of(buckets), Collisions(buckets[-1]))


@dataclass(frozen=True)
class _Plan:
    """What every split of one count goes by."""

    sizes: tuple[int, ...]
    memory: int
    num_partitions: int

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """The narrowest that holds every code."""
        return np.min_scalar_type(max(self.sizes) - 1)

    @cached_property
    def tally_bytes(self) -> int:
        """Work space a row while rows are counted or sent."""
        sent = 2 * len(self.sizes) * self.dtype.itemsize
        return BYTES_A_ROW + BYTES_A_WORD * num_words(self.sizes) + sent

    @cached_property
    def sorted_bytes(self) -> int:
        """Work space a row of a partition that is counted alone."""
        return len(self.sizes) * self.dtype.itemsize + _SORTED_BYTES

    @cached_property
    def rows_at_once(self) -> int:
        """As many as half of the memory holds; the other half is for what they add up to."""
        return min(max(1, self.memory // 2 // self.tally_bytes), _MOST_ROWS_AT_ONCE)


class _Split:
    """Rows as they come: prefixes of `length` codes are counted here, longer ones by partition.

    Rows with the same first `length + 1` codes meet in one partition. `enough` bytes of memory
    would do without this split.
    """

    def __init__(self, plan: _Plan, length: int, spill: Spill, enough: int) -> None:
        self._plan, self._length, self._spill, self._enough = plan, length, spill, enough
        self._heads = Tally.empty(num_words(plan.sizes[:length]))
        self._sent = np.zeros(plan.num_partitions, dtype=np.int64)

    def add(self, block: CodeArray) -> None:
        for piece in in_pieces(block, self._plan.rows_at_once):
            self._count_heads(self._words(piece, self._length))
            if self._length < len(self._plan.sizes):
                parting = self._words(piece, self._length + 1)
                partitions = partition_of(parting, self._plan.num_partitions, salt=self._length)
                rows = piece.astype(self._plan.dtype, copy=False)
                self._sent += send(self._spill, partitions, rows, self._plan.num_partitions)

    def buckets(self) -> tuple[BucketSizes, ...]:
        """By prefixes of `length`, `length + 1`, ... L codes; empties the spill."""
        own = BucketSizes.of(self._heads.counts)
        self._heads = Tally.empty(1)  # partitions have its room now
        if self._length == len(self._plan.sizes):
            return (own,)
        parts = [self._of_partition(int(each)) for each in np.flatnonzero(self._sent)]
        return (own, *map(merge_bucket_sizes, zip(*parts, strict=True)))

    def _of_partition(self, partition: int) -> tuple[BucketSizes, ...]:
        plan, num_rows = self._plan, int(self._sent[partition])
        wanted = num_rows * plan.sorted_bytes
        if wanted <= plan.memory:
            rows = read_all(self._spill, partition, num_rows, plan.rows_at_once)
            self._spill.drop(partition)
            return bucket_sizes(rows)[self._length :]
        finer = _Split(plan, self._length + 1, self._spill.below(partition), wanted)
        for piece in self._spill.read(partition, plan.rows_at_once):
            finer.add(piece)
        self._spill.drop(partition)
        return finer.buckets()

    def _words(self, piece: CodeArray, length: int) -> Keys:
        return words(piece[:, :length], self._plan.sizes[:length])

    def _count_heads(self, prefixes: Keys) -> None:
        own, _ = count_on(Tally.empty(prefixes.shape[1]), prefixes)
        self._heads = merge_tallies(self._heads, own)
        if len(self._heads) * self._plan.tally_bytes > self._plan.memory // 2:
            raise BadInput(
                f"counting codes wants {self._enough:,} bytes of memory (there are at least "
                f"{len(self._heads):,} prefixes of {self._length} codes to be told apart at once), "
                f"got {self._plan.memory:,}; give it that many"
            )
