"""What a published table answers, whether it lies in one file or in parts.

Shape letters: N items, M parts of an id (L levels and the suffix, where there is one).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import polars as pl

from sidmint.publishing.parted_table import PartedTable
from sidmint.publishing.tables import in_parts
from sidmint.publishing.versions import Release
from sidmint.publishing.whole_table import WholeTable
from sidmint.types import Ints


class PublishedRows(Protocol):
    """The rows of one version. Of a file all are in memory, of parts those that were asked for."""

    @property
    def num_items(self) -> int:
        """N."""
        ...

    @property
    def code_columns(self) -> list[str]:
        """The columns of the codes, first level first."""
        ...

    @property
    def item_ids(self) -> pl.Series:
        """The ids of all N items, in row order: in memory, whatever form the table has."""
        ...

    @property
    def parts(self) -> Ints:
        """The parts of all ids (N, M) int32, in row order; -1 where an item has no id."""
        ...

    def row(self, item: str) -> dict[str, Any] | None:
        """The row of an item, by column; None for one that the table does not have."""
        ...

    def semantic_ids(self, items: pl.Series) -> tuple[pl.Series, pl.Series]:
        """The id of each of `items`, null where it has none; and whether the table has the item."""
        ...

    def semantic_id(self, item: str) -> tuple[str | None, bool]:
        """The same of one, for questions one by one."""
        ...

    def items(self, semantic_ids: pl.Series) -> pl.Series:
        """The item that has each whole id, null where none has.

        `BadInput` where an id names several items: an override can publish such. Of a table in
        parts only the ids that are asked for are looked at.
        """
        ...

    def item(self, semantic_id: str) -> str | None:
        """The same of one."""
        ...

    def below(self, prefix: Sequence[int]) -> pl.DataFrame:
        """Items whose id begins with `prefix`, in row order: `item_id`, `semantic_id`."""
        ...

    def num_below(self, prefix: Sequence[int]) -> int:
        """How many they are."""
        ...

    def under(self, prefix: Sequence[int]) -> pl.Series:
        """Their ids, for many questions: of a file, all rows are sorted once."""
        ...

    def look_alikes(self, wanted: str) -> str:
        """The end of an error about an unknown item, see `tables.look_alikes`.

        Of a table in parts, of the part where the item would stand.
        """
        ...

    def pieces(self, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        """All rows in their order, or `columns` of them; one piece at least."""
        ...

    def by_item(self, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        """All rows by rising item id: a refresh puts later items behind, which is not that."""
        ...

    def ids_of_rows(self, rows: pl.Series) -> pl.Series:
        """The item ids that stand in `rows`, rising numbers from 0."""
        ...


def open_rows(release: Release) -> PublishedRows:
    """The rows of `release`; of a table in parts only parts.json is read until it is asked.

    `BadInput` where a file is no such table or not what was published: a part is checked before it
    is read first.
    """
    return PartedTable(release) if in_parts(release) else WholeTable(release)
