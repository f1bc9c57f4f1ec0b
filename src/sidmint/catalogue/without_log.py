"""A catalogue of items alone: no interaction log, so nothing to split and nobody to ask."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from sidmint.catalogue.build import (
    Catalogue,
    Standings,
    finish_items,
    standing_sizes,
    standings_of,
)
from sidmint.catalogue.checking import check_items
from sidmint.catalogue.digest import digest_of
from sidmint.contracts import Interactions

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
    standings, num_train = without_events(checked.height)
    finished = finish_items(checked, standings, num_train, "all")
    events = pl.DataFrame(schema=NO_EVENTS)
    profile = {
        **profile_without_log(checked.height),
        "titles_filled": num_filled,
        "digest": digest_of(finished, events),
    }
    return Catalogue(finished, events, profile)


def without_events(num_items: int) -> tuple[Standings, npt.NDArray[np.int64]]:
    """The standing of each item, (N,), and its training events, where nobody has met any."""
    nobody = np.empty(0, dtype=np.int64)
    standings = standings_of(num_items, seen=nobody, remaining=nobody, withheld=nobody)
    return standings, np.zeros(num_items, dtype=np.int64)


def profile_without_log(num_items: int) -> dict[str, Any]:
    """What the profile says of a catalogue without a log, but for its texts."""
    sizes = {"items": num_items, "users": 0, "interactions": 0}
    return {
        "read": sizes,
        "dropped": {},
        **sizes,
        **standing_sizes(without_events(num_items)[0]),
        "cold_selection": "no interaction log",
        "split": dict.fromkeys(("train", "validation", "test", "cold"), 0),
    }
