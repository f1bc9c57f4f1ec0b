"""The catalogue as search sees it: distinct rows, and which one stands for each item.

Two items with one code have one reconstruction, hence one score: an exact tie, scored once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Pool:
    """`rows` (G, D) distinct representations; item n is represented by `rows[row_of[n]]`."""

    rows: npt.NDArray[Any]
    row_of: npt.NDArray[np.int64]

    @classmethod
    def of(cls, values: npt.NDArray[Any]) -> Pool:
        """Pool of items with `values` (N, D); equal values share a row."""
        plain = np.ascontiguousarray(values) + values.dtype.type(0)  # -0.0 becomes 0.0
        as_bytes = plain.view(np.dtype((np.void, plain.shape[1] * plain.itemsize))).ravel()
        _, first, row_of = np.unique(as_bytes, return_index=True, return_inverse=True)
        return cls(plain[first], row_of)

    def through(self, mapping: Callable[[Any], npt.NDArray[Any]]) -> Pool:
        """Represent the same items by `mapping(rows)`, of which some may now be equal."""
        mapped = Pool.of(mapping(self.rows))
        return Pool(mapped.rows, mapped.row_of[self.row_of])
