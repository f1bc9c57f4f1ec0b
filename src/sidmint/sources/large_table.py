"""Source `table` where it is too large to be held: items and log in Parquet, piece by piece.

What `table` asks of whole columns (a unit of time, a decimal mark, bytes that are text) is found
out first, each by a pass over its column; from then on a piece is read as all of it would be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import polars as pl

from sidmint.catalogue import as_ids
from sidmint.catalogue.id_rows import IdRows
from sidmint.contracts import Interactions, Items
from sidmint.errors import in_rows
from sidmint.params import IngestParams
from sidmint.sources.base import SourceFiles
from sidmint.sources.instants import TimeForm
from sidmint.sources.item_ids import AS_WRITTEN, in_form, spellings
from sidmint.sources.numbers import decimal_commas
from sidmint.sources.parquet_pieces import ParquetPieces
from sidmint.sources.table import (
    EVENT_COLUMNS,
    NO_LOG_NAME,
    flat_items,
    map_events,
    map_items,
    mapping_by_table,
)

EVENTS_AT_ONCE = 1 << 20
ITEMS_AT_ONCE = 1 << 17

Array = npt.NDArray[Any]
_Mapping = Mapping[str, tuple[str, str]]


@dataclass(frozen=True)
class LargeItems:
    """Items under our names, read a piece at a time."""

    table: ParquetPieces
    columns: Mapping[str, str]
    commas: bool
    """How all prices are written, as `as_amounts` wants it."""
    ids: pl.Series
    """Of all items, as text, in the order of the file."""

    @classmethod
    def of(cls, table: ParquetPieces, columns: Mapping[str, str]) -> LargeItems:
        """Reads all ids. `BadInput` names a column that is missing, or the row without an id."""
        mapping = mapping_by_table(columns)[0]
        theirs = _their_name(Items.ITEM_ID, mapping, table)
        table = table.settled([theirs])
        map_items(table.head, columns, table.path)
        ids = []
        for first_row, piece in table.pieces(EVENTS_AT_ONCE, [theirs]):
            with in_rows(first_row, piece.height):
                own = piece[theirs].alias(Items.ITEM_ID)
                ids.append(as_ids(own, table.path.name, first_row))
        return cls(table, columns, _prices_have_commas(table, mapping), pl.concat(ids))

    @property
    def name(self) -> str:
        """Stands for the table in errors."""
        return self.table.path.name

    @property
    def num_pieces(self) -> int:
        """How many `pieces` there are."""
        return self.table.num_pieces(ITEMS_AT_ONCE)

    def pieces(self) -> Iterator[tuple[int, pl.DataFrame]]:
        """Each piece as `RawCatalogue.items`, and the number of its first row."""
        for first_row, piece in self.table.pieces(ITEMS_AT_ONCE):
            yield first_row, map_items(piece, self.columns, self.table.path, self.commas).items


@dataclass(frozen=True)
class LargeLog:
    """A log under our names: `catalogue.in_pieces.LogPieces`."""

    table: ParquetPieces
    columns: Mapping[str, str]
    form: TimeForm
    """Of all times."""

    @classmethod
    def of(cls, table: ParquetPieces, columns: Mapping[str, str]) -> LargeLog:
        """`BadInput` names a column that is missing."""
        mapping = mapping_by_table(columns)[1]
        ids = (Interactions.USER_ID, Interactions.ITEM_ID)
        table = table.settled([_their_name(column, mapping, table) for column in ids])
        map_events(table.head, columns, table.path)
        form = TimeForm()
        times = _found(Interactions.TIMESTAMP, mapping, table)
        if times is not None and not table.schema[times].is_temporal():
            for _, piece in table.pieces(EVENTS_AT_ONCE, [times]):
                form = form.and_of(TimeForm.of(piece[times]))
        return cls(table, columns, form)

    @property
    def name(self) -> str:
        """Stands for the table in errors."""
        return self.table.path.name

    @property
    def num_pieces(self) -> int:
        """How many pieces there are."""
        return self.table.num_pieces(EVENTS_AT_ONCE)

    def users(self) -> Iterator[tuple[int, pl.Series]]:
        """User ids alone, and the number of the first row of each piece."""
        theirs = _their_name(Interactions.USER_ID, self._mapping, self.table)
        for first_row, piece in self.table.pieces(EVENTS_AT_ONCE, [theirs]):
            yield first_row, piece[theirs].alias(Interactions.USER_ID)

    def events(self) -> Iterator[tuple[int, pl.DataFrame]]:
        """Each piece as `RawCatalogue.interactions`, and the number of its first row."""
        own = (_found(column, self._mapping, self.table) for column in EVENT_COLUMNS)
        asked = (theirs for theirs, _ in self._mapping.values())
        columns = list(dict.fromkeys([*asked, *(name for name in own if name is not None)]))
        for first_row, piece in self.table.pieces(EVENTS_AT_ONCE, columns):
            with in_rows(first_row, piece.height):
                where = self.table.path
                events = map_events(piece, self.columns, where, self.form, first_row)
            yield first_row, events

    @property
    def _mapping(self) -> _Mapping:
        return mapping_by_table(self.columns)[1]


@dataclass(frozen=True)
class LargeTable:
    """Items, and their log where there is one."""

    items: LargeItems
    log: LargeLog | None
    id_format: str

    @property
    def log_name(self) -> str:
        """Stands for the log in errors."""
        return NO_LOG_NAME if self.log is None else self.log.name

    def item_rows(self, item_ids: pl.Series) -> Callable[[pl.Series], Array] | None:
        """The row of ids of the log among `item_ids` (rising), compared in `ingest.id_format`.

        None where they are compared as they are written. `BadInput` names two items that are one.
        """
        if self.id_format == AS_WRITTEN:
            return None
        spellings(self.items.ids, self.id_format, self.items.name)
        rows = IdRows(in_form(item_ids, self.id_format))
        return lambda ids: rows.of(in_form(ids, self.id_format))


def open_large(params: IngestParams, files: SourceFiles, shard_rows: int) -> LargeTable | None:
    """What `ingest` names, if it is of source `table`, in Parquet, of more than `shard_rows` items.

    None otherwise: such are read whole. `BadInput` where a file is missing or no Parquet.
    """
    if params.source != "table" or files.items is None:
        return None
    items = ParquetPieces.of(files.items)
    if items is None or items.num_rows <= shard_rows:
        return None
    log = None if files.interactions is None else ParquetPieces.of(files.interactions)
    if log is None and files.interactions is not None:
        return None
    return LargeTable(
        LargeItems.of(items, params.columns),
        None if log is None else LargeLog.of(log, params.columns),
        params.id_format,
    )


def _found(ours: str, mapping: _Mapping, table: ParquetPieces) -> str | None:
    """The column of the file that is `ours` once `table.renamed` is through; None: none is."""
    if ours in mapping:
        return mapping[ours][0]
    taken = {theirs for theirs, _ in mapping.values()}
    return ours if ours in table.schema and ours not in taken else None


def _their_name(ours: str, mapping: _Mapping, table: ParquetPieces) -> str:
    """The same of a column that has to be there."""
    return _found(ours, mapping, table) or ours


def _prices_have_commas(table: ParquetPieces, mapping: _Mapping) -> bool:
    theirs = _found(Items.PRICE, mapping, table)
    if theirs is None or table.schema[theirs].is_numeric():
        return False
    more = 0
    for _, piece in table.pieces(ITEMS_AT_ONCE, [theirs]):
        flat = flat_items(piece.rename({theirs: Items.PRICE}))[Items.PRICE]
        more += decimal_commas(flat) if flat.dtype == pl.String else 0
    return more > 0
