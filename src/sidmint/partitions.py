"""Rows parted by what they hold, so that each part can be worked on alone in bounded memory.

Rows with equal words (`packing.words`) go to one partition, whatever block they come in. Where
partitions lie is for the caller to say: in memory (`MemorySpill`), or in files
(`spill_files.FileSpill`), which code that knows no paths is handed.

Shape letters: n rows of a block, W words a row, P partitions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sidmint.packing import Keys

Rows = npt.NDArray[Any]

NUM_PARTITIONS = 256
"""Of one split. Few enough that a block of a million rows gives each a piece worth writing; what
is still too large for memory is split once more (`Spill.below`)."""

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


class Spill(Protocol):
    """Numbered partitions that rows are appended to and read back from, in that order."""

    def append(self, partition: int, rows: Rows) -> None:
        """Put `rows` behind those that are there; all of one spill have one type and width."""
        ...

    def read(self, partition: int, rows_at_once: int) -> Iterator[Rows]:
        """The rows in the order of their coming, so many at a time; nothing where none came."""
        ...

    def array(self, partition: int, dtype: np.dtype[Any]) -> Rows:
        """All numbers of a partition of `dtype` as one read-only array, mapped where it is a file.

        It is as good as long as the spill is, and nothing more is appended.
        """
        ...

    def drop(self, partition: int) -> None:
        """Forget the rows of `partition`."""
        ...

    def below(self, partition: int) -> Spill:
        """An empty spill of its own, for the rows of `partition` split once more."""
        ...


class MemorySpill:
    """A `Spill` for what is small enough: everything appended stays in memory until dropped."""

    def __init__(self) -> None:
        self._held: dict[int, list[Rows]] = defaultdict(list)

    def append(self, partition: int, rows: Rows) -> None:
        """A copy of `rows`, so that no block is kept for a part of it."""
        self._held[partition].append(rows.copy())

    def read(self, partition: int, rows_at_once: int) -> Iterator[Rows]:
        """Pieces as they came, cut where they are longer than `rows_at_once`."""
        for rows in self._held.get(partition, []):
            yield from in_pieces(rows, rows_at_once)

    def array(self, partition: int, dtype: np.dtype[Any]) -> Rows:
        """The pieces as one; they are kept as that."""
        pieces = self._held.get(partition, [])
        whole = np.concatenate(pieces) if pieces else np.empty(0, dtype=dtype)
        self._held[partition] = [whole]
        return whole

    def drop(self, partition: int) -> None:
        """Free the rows."""
        self._held.pop(partition, None)

    def below(self, partition: int) -> MemorySpill:
        """Another one."""
        return MemorySpill()


def in_pieces(rows: Rows, rows_at_once: int) -> Iterator[Rows]:
    """Views of `rows`, in their order, of at most so many rows."""
    for start in range(0, len(rows), rows_at_once):
        yield rows[start : start + rows_at_once]


def read_all(spill: Spill, partition: int, num_rows: int, rows_at_once: int) -> Rows:
    """The `num_rows` (one at least) rows of a partition as one array, and never twice in memory."""
    pieces = spill.read(partition, rows_at_once)
    first = next(pieces)
    rows = np.empty((num_rows, *first.shape[1:]), dtype=first.dtype)
    rows[: len(first)] = first
    filled = len(first)
    for piece in pieces:
        rows[filled : filled + len(piece)] = piece
        filled += len(piece)
    return rows


def partition_of(words: Keys, num_partitions: int, salt: int = 0) -> npt.NDArray[np.int64]:
    """The partition (n,) of each row of `words` (n, W): equal rows, equal partition.

    `salt` names the split: what one salt put together, another parts. The same on every machine
    (splitmix64, Steele et al. 2014, as the mixing function).
    """
    mixed = np.full(len(words), (salt + 1) * _GOLDEN & _MASK, dtype=np.uint64)
    for column in words.T:
        mixed ^= column
        mixed += np.uint64(_GOLDEN)
        mixed ^= mixed >> np.uint64(30)
        mixed *= np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(27)
        mixed *= np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return (mixed % np.uint64(num_partitions)).astype(np.int64)


def send(
    spill: Spill, partitions: npt.NDArray[np.int64], rows: Rows, num_partitions: int
) -> npt.NDArray[np.int64]:
    """Append each of `rows` (n, ...) to its partition, (n,); rows sent to each, (P,).

    Rows keep their order inside a partition.
    """
    narrow = partitions.astype(np.min_scalar_type(num_partitions - 1))  # sorted by counting
    order = np.argsort(narrow, kind="stable")
    sent = np.bincount(partitions, minlength=num_partitions)
    ends = np.cumsum(sent)
    for partition in np.flatnonzero(sent):
        mine = order[ends[partition] - sent[partition] : ends[partition]]
        spill.append(int(partition), rows[mine])
    return sent
