"""Tables in parts, and work for engines: functions of a module, as other processes find them."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

import worlds
from sidmint.errors import BadInput
from sidmint.execution.shards import Shards
from sidmint.execution.splitting import split
from sidmint.execution.writing import ShardWriter

KEY = "item_id"


def items(num_items: int = 400) -> pl.DataFrame:
    """Items with vectors, in an order that is not that of their ids."""
    vectors = worlds.smooth_items(num_items)
    order = np.random.default_rng(1).permutation(num_items)
    return pl.DataFrame(
        {
            KEY: [f"item-{number:06d}" for number in order],
            "vector": pl.Series(vectors, dtype=pl.Array(pl.Float32, vectors.shape[1])),
        }
    )


def events(num_events: int = 300, num_users: int = 40) -> pl.DataFrame:
    """A log with many rows a user, `at` counting the events of all."""
    users = np.random.default_rng(2).integers(num_users, size=num_events)
    return pl.DataFrame({"user_id": users, "at": np.arange(num_events)})


def cut(folder: Path, shard_rows: int, num_items: int = 400) -> Shards:
    """`items` as a table in parts."""
    return split(items(num_items), folder, KEY, "items", shard_rows)


def write_two_parts(folder: Path) -> None:
    """A table of its own, which goes on from what is there."""
    writer = ShardWriter(folder, "key")
    writer.begin()
    for index in range(2):
        frame = pl.DataFrame({"key": [10 * index, 10 * index + 1], "new": [index, index]})
        if not writer.is_complete(index, "new"):
            writer.write(index, frame, "new")
    writer.finish(2)


def file_bytes(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, hidden ones too."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def fit_codes(folder: Path) -> None:
    """Three levels of k-means on `items`, kept in `folder`."""
    from sidmint.tokenizers import make_tokenizer
    from sidmint.tokenizers.storage import save

    folder.mkdir()
    tokenizer = make_tokenizer("rq_kmeans", {"sizes": [16, 16, 16]})
    tokenizer.fit(worlds.smooth_items(), seed=3)
    save(tokenizer, folder, "all", 400)


@dataclass(frozen=True)
class Encode:
    """Codes of the vectors of a part."""

    tokenizer: Path

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        from sidmint.tokenizers.storage import load  # torch with it: not in every worker

        codes = load(self.tokenizer).encode(rows["vector"].to_numpy(writable=True))
        levels = {f"code_{level + 1}": codes[:, level] for level in range(codes.shape[1])}
        return rows.select(KEY).with_columns(**{k: pl.Series(v) for k, v in levels.items()})


GRID = worlds.nested_grid(num_levels=4)


def grid() -> pl.DataFrame:
    """Items whose vectors are sums of codewords; `item_id` says which."""
    ids = ["".join(str(code) for code in codes) for codes in GRID.codes]
    return pl.DataFrame(
        {KEY: ids, "vector": pl.Series(GRID.vectors, dtype=pl.Array(pl.Float32, 2))}
    )


def walk(rows: pl.DataFrame) -> pl.DataFrame:
    """Codes of `grid`: the nearest codeword a level, in numpy, exact as all of its sums are."""
    left = rows["vector"].to_numpy(writable=True)
    levels = {}
    for level, codewords in enumerate(GRID.codebooks.levels, start=1):
        nearest = ((left[:, None] - codewords) ** 2).sum(axis=2).argmin(axis=1)
        levels[f"code_{level}"] = nearest
        left -= codewords[nearest]
    return rows.select(KEY).with_columns(**{k: pl.Series(v) for k, v in levels.items()})


@dataclass(frozen=True)
class DiesOnce:
    """`walk`, in a process that is killed when it first meets the part that begins with an id."""

    item_id: str
    mark: Path

    def __call__(self, rows: pl.DataFrame) -> pl.DataFrame:
        if rows[KEY][0] == self.item_id and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return walk(rows)


def count_ids(rows: pl.DataFrame) -> np.ndarray:
    """How many items have each last digit."""
    digits = rows[KEY].str.slice(-1).cast(pl.Int64).to_numpy()
    return np.bincount(digits, minlength=10)


def first_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """Work that loses rows, which no work may."""
    return rows.head(1)


@dataclass(frozen=True)
class Number:
    """A task that is a number."""

    value: int
    task_bytes: int = 0


def squared(task: Number) -> int:
    return task.value**2


def refusing(task: Number) -> int:
    """Refuses 3 and is defective at 5."""
    if task.value == 3:
        raise BadInput("three is not wanted")
    if task.value == 5:
        raise KeyError("five")
    return task.value


def defective(task: Number) -> int:
    raise KeyError(f"no {task.value}")


def dying(task: Number) -> int:
    """Kills its process at 3."""
    if task.value == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return task.value


def process_id(task: Number) -> int:
    return os.getpid()


class Fussy(Exception):
    """An error that cannot be made from its message alone."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def raising_fussily(task: Number) -> int:
    raise Fussy(task.value, 2)


def giving_what_cannot_be_sent(task: Number) -> object:
    return lambda: task.value
