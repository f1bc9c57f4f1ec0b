"""Source `amazon_2023`: reviews and `meta_X.jsonl(.gz)` of the 2023 release.

Items are `parent_asin` (variants of one product share it). Interactions are either the review
file `X.jsonl(.gz)`, a benchmark file with `user_id,parent_asin,rating,timestamp` (and perhaps
`history`, which is not read), or a folder with `X.train.csv`, `X.valid.csv`, `X.test.csv` of the
leave-one-out benchmark, read one after the other. Time is in milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from sidmint.contracts import Items, require_columns
from sidmint.errors import BadInput
from sidmint.params import IngestParams
from sidmint.progress import Track, silent
from sidmint.sources import amazon
from sidmint.sources.base import SOURCES, RawCatalogue, SourceFiles
from sidmint.sources.frames import read_frame
from sidmint.sources.lines import json_rows

REVIEW = amazon.EventFields("user_id", "parent_asin", "timestamp", 1_000)
_PARTS = ("train", "valid", "test")


@SOURCES.register("amazon_2023")
def read_amazon_2023(
    params: IngestParams, files: SourceFiles, seed: int, track: Track = silent
) -> RawCatalogue:
    """Reviewed items of one category and their reviews, in file order."""
    items_path, interactions_path = files.both("amazon_2023")
    events = _events(interactions_path)
    described = _described(items_path, set(events[Items.ITEM_ID]), track)
    return amazon.assemble(events, described, items_path, interactions_path)


def _events(path: Path) -> pl.DataFrame:
    if path.is_dir():
        return pl.concat([_events(part) for part in _benchmark_parts(path)])
    if not path.name.endswith((".csv", ".csv.gz")):
        return amazon.read_reviews(path, REVIEW)
    table = read_frame(path)
    require_columns(table, (REVIEW.user, REVIEW.item, REVIEW.time), path.name)
    numbers = table.with_columns(pl.col(REVIEW.time).cast(pl.Int64, strict=False))
    return amazon.events_from(numbers, REVIEW, path)


def _benchmark_parts(folder: Path) -> list[Path]:
    parts = [
        path
        for name in _PARTS
        for path in (
            *sorted(folder.glob(f"*.{name}.csv")),
            *sorted(folder.glob(f"*.{name}.csv.gz")),
        )
    ]
    if len(parts) != len(_PARTS):
        raise BadInput(
            f"{folder} wants one category's X.train.csv, X.valid.csv and X.test.csv, "
            f"it has {', '.join(path.name for path in parts) or 'none of them'}"
        )
    return parts


def _described(path: Path, wanted: set[str], track: Track) -> Iterator[dict[str, Any]]:
    for _, meta in track(json_rows(path), "reading item metadata"):
        if meta.get("parent_asin") not in wanted:
            continue
        yield {
            Items.ITEM_ID: meta["parent_asin"],
            Items.TITLE: amazon.plain_text(meta.get("title")),
            "brand": amazon.plain_text(meta.get("store")),
            Items.CATEGORIES: amazon.category_path(
                meta.get("categories") or meta.get("main_category")
            ),
            "description": amazon.plain_text(meta.get("description")),
            "price": amazon.price_of(meta.get("price")),
        }
