"""Source `amazon_2014`: `reviews_X_5.json.gz` and `meta_X.json.gz` of the 2014 release.

Reviews are JSON lines with `reviewerID`, `asin`, `unixReviewTime` (days, in seconds). The
metadata lines are printed Python dictionaries, no JSON; `ast.literal_eval` reads literals and
can run nothing.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sidmint.contracts import Items
from sidmint.errors import BadInput
from sidmint.params import IngestParams
from sidmint.progress import Track, silent
from sidmint.sources import amazon
from sidmint.sources.base import SOURCES, RawCatalogue, SourceFiles
from sidmint.sources.lines import numbered_lines

REVIEW = amazon.EventFields("reviewerID", "asin", "unixReviewTime", 1_000_000)
_ASIN = re.compile(r"""['"]asin['"]:\s*['"]([^'"]+)['"]""")


@SOURCES.register("amazon_2014")
def read_amazon_2014(
    params: IngestParams, files: SourceFiles, seed: int, track: Track = silent
) -> RawCatalogue:
    """Reviewed items of one category and their reviews, in file order."""
    items_path, interactions_path = files.both("amazon_2014")
    events = amazon.read_reviews(interactions_path, REVIEW)
    wanted = set(events[Items.ITEM_ID])
    described = _described(items_path, wanted, track)
    return amazon.assemble(events, described, items_path, interactions_path)


def _described(path: Path, wanted: set[str], track: Track) -> Iterator[dict[str, Any]]:
    for number, line in track(numbered_lines(path), "reading item metadata"):
        # Parsing a literal takes 0.2 ms and most items have no review: look at the asin first.
        found = _ASIN.search(line)
        if found and found[1] not in wanted:
            continue
        meta = parse_meta_line(line, path, number)
        yield {
            Items.ITEM_ID: meta.get("asin"),
            Items.TITLE: amazon.plain_text(meta.get("title")),
            "brand": amazon.plain_text(meta.get("brand")),
            Items.CATEGORIES: amazon.category_path(meta.get("categories")),
            "description": amazon.plain_text(meta.get("description")),
            "price": amazon.price_of(meta.get("price")),
        }


def parse_meta_line(line: str, path: Path, number: int) -> dict[str, Any]:
    """One metadata line, a Python literal or (in mirrors that mended the file) JSON."""
    try:
        meta = json.loads(line)
    except json.JSONDecodeError:
        meta = _literal(line, path, number)
    if not isinstance(meta, dict):
        raise BadInput(f"{path} line {number} is no dictionary: {line.strip()[:60]!r}")
    return meta


def _literal(line: str, path: Path, number: int) -> Any:
    try:
        with warnings.catch_warnings():
            # Descriptions hold backslashes that Python finds odd but reads as they stand.
            warnings.simplefilter("ignore", SyntaxWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            return ast.literal_eval(line.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise BadInput(
            f"{path} line {number} is neither a Python literal nor JSON: {line.strip()[:60]!r}; "
            "mend or remove the line"
        ) from error
