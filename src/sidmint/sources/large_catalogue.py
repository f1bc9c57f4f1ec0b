"""From tables too large to hold to the catalogue on disk: made and written piece by piece."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from sidmint.artifacts import StageWriter
from sidmint.catalogue import (
    CatalogueInPieces,
    SortedSequences,
    TablesDigest,
    build_in_pieces,
    check_items,
    require_unique,
    without_log_in_pieces,
)
from sidmint.catalogue.without_log import NO_EVENTS
from sidmint.contracts import Interactions, Items
from sidmint.errors import in_rows
from sidmint.execution.shards import Shards
from sidmint.execution.sorting import in_places
from sidmint.execution.splitting import in_parts
from sidmint.partitions import Spill
from sidmint.progress import Track
from sidmint.sources import large_table
from sidmint.sources.large_table import ITEMS_AT_ONCE, LargeTable
from sidmint.spill_files import FrameSpill, spilling

Table = pl.DataFrame | Shards


@dataclass(frozen=True)
class LargeCatalogue:
    """Both tables as they were written, and the whole profile."""

    items: Table
    interactions: Table
    profile: Mapping[str, Any]


def make_large(
    large: LargeTable, rules: Mapping[str, Any], out: StageWriter, shard_rows: int, track: Track
) -> LargeCatalogue:
    """Write items and interactions of `large`, to the facts that `build_catalogue` gives.

    `rules` are its settings. Both tables are parts of `shard_rows` rows, or files where the
    catalogue has no more items than that; without a log interactions are an empty file. Beside ids
    and some numbers an item and a user, pieces of both tables are held, and the disk of `out` holds
    about as much as both tables have bytes, for a while. `BadInput` as of `build_catalogue`.
    """
    with spilling(out.folder) as spill:
        made = _built(large, rules, spill, track)
        writes = _Writes(out, shard_rows if made.num_items > shard_rows else None)
        pieces = _Checked(large, track)
        with tempfile.TemporaryDirectory(prefix="items-", dir=out.folder) as folder:
            at_once = min(shard_rows, ITEMS_AT_ONCE)
            placed = in_places(made.items(pieces), at_once, FrameSpill(Path(folder)))
            items = writes.table("items", Items.ITEM_ID, placed, unique=True)
        found: dict[str, Any] = {"titles_filled": pieces.num_filled}
        if large.log is None:
            nothing = pl.DataFrame(schema=NO_EVENTS)
            out.table("interactions", nothing)
            interactions: Table = nothing
        else:
            sequences = SortedSequences()
            blocks = _counted(made.events(), sequences)
            interactions = writes.table("interactions", Interactions.USER_ID, blocks, unique=False)
            found["sorted_sequence_share"] = sequences.share
    return LargeCatalogue(
        items, interactions, {**made.profile, **found, "digest": writes.digest.hexdigest()}
    )


def _built(
    large: LargeTable, rules: Mapping[str, Any], spill: Spill, track: Track
) -> CatalogueInPieces:
    item_ids = large.items.ids.sort()
    if (item_ids == item_ids.shift()).any():
        require_unique(large.items.ids, large.items.name)
    if large.log is None:
        return without_log_in_pieces(item_ids)
    return build_in_pieces(
        item_ids,
        large.log,
        spill=spill,
        item_rows=large.item_rows(item_ids),
        interactions_name=large.log.name,
        events_at_once=large_table.EVENTS_AT_ONCE,
        track=track,
        **rules,
    )


class _Checked:
    """Pieces of the items, checked, and how many titles had to be filled once all have passed."""

    def __init__(self, large: LargeTable, track: Track) -> None:
        self._items, self._track = large.items, track
        self.num_filled = 0

    def __iter__(self) -> Iterator[pl.DataFrame]:
        pieces = self._track(self._items.pieces(), "read items", self._items.num_pieces)
        for first_row, piece in pieces:
            with in_rows(first_row, piece.height):
                rows, num_filled = check_items(piece, self._items.name, first_row)
            self.num_filled += num_filled
            yield rows


def _counted(blocks: Iterable[pl.DataFrame], sequences: SortedSequences) -> Iterator[pl.DataFrame]:
    for block in blocks:
        sequences.add(block)
        yield block


class _Writes:
    """Writes tables as parts of `shard_rows` rows, or as files (None), and digests their rows."""

    def __init__(self, out: StageWriter, shard_rows: int | None) -> None:
        self._out, self._shard_rows = out, shard_rows
        self.digest = TablesDigest()

    def table(self, name: str, key: str, blocks: Iterable[pl.DataFrame], unique: bool) -> Table:
        """Write the rows of `blocks`, in the order of `key`."""
        self.digest.begin()
        if self._shard_rows is None:
            whole = pl.concat(blocks)
            self.digest.add(whole)
            self._out.table(name, whole)
            return whole
        writer, num_parts = self._out.parts(name, key, unique), 0
        writer.begin()
        for index, part in enumerate(in_parts(blocks, self._shard_rows)):
            self.digest.add(part)
            writer.write(index, part, self.digest.hexdigest())  # of it and of all before it
            num_parts = index + 1
        return writer.finish(num_parts)
