"""Work of `engines.py`: in a module of its own, as other processes have to find it."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

DIMENSIONS = 128


@dataclass(frozen=True)
class Nothing:
    """A task without work."""

    number: int
    task_bytes: int = 0


def its_number(task: Nothing) -> int:
    """The number of the task."""
    return task.number


def negative(rows: pl.DataFrame) -> pl.DataFrame:
    """Next to no work a row."""
    vectors = -rows["vector"].to_numpy()
    return rows.with_columns(pl.Series("vector", vectors, dtype=pl.Array(pl.Float32, DIMENSIONS)))


def itself(row: dict[str, int]) -> dict[str, int]:
    """A row without work, for Ray Data."""
    return row
