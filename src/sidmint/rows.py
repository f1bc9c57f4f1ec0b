"""Rows of vectors that need not lie in memory: whatever can be sliced like an array of them.

Shape letters: N rows, D values of a row, d values of what is made of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sidmint.types import Floats

Index = slice | npt.NDArray[np.integer[Any]]

MOST_BYTES = 1 << 28
"""Rows that take no more are held in memory as float32."""

ROWS_AT_ONCE = 65_536


class Rows(Protocol):
    """(N, D) float32, given a piece at a time; an array is such rows."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, D)."""
        ...

    def __len__(self) -> int:
        """N."""
        ...

    def __getitem__(self, rows: Any, /) -> Floats:
        """The rows of a slice, or those with these numbers (n,)."""
        ...


def slices(num_rows: int, rows_at_once: int = ROWS_AT_ONCE) -> Iterator[slice]:
    """Rows 0 to `num_rows`, so many at a time; the last slice may have fewer."""
    for start in range(0, num_rows, rows_at_once):
        yield slice(start, min(start + rows_at_once, num_rows))


@dataclass(frozen=True)
class _Made:
    """Rows that a function makes of others, anew whenever they are asked for."""

    source: Any
    make: Callable[[npt.NDArray[Any]], Floats]
    width: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.source), self.width)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, rows: Index, /) -> Floats:
        return self.make(self.source[rows])


def rows_made(
    source: Rows | npt.NDArray[Any],
    make: Callable[[npt.NDArray[Any]], Floats],
    most_bytes: int = MOST_BYTES,
) -> Rows:
    """What `make` gives for the rows of `source`: (n, D) to (n, d) float32, row by row.

    Made once and held where they take `most_bytes` or less, else made anew at every reading: then
    memory does not grow with N. `source` may be an array in a file.
    """
    width = make(source[:1]).shape[1]
    if len(source) * width * np.dtype(np.float32).itemsize > most_bytes:
        return _Made(source, make, width)
    return make(source[:])


def as_float32(rows: npt.NDArray[Any]) -> Floats:
    """What `rows_made` makes of vectors that are stored in another type."""
    return rows.astype(np.float32)


@dataclass(frozen=True)
class _Picked:
    """Some rows of others, in an order of their own."""

    source: Any
    numbers: npt.NDArray[np.integer[Any]]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.numbers), *self.source.shape[1:])

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, rows: Index, /) -> Floats:
        picked: Floats = self.source[self.numbers[rows]]
        return picked


def rows_picked(source: Rows, numbers: npt.NDArray[np.integer[Any]]) -> Rows:
    """The rows of `source` with these numbers (n,), in this order, read when they are asked for."""
    return _Picked(source, numbers)


def mean_of(rows: Rows) -> npt.NDArray[np.float64]:
    """The mean (D,) over all rows, added up in float64 in their order.

    The same bits as `rows.mean(axis=0, dtype=float64)` of an array.
    """
    total = np.zeros((1, rows.shape[1]))
    for each in slices(len(rows)):
        piece = rows[each].astype(np.float64)
        total = np.concatenate([total, piece]).sum(axis=0, keepdims=True)
    return np.asarray(total[0] / len(rows))


def digests_of(rows: Rows) -> npt.NDArray[np.uint64]:
    """A digest of 128 bits of each row, (N, 2): equal rows have equal ones, other rows others.

    0.0 and -0.0 are equal. Of ten million different rows two share a digest with a probability of
    10^-25. Takes 16 bytes a row.
    """
    digests = bytearray()
    for each in slices(len(rows)):
        piece = np.ascontiguousarray(rows[each])
        piece = piece + piece.dtype.type(0)  # -0.0 becomes 0.0: bytes now tell equality
        for row in piece:
            digests += blake2b(row, digest_size=16).digest()
    return np.frombuffer(digests, dtype=np.uint64).reshape(-1, 2)


def num_distinct(rows: Rows) -> int:
    """How many rows there are where equal ones count once; told apart by `digests_of`."""
    return len(np.unique(digests_of(rows), axis=0))
