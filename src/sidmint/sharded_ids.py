"""Unique Semantic IDs of a table that lies in shards, in bounded memory.

What decides an id is shared by few rows: those of one code (`suffix`), or of one prefix group
(`reassign`). Rows are parted by exactly that, each partition is resolved alone, and what changed
is sent back to the shard of its row. Rows stand in the order of their item ids, shards too, so
that row numbers settle ties as the ids would.

Shape letters: n rows of a shard or a piece, L levels, W words of a code or prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidmint.errors import BadInput
from sidmint.packing import CodeArray, Keys, num_words, words
from sidmint.partitions import (
    NUM_PARTITIONS,
    Rows,
    Spill,
    in_pieces,
    partition_of,
    read_all,
    send,
)
from sidmint.semantic_ids import LastLevelDistances, SemanticIds, reassigned
from sidmint.tallies import BYTES_A_ROW, BYTES_A_WORD, Tally, count_on
from sidmint.types import Codes

_CHANGE = np.dtype([("row", "<i8"), ("last", "<i4"), ("suffix", "<i4"), ("added", "<f8")])
"""What a row of a shard gets: last code (-1: as it was), suffix, added distance."""
_REASSIGNED_BYTES = 200
"""Work space of `reassigned` a row, without the distances."""
_SENT_BYTES = 150
"""Work space a row while rows are sent to partitions."""
_MOST_ROWS_SENT = 1 << 20


@dataclass(frozen=True)
class ShardedIds:
    """Semantic IDs of a whole table; `shard` gives those of one shard."""

    has_suffix: bool
    """Whether the suffix is part of every id of the table."""
    num_oversized_groups: int
    """Prefix groups of the table with more items than last codes, see `SemanticIds`."""
    _shards: Sequence[CodeArray]
    _sizes: tuple[int, ...]
    _changes: Spill

    def shard(self, number: int) -> SemanticIds:
        """Ids of the rows of shard `number`, in their order; may be asked for again."""
        values = np.array(self._shards[number], dtype=np.int32)
        suffixes = np.zeros(len(values), dtype=np.int32)
        added = np.zeros(len(values))
        moved = np.zeros(len(values), dtype=bool)
        for change in self._changes.read(number, max(1, len(values))):
            rows = change["row"]
            suffixes[rows], added[rows] = change["suffix"], change["added"]
            moves = change[change["last"] >= 0]
            values[moves["row"], -1], moved[moves["row"]] = moves["last"], True
        return SemanticIds(
            codes=Codes(values, self._sizes),
            suffixes=suffixes,
            has_suffix=self.has_suffix,
            moved=moved,
            added_distances=added,
            num_oversized_groups=self.num_oversized_groups,
        )


def resolve_shards_by_suffix(
    shards: Sequence[CodeArray],
    sizes: Sequence[int],
    *,
    spill: Spill,
    memory: int,
    num_partitions: int = NUM_PARTITIONS,
) -> ShardedIds:
    """`semantic_ids.resolve_by_suffix` of all rows of `shards` (n, L), equal to the bit.

    Rows want to be sorted by item id, within shards and from one to the next, and no id to repeat.
    `shards` may read a shard when it is asked for: each is asked for once here, and once when its
    ids are. `memory` is in bytes, beside one shard. `spill` holds 8 bytes a row and 8 a word of its
    code, afterwards 24 for each suffix above 0; it wants to live as long as the result.

    Raises `BadInput` for codes outside their codebook, for no rows, and where the distinct codes
    of a partition do not fit `memory`.
    """
    parted = _Parted(spill.below(0), num_partitions, num_keys=num_words(sizes))
    starts = _part(
        shards,
        sizes,
        parted,
        memory,
        lambda piece, rows: np.column_stack([words(piece, sizes), rows]),
    )
    changes = _Changes(spill.below(1), starts)
    for leaf in parted.leaves(memory):
        _count_suffixes(leaf, leaf.pieces(memory), memory, changes)
    return ShardedIds(True, 0, shards, tuple(sizes), changes.spill)


def resolve_shards_by_reassignment(
    shards: Sequence[CodeArray],
    sizes: Sequence[int],
    distances: LastLevelDistances,
    *,
    spill: Spill,
    memory: int,
    num_partitions: int = NUM_PARTITIONS,
) -> ShardedIds:
    """`semantic_ids.resolve_by_reassignment` of all rows of `shards`, equal to the bit.

    As `resolve_shards_by_suffix`. `distances` is asked with row numbers of the whole table, of one
    prefix group at a time: at most K_L rows, whose distances (n, K_L) and the matching of them
    take some 40 bytes each beside `memory`. `spill` holds 24 bytes a row, and 24 for each row
    that changed.
    """
    num_keys = num_words(sizes[:-1])
    parted = _Parted(spill.below(0), num_partitions, num_keys)
    starts = _part(
        shards,
        sizes,
        parted,
        memory,
        lambda piece, rows: np.column_stack(
            [words(piece[:, :-1], sizes[:-1]), piece[:, -1].astype(np.uint64), rows]
        ),
    )
    changes = _Changes(spill.below(1), starts)
    num_oversized = 0
    for leaf in parted.leaves(memory):
        num_oversized += _reassign(leaf, sizes[-1], distances, memory, changes)
    return ShardedIds(num_oversized > 0, num_oversized, shards, tuple(sizes), changes.spill)


@dataclass(frozen=True)
class _Leaf:
    """A partition that is worked on alone; its rows in the order of the table."""

    spill: Spill
    partition: int
    num_rows: int
    num_keys: int

    @property
    def row_bytes(self) -> int:
        """Work space a row: of `reassigned`, or of a tally on which a piece as long is counted."""
        return max(_REASSIGNED_BYTES, 2 * (BYTES_A_ROW + BYTES_A_WORD * self.num_keys))

    @property
    def enough(self) -> int:
        """Bytes of memory for all rows at once."""
        return self.num_rows * self.row_bytes

    def pieces(self, memory: int) -> Iterator[Rows]:
        return self.spill.read(self.partition, max(1, memory // self.row_bytes))


class _Parted:
    """Rows of 64-bit numbers (n, ...), parted by their first `num_keys`."""

    def __init__(self, spill: Spill, num_partitions: int, num_keys: int, salt: int = 0) -> None:
        self._spill, self._salt, self._num_keys = spill, salt, num_keys
        self._sent = np.zeros(num_partitions, dtype=np.int64)

    def add(self, rows: Rows) -> None:
        num_partitions = len(self._sent)
        homes = partition_of(rows[:, : self._num_keys], num_partitions, self._salt)
        self._sent += send(self._spill, homes, rows, num_partitions)

    def leaves(self, memory: int) -> Iterator[_Leaf]:
        """The partitions, one after another; the larger ones split once more, each gone at the end.

        What is then still larger has many rows of one key, which no split parts.
        """
        for partition in map(int, np.flatnonzero(self._sent)):
            leaf = _Leaf(self._spill, partition, int(self._sent[partition]), self._num_keys)
            if leaf.enough <= memory or self._salt:
                yield leaf
                self._spill.drop(partition)
                continue
            below = self._spill.below(partition)
            finer = _Parted(below, len(self._sent), self._num_keys, self._salt + 1)
            for piece in leaf.pieces(memory):
                finer.add(piece)
            self._spill.drop(partition)
            yield from finer.leaves(memory)


class _Changes:
    """Where rows get their ids from: `spill` has a partition for every shard."""

    def __init__(self, spill: Spill, starts: npt.NDArray[np.int64]) -> None:
        self.spill, self._starts = spill, starts

    def put(self, rows: Rows, last: Rows | int, suffixes: Rows | int, added: Rows | float) -> None:
        """Of `rows` of the table (n,): the last code (-1: as it was), suffix, added distance."""
        shards = np.searchsorted(self._starts, rows, side="right") - 1
        changes = np.empty(len(rows), dtype=_CHANGE)
        changes["row"] = rows - self._starts[shards]
        changes["last"], changes["suffix"], changes["added"] = last, suffixes, added
        send(self.spill, shards, changes, len(self._starts) - 1)


def _part(
    shards: Sequence[CodeArray],
    sizes: Sequence[int],
    parted: _Parted,
    memory: int,
    as_rows: Callable[[CodeArray, Keys], Rows],
) -> npt.NDArray[np.int64]:
    """Send the rows of all shards; the first row of each in the table, and the number of rows."""
    starts = [0]
    rows_at_once = min(max(1, memory // _SENT_BYTES), _MOST_ROWS_SENT)
    for number in range(len(shards)):
        place = starts[-1]
        for piece in in_pieces(shards[number], rows_at_once):
            _require_codes(piece, sizes, number)
            parted.add(as_rows(piece, np.arange(place, place + len(piece), dtype=np.uint64)))
            place += len(piece)
        starts.append(place)
    if starts[-1] == 0:
        raise BadInput("resolution wants at least one item, got shards without any")
    return np.array(starts, dtype=np.int64)


def _require_codes(piece: CodeArray, sizes: Sequence[int], shard: int) -> None:
    fits = piece.ndim == 2 and piece.shape[1] == len(sizes)
    if not fits or piece.min() < 0 or (piece.max(axis=0) >= np.array(sizes)).any():
        raise BadInput(
            f"codes of shard {shard} do not fit codebooks of {tuple(sizes)} rows; give the sizes "
            "that they were made with"
        )


def _count_suffixes(leaf: _Leaf, pieces: Iterator[Rows], memory: int, changes: _Changes) -> None:
    """Put the suffixes above 0: how many rows of the same numbers, but the last, came before."""
    tally: Tally | None = None
    for piece in pieces:
        codes = piece[:, :-1]
        tally = Tally.empty(codes.shape[1]) if tally is None else tally
        tally, before = count_on(tally, codes)
        _require_room(len(tally), leaf, memory)
        hit = np.flatnonzero(before)
        changes.put(piece[hit, -1].astype(np.int64), -1, before[hit], 0.0)


def _reassign(
    leaf: _Leaf, size: int, distances: LastLevelDistances, memory: int, changes: _Changes
) -> int:
    """Put what changes in the prefix groups of `leaf`; how many of them are oversized.

    Oversized groups need no distances, and no room for all of their rows.
    """
    if leaf.enough <= memory:
        num_apart, kept = 0, read_all(leaf.spill, leaf.partition, leaf.num_rows, leaf.num_rows)
    else:
        num_apart, kept = _set_oversized_apart(leaf, size, memory, changes)
    if len(kept) == 0:
        return num_apart
    groups = np.unique(kept[:, : leaf.num_keys], axis=0, return_inverse=True)[1].ravel()
    rows, last = kept[:, -1].astype(np.int64), kept[:, -2].astype(np.int32)
    codes = Codes(np.column_stack([groups.astype(np.int32), last]), (int(groups.max()) + 1, size))
    ids = reassigned(codes, rows, lambda own: distances(rows[own]))
    last = np.where(ids.moved, ids.codes.values[:, -1], -1)
    hit = np.flatnonzero(ids.moved | (ids.suffixes > 0))
    changes.put(rows[hit], last[hit], ids.suffixes[hit], ids.added_distances[hit])
    return num_apart + ids.num_oversized_groups


def _set_oversized_apart(
    leaf: _Leaf, size: int, memory: int, changes: _Changes
) -> tuple[int, Rows]:
    """Suffixes for groups with more rows than `size`; their number, and the rows of all others."""
    tally = Tally.empty(leaf.num_keys)
    for piece in leaf.pieces(memory):
        tally, _ = count_on(tally, piece[:, : leaf.num_keys])
        _require_room(len(tally), leaf, memory)
    is_kept = tally.counts <= size
    _require_room(int(tally.counts[is_kept].sum()), leaf, memory)

    def parts(kept: bool) -> Iterator[Rows]:
        for piece in leaf.pieces(memory):
            mine = (tally.counts_of(piece[:, : leaf.num_keys]) <= size) == kept
            yield piece[mine]

    _count_suffixes(leaf, parts(kept=False), memory, changes)
    return int((~is_kept).sum()), np.concatenate(list(parts(kept=True)))


def _require_room(num_rows: int, leaf: _Leaf, memory: int) -> None:
    """`BadInput` unless so many rows of `leaf`, which cannot be parted, fit at once."""
    if num_rows * leaf.row_bytes > memory:
        raise BadInput(
            f"unique ids want {leaf.enough:,} bytes of memory for a partition of {leaf.num_rows:,} "
            f"rows, got {memory:,}; give it that many"
        )
