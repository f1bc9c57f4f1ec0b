"""A catalogue of items alone: no interaction log, so nothing to split and nobody to ask."""

from __future__ import annotations

import polars as pl

from sidmint.catalogue.build import Catalogue, standing_sizes
from sidmint.catalogue.checking import check_items
from sidmint.catalogue.digest import digest_of
from sidmint.contracts import Interactions, Items

NO_EVENTS = {
    Interactions.USER_ID: pl.String,
    Interactions.ITEM_ID: pl.String,
    Interactions.POSITION: pl.Int32,
    Interactions.TIMESTAMP: pl.Int64,
    Interactions.SPLIT: pl.String,
}
"""The columns of interactions.parquet, of which such a catalogue has no row."""


def build_without_log(items: pl.DataFrame, items_name: str = "items") -> Catalogue:
    """The catalogue of a raw items table, every item of it cold and without events.

    Interactions are there as an empty table. Raises `BadInput` for what `check_items` asks. The
    profile has no density and no order of sequences: there is nothing that they could be of.
    """
    checked, num_filled = check_items(items, items_name)
    finished = checked.with_columns(
        pl.lit(True).alias(Items.COLD),
        pl.lit("without_events").alias(Items.STANDING),
        pl.lit(0, dtype=pl.Int64).alias(Items.NUM_TRAIN),
    )
    events = pl.DataFrame(schema=NO_EVENTS)
    sizes = {"items": checked.height, "users": 0, "interactions": 0}
    profile = {
        "read": sizes,
        "dropped": {},
        **sizes,
        **standing_sizes(finished[Items.STANDING]),
        "cold_selection": "no interaction log",
        "split": dict.fromkeys(("train", "validation", "test", "cold"), 0),
        "titles_filled": num_filled,
        "digest": digest_of(finished, events),
    }
    return Catalogue(finished, events, profile)
