"""What the Amazon review sets of 2014, 2018 and 2023 share (McAuley's group, UCSD).

The metadata files describe every product that was ever scraped, many times more than were
reviewed, so only items with at least one interaction become the catalogue. Pages that were
scraped badly are mended or left out, and counted.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from sidmint.contracts import Interactions, Items
from sidmint.errors import BadInput
from sidmint.sources.base import RawCatalogue
from sidmint.sources.lines import read_json_lines

ITEM_SCHEMA = {
    Items.ITEM_ID: pl.String,
    Items.TITLE: pl.String,
    "brand": pl.String,
    Items.CATEGORIES: pl.String,
    "description": pl.String,
    "price": pl.Float64,
}
_TAG = re.compile(r"<[a-zA-Z/!][^>]*>")
_PRICE = re.compile(r"\d[\d,]*(?:\.\d+)?")


@dataclass(frozen=True)
class EventFields:
    """Names of a review's fields, and how many microseconds one unit of its time has."""

    user: str
    item: str
    time: str
    micros: int


def read_reviews(path: Path, fields: EventFields) -> pl.DataFrame:
    """`user_id`, `item_id`, `timestamp` of a JSON Lines file of reviews, in file order."""
    schema: Any = {fields.user: pl.String, fields.item: pl.String, fields.time: pl.Int64}
    return events_from(read_json_lines(path, schema), fields, path)


def events_from(reviews: pl.DataFrame, fields: EventFields, path: Path) -> pl.DataFrame:
    """`reviews` under our names; `BadInput` naming the row (from 1) that lacks a field."""
    for field in (fields.user, fields.item, fields.time):
        missing = reviews[field].is_null()
        if missing.any():
            raise BadInput(
                f"{path}: row {missing.arg_true()[0] + 1} has no {field} ({missing.sum()} such "
                "rows); is this the review file of the right year?"
            )
    return reviews.select(
        pl.col(fields.user).alias(Interactions.USER_ID),
        pl.col(fields.item).alias(Interactions.ITEM_ID),
        (pl.col(fields.time) * fields.micros).cast(pl.Datetime("us")).alias(Interactions.TIMESTAMP),
    )


def assemble(
    events: pl.DataFrame,
    described: Iterable[Mapping[str, Any]],
    items_path: Path,
    interactions_path: Path,
) -> RawCatalogue:
    """The items of `described` (rows of `ITEM_SCHEMA`) that have events, and their events.

    Of an item described twice (products merged under one asin) the first row is kept; an item
    without any text, and events without an item, are left out; exact repeats of an event (the
    later sets list some reviews twice) count once. All is counted.
    """
    rows = pl.DataFrame(list(described), schema=ITEM_SCHEMA)
    reviewed = rows.join(events, on=Items.ITEM_ID, how="semi", maintain_order="left")
    first = reviewed.unique(Items.ITEM_ID, keep="first", maintain_order=True)
    text = [pl.col(column) for column in ITEM_SCHEMA if ITEM_SCHEMA[column] == pl.String][1:]
    items = first.filter(pl.any_horizontal(column.is_not_null() for column in text))
    once = events.unique(maintain_order=True, keep="first")
    known = once.join(items, on=Items.ITEM_ID, how="semi", maintain_order="left")
    if items.is_empty():
        raise BadInput(
            f"{items_path} describes none of the items in {interactions_path}; "
            "are the two files of one category and one year?"
        )
    left_out = {
        "items_described_twice": reviewed.height - first.height,
        "items_without_text": first.height - items.height,
        "interactions_repeated": events.height - once.height,
        "interactions_without_item": once.height - known.height,
    }
    return RawCatalogue(items, known, items_path.name, interactions_path.name, left_out)


def plain_text(value: Any) -> str | None:
    """`value` (text or a list of texts) without markup and entities, or None if nothing is left.

    Titles such as "var aPageStart = (new Date()).getTime(); ..." are scripts of pages that
    were scraped wrongly: no title at all.
    """
    if isinstance(value, list):
        value = " ".join(part for part in value if isinstance(part, str))
    if not isinstance(value, str) or "getTime" in value:
        return None
    # Entities first: some titles hold markup that is itself escaped.
    return " ".join(_TAG.sub(" ", html.unescape(value)).split()) or None


def category_path(value: Any) -> str | None:
    """Join names as in "Beauty > Makeup > Nails"; of several paths, the first."""
    if isinstance(value, list) and value and isinstance(value[0], list):
        value = value[0]
    names = value if isinstance(value, list) else [value]
    cleaned = [name for name in map(plain_text, names) if name]
    return " > ".join(cleaned) or None


def price_of(value: Any) -> float | None:
    """Dollars from 3.17, "$3.17" or "$1,299.00"; None from a range, other words or nothing."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return float(value)
    found = _PRICE.findall(value) if isinstance(value, str) else []
    return float(found[0].replace(",", "")) if len(found) == 1 else None
