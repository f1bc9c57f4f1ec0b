"""Step 1 of a catalogue: ids present and unique, events on known items, some text an item."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from sidmint.contracts import Interactions, Items, require_columns
from sidmint.errors import BadInput
from sidmint.outside import as_text, whole_as_integers

TEXT_COLUMNS = ("brand", "categories", "description")
"""Where a missing title is filled from: brand and categories joined, else the description."""

_USER, _ITEM, _POSITION = Interactions.USER_ID, Interactions.ITEM_ID, Interactions.POSITION


def check_items(
    items: pl.DataFrame, name: str = "items", first_row: int = 1
) -> tuple[pl.DataFrame, int]:
    """The items sorted by id with a title each, and how many titles had to be filled.

    A blank title is filled from brand and categories, else from the description. `first_row` is
    the number of the first row where `items` are a piece of a longer table. Raises
    `BadInput` naming the row (counted from 1) of a missing id, a repeated id, or an item
    without any text, and for columns that the catalogue computes itself.
    """
    require_columns(items, (Items.ITEM_ID, Items.TITLE), name)
    computed = (Items.COLD, Items.STANDING, Items.NUM_TRAIN)
    taken = [column for column in computed if column in items.columns]
    if taken:
        raise BadInput(
            f"{name} has the column {taken[0]}, which the catalogue computes; rename yours"
        )
    items = check_ids(items, name, first_row)
    titles = _text_or_null(items[Items.TITLE], name, first_row)
    either = pl.coalesce(titles, _text_without_title(items, name, first_row))
    filled = pl.select(either.alias(Items.TITLE)).to_series()
    if filled.null_count():
        row = int(filled.is_null().arg_true()[0])
        raise BadInput(
            f"{name}: item {items[Items.ITEM_ID][row]} (row {row + first_row}) has no text: title, "
            f"{', '.join(TEXT_COLUMNS)} are empty or absent ({filled.null_count()} such items); "
            "give it a title or remove it"
        )
    return items.with_columns(filled).sort(Items.ITEM_ID), titles.null_count()


def check_ids(items: pl.DataFrame, name: str, first_row: int = 1) -> pl.DataFrame:
    """The items in the order of the file, their ids as text; each has one of its own.

    `first_row` is that of a piece, as in `check_items`. `BadInput` where there is no row, and
    naming the row of a missing or a repeated id.
    """
    require_columns(items, (Items.ITEM_ID,), name)
    if items.is_empty():
        raise BadInput(f"{name} has no rows; it wants one row an item")
    named = items.with_columns(as_ids(items[Items.ITEM_ID], name, first_row))
    require_unique(named[Items.ITEM_ID], name, first_row)
    return named


def with_event_ids(interactions: pl.DataFrame, name: str, first_row: int = 1) -> pl.DataFrame:
    """The events with user and item ids as text; `BadInput` naming the row of a missing one."""
    require_columns(interactions, (_USER, _ITEM), name)
    return interactions.with_columns(
        as_ids(interactions[column], name, first_row).alias(column) for column in (_USER, _ITEM)
    )


def number_events(
    interactions: pl.DataFrame, items: pl.DataFrame, name: str
) -> tuple[pl.DataFrame, pl.Series]:
    """Events with row numbers for ids (`items` rows; rows of the sorted users), and the users.

    Every event must be on a known item: `on_known_items` before it leaves others out.
    """
    require_columns(interactions, (_USER, _ITEM), name)
    user_ids, item_ids = (as_ids(interactions[column], name) for column in (_USER, _ITEM))
    users = user_ids.unique().sort()
    item_rows = rows_of(item_ids, items[Items.ITEM_ID])
    events = pl.DataFrame({_USER: rows_of(user_ids, users), _ITEM: item_rows})
    for column in (_POSITION, Interactions.TIMESTAMP):
        if column in interactions.columns:
            gaps = Gaps.of(interactions[column].is_null())
            if gaps.is_column(events.height, column, name):
                events = events.with_columns(interactions[column])
    return events, users


def on_known_items(
    interactions: pl.DataFrame, items: pl.DataFrame, limit: float, name: str
) -> pl.DataFrame:
    """The events on items that `items` has, if the others are no larger a share than `limit`.

    With a limit of 0 a single one is `BadInput`, which says how to leave them out.
    """
    require_columns(interactions, (_ITEM,), name)
    item_ids = as_ids(interactions[_ITEM], name)
    unknown = rows_of(item_ids, items[Items.ITEM_ID]).is_null()
    found = Unknown().and_of(unknown, item_ids)
    if not found.count:
        return interactions
    found.require_few(interactions.height, limit, name)
    return interactions.filter(~unknown)


@dataclass(frozen=True)
class Unknown:
    """Events on items that the items table does not have, over pieces that follow each other."""

    count: int = 0
    first: tuple[int, str] = (0, "")
    """Row (from 1) and item id of the first of them."""

    def and_of(self, unknown: pl.Series, item_ids: pl.Series, first_row: int = 1) -> Unknown:
        """With those of the next piece: whether each of its events is one, and their items."""
        if not unknown.any():
            return self
        row = int(unknown.arg_true()[0])
        first = self.first if self.count else (row + first_row, item_ids[row])
        return Unknown(self.count + int(unknown.sum()), first)

    def require_few(self, num_events: int, limit: float, name: str) -> None:
        """`BadInput` where they are a larger share of `num_events` than `limit`."""
        share = self.count / max(num_events, 1)
        if share <= limit:
            return
        way_out = "add these items or set ingest.unknown_items: drop, which leaves the rows out"
        if limit:
            way_out = f"that is more than ingest.unknown_items_limit ({limit:g}) leaves out"
        raise BadInput(
            f"{name}: {self.count} interactions are on items that the items table does not have "
            f"({share:.1%} of all), the first in row {self.first[0]} on item_id {self.first[1]}; "
            f"{way_out}"
        )


@dataclass(frozen=True)
class Gaps:
    """Missing values of a column, over pieces that follow each other."""

    count: int = 0
    first_row: int = 0
    """Of the first of them, from 1."""

    @classmethod
    def of(cls, missing: pl.Series, first_row: int = 1) -> Gaps:
        """Those of one piece: whether each value is `missing`; its first row is `first_row`."""
        count = int(missing.sum())
        return cls(count, int(missing.arg_true()[0]) + first_row) if count else cls()

    def and_of(self, later: Gaps) -> Gaps:
        """With those of a later piece."""
        return Gaps(self.count + later.count, self.first_row if self.count else later.first_row)

    def is_column(self, num_rows: int, column: str, name: str) -> bool:
        """Whether the column is there: in every row, or (False) in none; else `BadInput`."""
        if self.count in (0, num_rows):
            return self.count < num_rows
        raise BadInput(
            f"{name}: row {self.first_row} has no {column} where other rows have ({self.count} "
            "such rows); fill it in, remove the rows or leave the column out"
        )


def rows_of(ids: pl.Series, table: pl.Series) -> pl.Series:
    """The row of each of `ids` in `table` (unique), null where it is not there."""
    numbered = pl.DataFrame({"id": table}).with_row_index("row")
    found = ids.to_frame("id").join(numbered, on="id", how="left", maintain_order="left")
    return found["row"]


def as_ids(ids: pl.Series, name: str, first_row: int = 1) -> pl.Series:
    """`ids` as strings; whole numbers that came as floats lose their ".0".

    `BadInput` naming the row of a missing one.
    """
    ids = as_text(whole_as_integers(ids), name, first_row)
    missing = ids.is_null() | (ids == "")
    if missing.any():
        raise BadInput(
            f"{name}: row {missing.arg_true()[0] + first_row} has no {ids.name} "
            f"({missing.sum()} such rows); fill it in or remove the row"
        )
    return ids


def require_unique(ids: pl.Series, name: str, first_row: int = 1) -> None:
    """`BadInput` naming the rows of the first of `ids` (in the order of the file) that repeats."""
    repeated = ids.is_duplicated()
    if repeated.any():
        first = ids.filter(repeated)[0]
        rows = ", ".join(str(row + first_row) for row in (ids == first).arg_true()[:5])
        raise BadInput(
            f"{name}: item_id {first} stands in rows {rows} "
            f"({ids.filter(repeated).n_unique()} ids are repeated); keep one row an item"
        )


def _text_or_null(values: pl.Series, name: str, first_row: int) -> pl.Series:
    """`values` as text, null where there is nothing but space."""
    text = as_text(values, name, first_row)
    return pl.select(pl.when(text.str.strip_chars() != "").then(text)).to_series()


def _text_without_title(items: pl.DataFrame, name: str, first_row: int) -> pl.Series:
    """What stands in for a title: "brand categories", else the description, else null."""
    parts = {
        column: _text_or_null(items[column], name, first_row)
        if column in items.columns and not items.schema[column].is_nested()
        else pl.Series([None] * items.height, dtype=pl.String)
        for column in TEXT_COLUMNS
    }
    joined = pl.concat_str(parts["brand"], parts["categories"], separator=" ", ignore_nulls=True)
    short = pl.when(joined != "").then(joined)
    return pl.select(pl.coalesce(short, parts["description"])).to_series()
