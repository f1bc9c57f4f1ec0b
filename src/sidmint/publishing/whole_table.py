"""A published table in one file: all of its rows are in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from sidmint.catalogue.checking import rows_of
from sidmint.contracts import SemanticIds
from sidmint.publishing.tables import look_alikes, names_several, read_table
from sidmint.publishing.versions import Release
from sidmint.semantic_ids import PrefixIndex
from sidmint.types import Ints

_ITEM, _ID = SemanticIds.ITEM_ID, SemanticIds.SEMANTIC_ID


class WholeTable:
    """See `published_rows.PublishedRows`."""

    def __init__(self, release: Release) -> None:
        """Reads the table."""
        self._table = read_table(release, "this")
        self._columns = list(release.ids.columns)
        self._version = release.version

    @property
    def num_items(self) -> int:
        """Rows of the frame."""
        return self._table.height

    @property
    def code_columns(self) -> list[str]:
        """In the order of the frame."""
        return [name for name in self._table.columns if name.startswith("code_")]

    @property
    def item_ids(self) -> pl.Series:
        """A column of the frame."""
        return self._table[_ITEM]

    @property
    def parts(self) -> Ints:
        """Columns of the frame, as one array."""
        numbers = self._table.select(pl.col(self._columns).fill_null(-1)).to_numpy()
        return np.ascontiguousarray(numbers, dtype=np.int32)

    def row(self, item: str) -> dict[str, Any] | None:
        """By a walk over the ids."""
        row = self.item_ids.index_of(item)
        return None if row is None else self._table.row(row, named=True)

    def semantic_ids(self, items: pl.Series) -> tuple[pl.Series, pl.Series]:
        """One join, whatever their number."""
        rows = rows_of(items, self.item_ids)
        return self._table[_ID].gather(rows), rows.is_not_null()

    def semantic_id(self, item: str) -> tuple[str | None, bool]:
        """By a dictionary of all items, made once."""
        row = self._row_of_item.get(item)
        return (None, False) if row is None else (self._table[_ID][row], True)

    def items(self, semantic_ids: pl.Series) -> pl.Series:
        """One join, whatever their number."""
        return self.item_ids.gather(rows_of(semantic_ids, self._unique_ids))

    def item(self, semantic_id: str) -> str | None:
        """By a dictionary of all ids, made once."""
        row = self._row_of_id.get(semantic_id)
        return None if row is None else str(self.item_ids[row])

    def below(self, prefix: Sequence[int]) -> pl.DataFrame:
        """By a walk over the codes."""
        return self._table.filter(self._begins_with(prefix)).select(_ITEM, _ID)

    def num_below(self, prefix: Sequence[int]) -> int:
        """Likewise."""
        return int(self._table.select(self._begins_with(prefix).sum()).item())

    def under(self, prefix: Sequence[int]) -> pl.Series:
        """By all ids, sorted once."""
        return self.item_ids.gather(self._prefixes.rows(prefix))

    def look_alikes(self, wanted: str) -> str:
        """Among all items."""
        return look_alikes(self.item_ids, wanted)

    def pieces(self, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        """One piece."""
        yield self._table if columns is None else self._table.select(columns)

    def by_item(self, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        """One piece, sorted here: a refresh puts later items behind."""
        for piece in self.pieces(columns):
            yield piece.sort(_ITEM)

    def ids_of_rows(self, rows: pl.Series) -> pl.Series:
        """Rows of the frame."""
        return self.item_ids.gather(rows)

    def _begins_with(self, prefix: Sequence[int]) -> pl.Expr:
        columns = zip(self._columns, prefix, strict=False)
        return pl.all_horizontal([pl.col(column) == part for column, part in columns])

    @cached_property
    def _row_of_item(self) -> dict[str, int]:
        return {item: row for row, item in enumerate(self.item_ids.to_list())}

    @cached_property
    def _row_of_id(self) -> dict[str, int]:
        rows = {each: row for row, each in enumerate(self._unique_ids.to_list())}
        return {each: row for each, row in rows.items() if each is not None}

    @cached_property
    def _unique_ids(self) -> pl.Series:
        ids = self._table[_ID]
        twice = ids.drop_nulls().filter(ids.drop_nulls().is_duplicated())
        if len(twice):
            raise names_several(self._version, twice[0])
        return ids

    @cached_property
    def _prefixes(self) -> PrefixIndex:
        return PrefixIndex(self.parts)
