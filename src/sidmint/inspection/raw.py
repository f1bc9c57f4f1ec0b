"""A table as it stands in a file, before anybody says what its numbers mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from sidmint.errors import BadInput

LARGEST_NUMBER = 2**31 - 1
"""Codes are int32; a number beyond it is an item id or a hash, and no code."""


@dataclass(frozen=True)
class RawTable:
    """N items and `numbers` (N, M): row n belongs to `item_ids[n]`.

    `item_ids` are text, unique. `titles` is None where the table names no items.
    `last_is_suffix` is true where the column's own name says that the last number is a suffix;
    `found` says in words which columns were taken for what.
    """

    name: str
    item_ids: pl.Series
    numbers: npt.NDArray[np.int64]
    found: str
    titles: pl.Series | None = None
    last_is_suffix: bool = False

    def __post_init__(self) -> None:
        if not len(self.numbers):
            raise BadInput(f"{self.name} has no rows; it wants one row an item")
        self._require_unique()
        outside = (self.numbers < 0) | (self.numbers > LARGEST_NUMBER)
        if outside.any():
            row, column = np.argwhere(outside)[0].tolist()
            raise BadInput(
                f"{self.name}: item {self.item_ids[row]} (row {row + 1}) has "
                f"{self.numbers[row, column]} as its code {column + 1} ({outside.sum():,} such "
                f"codes); codes are whole numbers from 0 to {LARGEST_NUMBER}. Take out rows "
                "without a code, or the column if it holds ids"
            )

    def _require_unique(self) -> None:
        repeated = self.item_ids.is_duplicated()
        if repeated.any():
            first = self.item_ids.filter(repeated)[0]
            rows = ", ".join(str(row + 1) for row in (self.item_ids == first).arg_true()[:5])
            raise BadInput(
                f"{self.name}: item {first} stands in rows {rows} "
                f"({self.item_ids.filter(repeated).n_unique():,} ids are repeated); keep one row "
                "an item"
            )


def numbered_rows(num_rows: int) -> pl.Series:
    """Item ids for a table without any: "0", "1", ... as the rows come."""
    return pl.Series("item_id", range(num_rows), dtype=pl.Int64).cast(pl.String)
