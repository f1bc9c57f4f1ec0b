"""The buckets of a table that a person should look at first."""

from __future__ import annotations

import numpy as np
import polars as pl

from sidmint.contracts import Items
from sidmint.diagnostics import QualifiedCollisions
from sidmint.diagnostics.prefixes import prefix_order
from sidmint.diagnostics.tables import worst_buckets_table
from sidmint.inspection.layout import CodeTable


def worst_buckets(
    table: CodeTable, qualified: QualifiedCollisions | None, most: int
) -> pl.DataFrame:
    """Up to `most` buckets, one row an item: bucket, item_id, title, kind, size.

    With vectors those with most items in conflict come first; without, the largest, and `kind`
    is null: codes alone do not say whether two items belong together. Titles are "" where the
    table has none.
    """
    titles = pl.Series([""], dtype=pl.String).new_from_index(0, table.codes.num_items)
    items = pl.LazyFrame(
        {
            Items.ITEM_ID: table.item_ids,
            Items.TITLE: titles if table.titles is None else table.titles,
        }
    )
    if qualified is not None:
        return worst_buckets_table(qualified, items, most)
    unjudged = _unjudged(table)
    return worst_buckets_table(unjudged, items, most).with_columns(
        kind=pl.lit(None, dtype=pl.String)
    )


def _unjudged(table: CodeTable) -> QualifiedCollisions:
    """The buckets without a word on who is related: only `bucket_of` says something."""
    values = table.codes.values
    order = prefix_order(values)
    sizes = order.sizes(values.shape[1])
    numbers = np.where(sizes > 1, np.cumsum(sizes > 1) - 1, -1)
    bucket_of = np.empty(len(values), dtype=np.int64)
    bucket_of[order.rows] = np.repeat(numbers, sizes)
    return QualifiedCollisions(0, 0, np.zeros(len(values), dtype=np.bool_), bucket_of)
