"""The data behind the prefix browser: titles and codes, small enough to travel in the page.

A page carries at most `MOST_ITEMS` items. Of a larger catalogue it carries whole
families (all items under a prefix) spread evenly over the id space, since single items
picked at random would have no siblings to show; the counts beside each code stay those
of the whole catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from sidmint.contracts import Items, SemanticIds
from sidmint.errors import BadInput
from sidmint.reporting.titles import one_line

MOST_ITEMS = 20_000
_TITLE_LENGTH = 110


def browser_data(
    items: pl.DataFrame, sids: Mapping[str, pl.DataFrame], most: int = MOST_ITEMS
) -> dict[str, Any]:
    """What page.js reads: columns of ids and titles, and per tokenizer a column a level.

    `sids` maps a tokenizer's name to its sids.parquet, rows in the order of `items`. Per
    tokenizer `tails` holds what the Semantic ID says after its codes (-1: nothing), and
    `totals` the number of items a prefix has in the whole catalogue, where the page
    carries a sample. Raises `BadInput` where a table lists other items than the catalogue.
    """
    for name, table in sids.items():
        if not table[SemanticIds.ITEM_ID].equals(items[Items.ITEM_ID]):
            raise BadInput(
                f"sids.parquet of {name} does not list the items of the catalogue in their "
                "order; `sidmint run` brings every stage up to date"
            )
    rows = _chosen_rows(next(iter(sids.values())), most)
    titles = items[Items.TITLE].gather(rows)
    return {
        "numItems": len(items),
        "ids": items[Items.ITEM_ID].gather(rows).to_list(),
        "titles": [one_line(title, _TITLE_LENGTH) for title in titles],
        "tokenizers": [_columns(name, table, rows) for name, table in sids.items()],
    }


def _columns(name: str, sids: pl.DataFrame, rows: npt.NDArray[np.int64]) -> dict[str, Any]:
    codes = _code_columns(sids)
    kept = sids.with_columns(_prefix_totals(codes)).select(pl.all().gather(rows))
    whole = len(kept) == len(sids)
    return {
        "name": name,
        "levels": [kept[code].to_list() for code in codes],
        "tails": _tails(kept, codes, name),
        "totals": None if whole else [kept[f"total_{code}"].to_list() for code in codes],
    }


def _prefix_totals(codes: list[str]) -> list[pl.Expr]:
    return [
        pl.len().over(codes[: level + 1]).alias(f"total_{code}") for level, code in enumerate(codes)
    ]


def _tails(sids: pl.DataFrame, codes: list[str], name: str) -> list[int] | None:
    """The part of each Semantic ID after its codes, -1 for none; None where no id has one."""
    parts = sids.select(
        pl.col(SemanticIds.SEMANTIC_ID).alias("id"),
        pl.concat_str(codes, separator="-").alias("stem"),
    ).with_columns(pl.col("id").str.strip_prefix(pl.col("stem")).alias("tail"))
    strange = parts.filter(
        ~pl.col("id").str.starts_with(pl.col("stem")) | ~pl.col("tail").str.contains(r"^(-\d+)?$")
    )
    if len(strange):
        raise BadInput(
            f"sids.parquet of {name}: Semantic ID {strange['id'][0]!r} wanted to begin with its "
            f"codes {strange['stem'][0]}; run `sidmint assign --tokenizer {name}` again"
        )
    tails = parts["tail"].str.strip_prefix("-").cast(pl.Int64, strict=False).fill_null(-1)
    return tails.to_list() if (tails >= 0).any() else None


def _chosen_rows(sids: pl.DataFrame, most: int) -> npt.NDArray[np.int64]:
    """Row numbers, rising: all of them, or whole families spread evenly over the id space."""
    if len(sids) <= most:
        return np.arange(len(sids))
    families = _families(sids, most)
    chosen: list[int] = []
    for seen, family in enumerate(families, start=1):
        behind = len(chosen) < seen / len(families) * most
        if behind and len(chosen) + len(family) <= most:
            chosen.extend(family)
    return np.array(sorted(chosen), dtype=np.int64)


def _families(sids: pl.DataFrame, most: int) -> list[list[int]]:
    """Rows by the shortest prefix whose families are small enough for a page to hold twenty."""
    codes = _code_columns(sids)
    for length in range(1, len(codes) + 1):
        prefix = codes[:length]
        if length == len(codes) or len(sids) / sids[prefix].n_unique() * 20 <= most:
            break
    rows = sids.select(*prefix, pl.int_range(pl.len()).alias("row"))
    grouped = rows.group_by(prefix).agg(pl.col("row").sort()).sort(prefix)
    return grouped["row"].to_list()


def _code_columns(sids: pl.DataFrame) -> list[str]:
    codes = [name for name in sids.columns if name.removeprefix("code_").isdecimal()]
    return sorted(codes, key=lambda name: int(name.removeprefix("code_")))
