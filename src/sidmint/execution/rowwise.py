"""Work that goes shard by shard: a table from a table, or one value from a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import polars as pl

from sidmint.execution.engine import Engine, map_and_merge
from sidmint.execution.shards import Shards
from sidmint.execution.splitting import digest_of
from sidmint.execution.writing import ShardWriter
from sidmint.progress import Track, silent

R = TypeVar("R")

Work = Callable[[pl.DataFrame], R]
"""Pure, and small enough to send: a function of a module, or a frozen dataclass with `__call__`
that holds paths and numbers."""


@dataclass(frozen=True)
class PartToMake:
    """One part to read, and where what is made of it goes."""

    source: Path
    writer: ShardWriter
    index: int
    made_of: str
    work: Work[pl.DataFrame]
    task_bytes: int

    def __str__(self) -> str:
        return f"{self.source} -> {self.writer.folder}"


@dataclass(frozen=True)
class PartToReduce(Generic[R]):
    """One part to read."""

    source: Path
    work: Work[R]
    task_bytes: int

    def __str__(self) -> str:
        return str(self.source)


def map_shards(
    engine: Engine,
    work: Work[pl.DataFrame],
    shards: Shards,
    folder: Path,
    label: str,
    made_with: str,
    bytes_per_row: int,
    track: Track = silent,
) -> Shards:
    """The table of `work(part)` for every part, in `folder`: same keys, same cuts.

    `made_with` is a digest of whatever `work` goes by beside the rows (a tokenizer, settings): a
    part that was made of the same part with the same is kept, so that a run which was killed, or
    found the disk full, goes on from there. `bytes_per_row` is the most memory that `work`
    takes a row, its part and what it makes included.

    `work` gives each row by that row alone, in the order they came: keys that are others are a
    defect (`ValueError`). Raises what `Engine.map` and `ShardWriter` do.
    """
    writer = ShardWriter(folder, shards.form.key, shards.form.unique)
    writer.begin()
    tasks = [
        PartToMake(
            shards.path(index),
            writer,
            index,
            digest_of(part.sha256, made_with),
            work,
            part.rows * bytes_per_row,
        )
        for index, part in enumerate(shards.parts)
    ]
    to_make = [task for task in tasks if not writer.is_complete(task.index, task.made_of)]
    for _ in engine.map(make_part, to_make, label, track):
        pass
    return writer.finish(len(tasks))


def make_part(task: PartToMake) -> None:
    """Read a part, work on it, write what comes of it."""
    rows = pl.read_parquet(task.source)
    made = task.work(rows)
    key = task.writer.key
    if not made[key].equals(rows[key]):
        raise ValueError(f"{task.work} gave other keys than those of {task.source}")
    task.writer.write(task.index, made, task.made_of)


def reduce_shards(
    engine: Engine,
    work: Work[R],
    merge: Callable[[R, R], R],
    shards: Shards,
    label: str,
    bytes_per_row: int,
    track: Track = silent,
) -> R:
    """One value of a table: `merge` of `work(part)` over its parts, as `engine.map_and_merge`."""
    tasks = [
        PartToReduce(shards.path(index), work, part.rows * bytes_per_row)
        for index, part in enumerate(shards.parts)
    ]
    return map_and_merge(engine, reduce_part, merge, tasks, label, track)


def reduce_part(task: PartToReduce[R]) -> R:
    """Read a part and work on it."""
    return task.work(pl.read_parquet(task.source))
