"""Whole numbers of a table in parts, part by part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import polars as pl

from sidmint.execution.shards import Shards

Numbers = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class NumberColumns(Sequence[Numbers]):
    """`columns` of each part of `shards`: (n, columns) int32, read whenever they are asked for."""

    shards: Shards
    columns: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.shards.parts)

    @overload
    def __getitem__(self, index: int) -> Numbers: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Numbers]: ...
    def __getitem__(self, index: int | slice) -> Numbers | Sequence[Numbers]:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        rows = pl.read_parquet(
            self.shards.path(range(len(self))[index]), columns=list(self.columns)
        )
        return np.ascontiguousarray(rows.to_numpy(), dtype=np.int32)
