"""Rows of vectors that need not lie in memory: whatever can be sliced like an array of them.

Shape letters: N rows, D values of a row, d values of what is made of one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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


def mean_of(rows: Rows) -> npt.NDArray[np.float64]:
    """The mean (D,) over all rows, added up in float64 in their order.

    The same bits as `rows.mean(axis=0, dtype=float64)` of an array.
    """
    total = np.zeros((1, rows.shape[1]))
    for start in range(0, len(rows), ROWS_AT_ONCE):
        piece = rows[start : start + ROWS_AT_ONCE].astype(np.float64)
        total = np.concatenate([total, piece]).sum(axis=0, keepdims=True)
    return np.asarray(total[0] / len(rows))
