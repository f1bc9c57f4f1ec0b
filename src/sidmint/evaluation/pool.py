"""The catalogue as search sees it: distinct rows, and which one stands for each item.

Two items with one code have one reconstruction, hence one score: an exact tie, scored once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sidmint.rows import Rows, rows_made


@dataclass(frozen=True)
class Pool:
    """`rows` (G, D) representations; item n is represented by `rows[row_of[n]]`.

    Distinct ones where they are few enough to be told apart (`of`); any number may lie in a file.
    """

    rows: Rows | npt.NDArray[Any]
    row_of: npt.NDArray[np.int64]

    @classmethod
    def of(cls, values: npt.NDArray[Any]) -> Pool:
        """Pool of items with `values` (N, D); equal values share a row."""
        plain = np.ascontiguousarray(values) + values.dtype.type(0)  # -0.0 becomes 0.0
        as_bytes = plain.view(np.dtype((np.void, plain.shape[1] * plain.itemsize))).ravel()
        _, first, row_of = np.unique(as_bytes, return_index=True, return_inverse=True)
        return cls(plain[first], row_of)

    @classmethod
    def of_rows(cls, rows: Rows) -> Pool:
        """Pool of items with `rows` (N, D); of rows that stay in a file each item has its own."""
        if isinstance(rows, np.ndarray):
            return cls.of(rows)
        return cls(rows, np.arange(len(rows)))

    def through(self, mapping: Callable[[Any], npt.NDArray[Any]]) -> Pool:
        """Represent the same items by `mapping(rows)`, of which some may now be equal.

        Too many to be held are made anew whenever they are read, a piece at a time.
        """
        mapped = Pool.of_rows(rows_made(self.rows, mapping))
        return Pool(mapped.rows, mapped.row_of[self.row_of])
