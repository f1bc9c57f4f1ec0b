"""Step 1 of a catalogue: ids present and unique, events on known items, some text an item."""

from __future__ import annotations

import polars as pl

from sidmint.contracts import Interactions, Items, require_columns
from sidmint.errors import BadInput
from sidmint.outside import as_text, whole_as_integers

TEXT_COLUMNS = ("brand", "categories", "description")
"""Where a missing title is filled from: brand and categories joined, else the description."""

_USER, _ITEM, _POSITION = Interactions.USER_ID, Interactions.ITEM_ID, Interactions.POSITION


def check_items(items: pl.DataFrame, name: str = "items") -> tuple[pl.DataFrame, int]:
    """The items sorted by id with a title each, and how many titles had to be filled.

    A blank title is filled from brand and categories, else from the description. Raises
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
    items = check_ids(items, name)
    titles = _text_or_null(items[Items.TITLE], name)
    either = pl.coalesce(titles, _text_without_title(items, name))
    filled = pl.select(either.alias(Items.TITLE)).to_series()
    if filled.null_count():
        row = int(filled.is_null().arg_true()[0])
        raise BadInput(
            f"{name}: item {items[Items.ITEM_ID][row]} (row {row + 1}) has no text: title, "
            f"{', '.join(TEXT_COLUMNS)} are empty or absent ({filled.null_count()} such items); "
            "give it a title or remove it"
        )
    return items.with_columns(filled).sort(Items.ITEM_ID), titles.null_count()


def check_ids(items: pl.DataFrame, name: str) -> pl.DataFrame:
    """The items in the order of the file, their ids as text; each has one of its own.

    `BadInput` where there is no row, and naming the row of a missing or a repeated id.
    """
    require_columns(items, (Items.ITEM_ID,), name)
    if items.is_empty():
        raise BadInput(f"{name} has no rows; it wants one row an item")
    named = items.with_columns(_as_id(items[Items.ITEM_ID], name))
    _require_unique(named[Items.ITEM_ID], name)
    return named


def with_event_ids(interactions: pl.DataFrame, name: str) -> pl.DataFrame:
    """The events with user and item ids as text; `BadInput` naming the row of a missing one."""
    require_columns(interactions, (_USER, _ITEM), name)
    return interactions.with_columns(
        _as_id(interactions[column], name).alias(column) for column in (_USER, _ITEM)
    )


def number_events(
    interactions: pl.DataFrame, items: pl.DataFrame, name: str
) -> tuple[pl.DataFrame, pl.Series]:
    """Events with row numbers for ids (`items` rows; rows of the sorted users), and the users.

    Every event must be on a known item: `on_known_items` before it leaves others out.
    """
    require_columns(interactions, (_USER, _ITEM), name)
    user_ids, item_ids = (_as_id(interactions[column], name) for column in (_USER, _ITEM))
    users = user_ids.unique().sort()
    item_rows = rows_of(item_ids, items[Items.ITEM_ID])
    events = pl.DataFrame({_USER: rows_of(user_ids, users), _ITEM: item_rows})
    for column in (_POSITION, Interactions.TIMESTAMP):
        if column in interactions.columns and interactions[column].null_count() < events.height:
            events = events.with_columns(_all_or_none(interactions[column], name))
    return events, users


def on_known_items(
    interactions: pl.DataFrame, items: pl.DataFrame, limit: float, name: str
) -> pl.DataFrame:
    """The events on items that `items` has, if the others are no larger a share than `limit`.

    With a limit of 0 a single one is `BadInput`, which says how to leave them out.
    """
    require_columns(interactions, (_ITEM,), name)
    item_ids = _as_id(interactions[_ITEM], name)
    unknown = rows_of(item_ids, items[Items.ITEM_ID]).is_null()
    count, share = int(unknown.sum()), float(unknown.mean() or 0)  # type: ignore[arg-type]
    if not count:
        return interactions
    if share > limit:
        row = int(unknown.arg_true()[0])
        way_out = "add these items or set ingest.unknown_items: drop, which leaves the rows out"
        if limit:
            way_out = f"that is more than ingest.unknown_items_limit ({limit:g}) leaves out"
        raise BadInput(
            f"{name}: {count} interactions are on items that the items table does not have "
            f"({share:.1%} of all), the first in row {row + 1} on item_id {item_ids[row]}; "
            f"{way_out}"
        )
    return interactions.filter(~unknown)


def rows_of(ids: pl.Series, table: pl.Series) -> pl.Series:
    """The row of each of `ids` in `table` (unique), null where it is not there."""
    numbered = pl.DataFrame({"id": table}).with_row_index("row")
    found = ids.to_frame("id").join(numbered, on="id", how="left", maintain_order="left")
    return found["row"]


def _as_id(ids: pl.Series, name: str) -> pl.Series:
    """`ids` as strings; whole numbers that came as floats lose their ".0"."""
    ids = as_text(whole_as_integers(ids), name)
    missing = ids.is_null() | (ids == "")
    if missing.any():
        raise BadInput(
            f"{name}: row {missing.arg_true()[0] + 1} has no {ids.name} "
            f"({missing.sum()} such rows); fill it in or remove the row"
        )
    return ids


def _require_unique(ids: pl.Series, name: str) -> None:
    repeated = ids.is_duplicated()
    if repeated.any():
        first = ids.filter(repeated)[0]
        rows = ", ".join(str(row + 1) for row in (ids == first).arg_true()[:5])
        raise BadInput(
            f"{name}: item_id {first} stands in rows {rows} "
            f"({ids.filter(repeated).n_unique()} ids are repeated); keep one row an item"
        )


def _text_or_null(values: pl.Series, name: str) -> pl.Series:
    """`values` as text, null where there is nothing but space."""
    text = as_text(values, name)
    return pl.select(pl.when(text.str.strip_chars() != "").then(text)).to_series()


def _text_without_title(items: pl.DataFrame, name: str) -> pl.Series:
    """What stands in for a title: "brand categories", else the description, else null."""
    parts = {
        column: _text_or_null(items[column], name)
        if column in items.columns and not items.schema[column].is_nested()
        else pl.Series([None] * items.height, dtype=pl.String)
        for column in TEXT_COLUMNS
    }
    joined = pl.concat_str(parts["brand"], parts["categories"], separator=" ", ignore_nulls=True)
    short = pl.when(joined != "").then(joined)
    return pl.select(pl.coalesce(short, parts["description"])).to_series()


def _all_or_none(values: pl.Series, name: str) -> pl.Series:
    if values.null_count():
        raise BadInput(
            f"{name}: row {values.is_null().arg_true()[0] + 1} has no {values.name} where other "
            f"rows have ({values.null_count()} such rows); fill it in, remove the rows or leave "
            "the column out"
        )
    return values
