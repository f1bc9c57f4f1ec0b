"""Source `amazon_2018`: `X_5.json.gz` and `meta_X.json.gz` of the 2018 release.

Both are JSON lines. Reviews as in 2014. In the metadata the path is `category` (a list), the
description a list, the price a text like "$3.17"; some titles are markup or page scripts, and
some products stand there twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sidmint.contracts import Items
from sidmint.params import IngestParams
from sidmint.progress import Track, silent
from sidmint.sources import amazon
from sidmint.sources.base import SOURCES, RawCatalogue, SourceFiles
from sidmint.sources.lines import json_rows

REVIEW = amazon.EventFields("reviewerID", "asin", "unixReviewTime", 1_000_000)


@SOURCES.register("amazon_2018")
def read_amazon_2018(
    params: IngestParams, files: SourceFiles, seed: int, track: Track = silent
) -> RawCatalogue:
    """Reviewed items of one category and their reviews, in file order."""
    items_path, interactions_path = files.both("amazon_2018")
    events = amazon.read_reviews(interactions_path, REVIEW)
    described = _described(items_path, set(events[Items.ITEM_ID]), track)
    return amazon.assemble(events, described, items_path, interactions_path)


def _described(path: Path, wanted: set[str], track: Track) -> Iterator[dict[str, Any]]:
    for _, meta in track(json_rows(path), "reading item metadata"):
        if meta.get("asin") not in wanted:
            continue
        yield {
            Items.ITEM_ID: meta["asin"],
            Items.TITLE: amazon.plain_text(meta.get("title")),
            "brand": amazon.plain_text(meta.get("brand")),
            # The documentation says categories, the files say category.
            Items.CATEGORIES: amazon.category_path(meta.get("category") or meta.get("categories")),
            "description": amazon.plain_text(meta.get("description")),
            "price": amazon.price_of(meta.get("price")),
        }
