"""Source `table`: your own Parquet, CSV or JSONL files, with a mapping of column names.

`ingest.columns` maps our column to yours: `{item_id: asin, title: name}`. A key holds for both
files; where they differ, say which: `{items.item_id: id, interactions.item_id: product}`.
Without `ingest.interactions` the catalogue is of items alone.
A column that already has our name needs no entry. Other columns of the items are kept and may
be named in the text template; other columns of the interactions are not read further.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import polars as pl

from sidmint.contracts import Interactions, Items, require_columns
from sidmint.errors import BadInput
from sidmint.outside import from_outside
from sidmint.params import IngestParams
from sidmint.progress import Track, silent
from sidmint.sources.base import SOURCES, RawCatalogue, SourceFiles
from sidmint.sources.frames import read_frame
from sidmint.sources.instants import TimeForm, as_instants
from sidmint.sources.item_ids import AS_WRITTEN, joined
from sidmint.sources.numbers import as_amounts

EVENT_COLUMNS = (
    Interactions.USER_ID,
    Interactions.ITEM_ID,
    Interactions.POSITION,
    Interactions.TIMESTAMP,
)
NO_LOG_NAME = "no interaction log"
"""Stands for the log in errors where there is none."""
_TABLES = ("items", "interactions")


@SOURCES.register("table")
def read_table(
    params: IngestParams, files: SourceFiles, seed: int, track: Track = silent
) -> RawCatalogue:
    """The user's files under our column names; nothing is dropped."""
    if files.items is not None and files.no_log:
        return map_items(read_frame(files.items, params.encoding), params.columns, files.items)
    items_path, interactions_path = files.both("table")
    return map_tables(
        read_frame(items_path, params.encoding),
        read_frame(interactions_path, params.encoding),
        params.columns,
        items_path,
        interactions_path,
        params.id_format,
    )


def read_items(path: Path, columns: Mapping[str, str], encoding: str) -> pl.DataFrame:
    """A table of items alone, as `read_table` would read it: our names, plain types, file order.

    `columns` and `encoding` are those of `ingest`; what is said of interactions is not read. Other
    sources name the columns themselves and leave it empty: their new items come as a table with
    our names.
    `BadInput` names what is missing.
    """
    items = renamed(read_frame(path, encoding), mapping_by_table(columns)[0], path.name)
    require_columns(items, (Items.ITEM_ID,), path.name)
    with from_outside(path.name):
        return plain_items(items)


def map_tables(
    items: pl.DataFrame,
    interactions: pl.DataFrame,
    columns: Mapping[str, str],
    items_path: Path,
    interactions_path: Path,
    id_format: str = AS_WRITTEN,
) -> RawCatalogue:
    """Two tables as read, under our names and types; `BadInput` names a column that is missing.

    Item ids of the interactions get the spelling of the items, where `id_format` makes them one.
    """
    described = map_items(items, columns, items_path)
    events = map_events(interactions, columns, interactions_path)
    ids = events[Interactions.ITEM_ID], described.items[Items.ITEM_ID]
    events = events.with_columns(joined(*ids, id_format, items_path.name))
    return replace(described, interactions=events, interactions_name=interactions_path.name)


def map_events(
    interactions: pl.DataFrame,
    columns: Mapping[str, str],
    interactions_path: Path,
    form: TimeForm | None = None,
    first_row: int = 1,
) -> pl.DataFrame:
    """The interactions as read, under our names and types, and only what is read further.

    Of a piece of them, `form` is that of all times and `first_row` the number of its first row.
    """
    interactions_name = interactions_path.name
    _, for_interactions = mapping_by_table(columns)
    interactions = renamed(interactions, for_interactions, interactions_name)
    require_columns(interactions, (Interactions.USER_ID, Interactions.ITEM_ID), interactions_name)
    events = interactions.select(c for c in EVENT_COLUMNS if c in interactions.columns)
    with from_outside(interactions_name):
        if Interactions.TIMESTAMP in events.columns:
            times = events[Interactions.TIMESTAMP]
            instants = as_instants(times, interactions_name, form, first_row)
            events = events.with_columns(instants)
        if Interactions.POSITION in events.columns:
            positions = _whole(events[Interactions.POSITION], interactions_name, first_row)
            events = events.with_columns(positions)
    return events


def map_items(
    items: pl.DataFrame,
    columns: Mapping[str, str],
    items_path: Path,
    commas: bool | None = None,
) -> RawCatalogue:
    """The items alone, under our names and types: a catalogue without a log.

    Of a piece of them, `commas` says how all prices are written, as `as_amounts` wants it.
    """
    for_items, _ = mapping_by_table(columns)
    items = renamed(items, for_items, items_path.name)
    require_columns(items, (Items.ITEM_ID, Items.TITLE), items_path.name)
    with from_outside(items_path.name):
        return RawCatalogue(plain_items(items, commas), None, items_path.name, NO_LOG_NAME)


def plain_items(items: pl.DataFrame, commas: bool | None = None) -> pl.DataFrame:
    """`flat_items` with `price` as a number; `commas` as `as_amounts` wants it."""
    items = flat_items(items)
    if Items.PRICE in items.columns and items.schema[Items.PRICE] == pl.String:
        items = items.with_columns(as_amounts(items[Items.PRICE], commas))
    return items


def flat_items(items: pl.DataFrame) -> pl.DataFrame:
    """Lists of text as one text (`categories` as a path), records as "key: value; key: value".

    What lies deeper than a record of texts, numbers and lists of them has no
    plain form and stays as it is: who names it in a template is told.
    """
    for name, dtype in items.schema.items():
        if isinstance(dtype, pl.Struct):
            items = items.with_columns(_record(name, dtype).alias(name))
        if isinstance(dtype, pl.Categorical | pl.Enum):
            items = items.with_columns(pl.col(name).cast(pl.String))
        if not isinstance(dtype, pl.List):
            continue
        if isinstance(dtype.inner, pl.List):  # several paths: the first
            items = items.with_columns(pl.col(name).list.first())
        inner = dtype.inner.inner if isinstance(dtype.inner, pl.List) else dtype.inner
        if not inner.is_nested():
            joint = {Items.CATEGORIES: " > ", "description": " "}.get(name, ", ")
            words = pl.col(name).cast(pl.List(pl.String))
            items = items.with_columns(words.list.join(joint, ignore_nulls=True))
    return items


def _record(name: str, dtype: pl.Struct) -> pl.Expr:
    """A record's own fields as "key: value; key: value", null where it has none filled."""
    parts = []
    for field in dtype.fields:
        value = pl.col(name).struct.field(field.name)
        if isinstance(field.dtype, pl.List) and not field.dtype.inner.is_nested():  # type: ignore[union-attr]
            value = value.cast(pl.List(pl.String)).list.join(", ", ignore_nulls=True)
        elif field.dtype.is_nested():  # type: ignore[union-attr]
            continue
        text = value.cast(pl.String).str.strip_chars()
        parts.append(pl.when(text != "").then(pl.concat_str(pl.lit(f"{field.name}: "), text)))
    if not parts:
        return pl.lit(None, dtype=pl.String)
    joined = pl.concat_str(parts, separator="; ", ignore_nulls=True)
    return pl.when(joined != "").then(joined)


def mapping_by_table(
    columns: Mapping[str, str],
) -> tuple[dict[str, tuple[str, str]], dict[str, tuple[str, str]]]:
    """Our column -> (its column in the file, the key of params.yaml that said so), a table."""
    by_table: dict[str, dict[str, tuple[str, str]]] = {table: {} for table in _TABLES}
    for key, theirs in sorted(columns.items(), key=lambda entry: "." in entry[0]):
        table, dot, ours = key.rpartition(".")
        if dot and table not in _TABLES:
            raise BadInput(
                f"ingest.columns.{key}: the part before the dot is items or interactions, "
                f"not {table!r}"
            )
        for name in (table,) if dot else _tables_with(ours):
            by_table[name][ours] = (theirs, f"ingest.columns.{key}")
    return by_table["items"], by_table["interactions"]


def _tables_with(column: str) -> tuple[str, ...]:
    if column == Items.ITEM_ID:
        return _TABLES
    return ("interactions",) if column in EVENT_COLUMNS else ("items",)


def renamed(frame: pl.DataFrame, mapping: Mapping[str, tuple[str, str]], name: str) -> pl.DataFrame:
    """`frame` (the table `name`) under our names; `BadInput` names a column that it lacks."""
    for ours, (theirs, key) in mapping.items():
        if theirs not in frame.columns:
            raise BadInput(
                f"{name} lacks the column {theirs!r} that {key} asks for as {ours}; "
                f"it has {', '.join(frame.columns)}"
            )
    taken = {theirs for theirs, _ in mapping.values()}
    # A column of theirs under our name gives way to the one that the mapping puts there.
    kept = [c for c in frame.columns if c not in mapping and c not in taken]
    return frame.select(
        *(pl.col(theirs).alias(ours) for ours, (theirs, _) in mapping.items()), *kept
    )


def _whole(positions: pl.Series, name: str, first_row: int) -> pl.Series:
    exact = positions.dtype.is_integer()
    whole = positions.cast(pl.Int64 if exact else pl.Float64, strict=False)
    bad = whole.is_null() & positions.is_not_null()
    if not exact:  # beyond 2^53 two positions may be one float
        bad |= ((whole % 1).fill_null(0) != 0) | (whole.abs() > 2.0**53).fill_null(False)
    if bad.any():
        row = int(bad.arg_true()[0])
        raise BadInput(
            f"{name}: row {row + first_row} has position {str(positions[row])[:40]!r}, no whole "
            "number of 64 bits; positions number the events of a user: 0, 1, 2 ..."
        )
    return whole.cast(pl.Int64)
