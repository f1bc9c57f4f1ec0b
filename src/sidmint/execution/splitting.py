"""Cuts a table into parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

import polars as pl

from sidmint.execution.shards import Shards
from sidmint.execution.writing import ShardWriter


def split(
    frame: pl.DataFrame | pl.LazyFrame | Iterable[pl.DataFrame],
    folder: Path,
    key: str,
    made_of: str,
    shard_rows: int,
    unique: bool = True,
) -> Shards:
    """`frame` as a table in `folder`: parts of `shard_rows` rows, the last may have fewer.

    `made_of` is a digest of whatever `frame` was made of: parts that a run before it has written
    of the same are kept. A `DataFrame` is sorted by `key` here. A `LazyFrame`, and frames one
    after another, come in the order of `key` already and are read a part at a time, so that they
    may be larger than memory.

    Raises what `ShardWriter` does; so what does not come in order is named with its row.
    """
    batches: Iterable[pl.DataFrame]
    if isinstance(frame, pl.LazyFrame):
        batches = frame.collect_batches(
            chunk_size=shard_rows, maintain_order=True, engine="streaming"
        )
    elif isinstance(frame, pl.DataFrame):
        batches = [frame.sort(key, maintain_order=True)]
    else:
        batches = frame
    writer = ShardWriter(folder, key, unique)
    writer.begin()
    num_parts = 0
    for index, part in enumerate(in_parts(batches, shard_rows)):
        made_of_part = digest_of(made_of, shard_rows, index)
        if not writer.is_complete(index, made_of_part):
            writer.write(index, part, made_of_part)
        num_parts = index + 1
    return writer.finish(num_parts)


def digest_of(*parts: str | int) -> str:
    """SHA-256 of a list of texts and numbers, in hex."""
    return sha256("\n".join(str(part) for part in parts).encode()).hexdigest()


def with_whole_keys(batches: Iterable[pl.DataFrame], key: str) -> Iterator[pl.DataFrame]:
    """The same rows, sorted by `key`, in blocks that have every row of the keys they have."""
    held: pl.DataFrame | None = None
    for batch in batches:
        rows = batch if held is None else pl.concat([held, batch])
        if rows.is_empty():
            continue
        begins = int(rows[key].search_sorted(rows[key][-1], "left"))
        if begins:
            yield rows.head(begins)
        held = rows.slice(begins)
    if held is not None:
        yield held


def in_parts(batches: Iterable[pl.DataFrame], shard_rows: int) -> Iterator[pl.DataFrame]:
    """The same rows, `shard_rows` at a time; the last may be fewer."""
    held: list[pl.DataFrame] = []
    num_held = 0
    for batch in batches:
        for start in range(0, len(batch), shard_rows):
            piece = batch.slice(start, shard_rows)
            held.append(piece)
            num_held += len(piece)
            if num_held >= shard_rows:
                rows = pl.concat(held)
                yield rows.head(shard_rows)
                held = [rows.slice(shard_rows)]
                num_held -= shard_rows
    if num_held:
        yield pl.concat(held)
