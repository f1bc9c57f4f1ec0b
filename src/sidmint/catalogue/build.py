"""From raw tables to the catalogue that every stage reads: checked, filtered, ordered, split.

Pure: tables in, tables out. What happens, in this order:

1. *Check*: ids present, item ids unique, every event on a known item (or few enough others left
   out), some text an item.
2. *Order*: by `position` where the source has one, else by time, ties in file order.
3. *k-core*: events of users and items with fewer than k of them are dropped until there are no
   such. Items stay, whether the core has them or not: those below it and those that nobody has met
   are cold. Under `item_set` core they go, as in the papers' benchmarks.
4. *True cold start*: the newest items are withheld from every training interaction.
5. *Leave one out* over the warm events of a user: last = test, one before = validation. Under
   protocol `time` one cut for all users takes the place of 4 and 5.

Ids travel as row numbers between 2 and 5, so ten million events take seconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from sidmint.catalogue.checking import check_items, number_events, on_known_items
from sidmint.catalogue.core import core_rows
from sidmint.catalogue.splitting import (
    MIN_EVENTS_A_USER,
    choose_cold,
    in_order,
    shuffle_ties,
    sorted_sequence_share,
    split_by_time,
    split_events,
)
from sidmint.contracts import STANDINGS, Interactions, Items
from sidmint.errors import BadInput
from sidmint.outside import from_outside

_USER, _ITEM, _POSITION = Interactions.USER_ID, Interactions.ITEM_ID, Interactions.POSITION


@dataclass(frozen=True)
class Catalogue:
    """`items` and `interactions` as in contracts; `profile` says how they came about."""

    items: pl.DataFrame
    interactions: pl.DataFrame
    profile: Mapping[str, Any]


def build_catalogue(
    items: pl.DataFrame,
    interactions: pl.DataFrame,
    *,
    min_interactions: int,
    cold_share: float,
    seed: int,
    protocol: Literal["leave_one_out", "time"] = "leave_one_out",
    tie_order: Literal["file", "shuffled"] = "file",
    time_shares: tuple[float, float] = (0.1, 0.1),
    unknown_limit: float = 0.0,
    item_set: Literal["all", "core"] = "all",
    items_name: str = "items",
    interactions_name: str = "interactions",
) -> Catalogue:
    """The catalogue of two raw tables, by the five steps above.

    `items` has `item_id`, `title` and whatever else the source knows; `interactions` has
    `user_id`, `item_id` and, where known, `position` (whole numbers) and `timestamp`
    (Datetime). The names stand for the tables in errors. The result does not depend on the
    order of the item rows. Events on unknown items are left out where they are no larger a share
    than `unknown_limit`. Every item of `items` is in the catalogue, unless `item_set` is core.
    Raises `BadInput` for everything that step 1 asks, for a user with fewer than three events, and
    where filtering leaves no event.
    """
    checked, num_filled = check_items(items, items_name)
    known = on_known_items(interactions, checked, unknown_limit, interactions_name)
    events, users = number_events(known, checked, interactions_name)
    ordered = in_order(events, interactions_name)
    if tie_order == "shuffled":
        ordered = shuffle_ties(ordered, seed, interactions_name)
    numbers = ordered[_USER].to_numpy(), ordered[_ITEM].to_numpy()
    kept = ordered[core_rows(*numbers, min_interactions)]
    min_events = MIN_EVENTS_A_USER if protocol == "leave_one_out" else 1
    _require_events(kept, users, min_interactions, interactions_name, min_events)
    seen, remaining = (frame[_ITEM].unique().sort().to_numpy() for frame in (ordered, kept))
    if protocol == "time":
        split, withheld = split_by_time(kept, *time_shares, interactions_name)
        selection = "first event after the cut in time"
    else:
        withheld, selection = choose_cold(ordered, remaining, cold_share, seed)
        split = split_events(kept, withheld)
    standings = _standings(checked.height, seen, remaining, withheld)
    catalogue_items = _finish_items(checked, split, standings, item_set)
    catalogue_events = _finish_events(split, users, checked)
    profile = {
        "read": _sizes(checked.height, ordered),
        "dropped": {
            "interactions_on_unknown_items": interactions.height - known.height,
            "items_by_k_core": checked.height - catalogue_items.height,
            "users_by_k_core": ordered[_USER].n_unique() - kept[_USER].n_unique(),
            "interactions_by_k_core": ordered.height - kept.height,
        },
        **_sizes(catalogue_items.height, kept),
        "density": kept.height / (kept[_USER].n_unique() * len(remaining)),
        **standing_sizes(catalogue_items),
        "cold_selection": selection,
        "split": _split_sizes(catalogue_events),
        "sorted_sequence_share": sorted_sequence_share(catalogue_events),
        "titles_filled": num_filled,
        "digest": digest_of(catalogue_items, catalogue_events),
    }
    return Catalogue(catalogue_items, catalogue_events, profile)


def digest_of(*frames: pl.DataFrame) -> str:
    """SHA-256 over the plain columns of `frames` as CSV: equal tables have equal digests.

    Read from values, not from Parquet bytes, so that it outlives a change of the file format.
    """
    digest = hashlib.sha256()
    for frame in frames:
        plain = frame.select(pl.selectors.exclude(pl.selectors.nested(), pl.selectors.binary()))
        plain = plain.with_columns(pl.selectors.duration().to_physical())  # CSV has none
        with from_outside("a table of the catalogue"):  # a time of the year 300,000, say
            for part in plain.iter_slices(1_000_000):
                digest.update(part.write_csv().encode())
    return digest.hexdigest()


def _require_events(
    kept: pl.DataFrame, users: pl.Series, k: int, name: str, min_events: int
) -> None:
    if kept.is_empty():
        raise BadInput(
            f"{name}: no interaction is left where every user and item has {k} or more; "
            f"lower ingest.min_interactions (now {k}), or have ids from content alone: "
            "ingest.interactions: null, train.fit_on: all"
        )
    short = kept.group_by(_USER).len().filter(pl.col("len") < min_events).sort(_USER)
    if short.height:
        raise BadInput(
            f"{name}: user {users[short[_USER][0]]} has {short['len'][0]} events "
            f"({short.height} such users) and leave-one-out wants {MIN_EVENTS_A_USER}: one each "
            f"for test, validation and training; raise ingest.min_interactions (now {k}) to at "
            f"least {MIN_EVENTS_A_USER}"
        )


def standing_sizes(items: pl.DataFrame) -> dict[str, Any]:
    """For the profile: how many items are cold, and how many stand in each of `STANDINGS`."""
    counts = items[Items.STANDING].value_counts()
    found = dict(zip(counts[Items.STANDING], counts["count"], strict=True))
    return {
        "cold_items": int(items[Items.COLD].sum()),
        "items_by_standing": {name: int(found.get(name, 0)) for name in STANDINGS},
    }


def _standings(
    num_items: int,
    seen: npt.NDArray[Any],
    remaining: npt.NDArray[Any],
    withheld: npt.NDArray[Any],
) -> pl.Series:
    """The standing (`STANDINGS`) of each item, from the rows of items that have each mark."""
    numbers = np.full(num_items, STANDINGS.index("without_events"))
    numbers[seen] = STANDINGS.index("below_core")
    numbers[remaining] = STANDINGS.index("warm")
    numbers[withheld] = STANDINGS.index("withheld")
    return pl.Series(Items.STANDING, STANDINGS).gather(numbers)


def _finish_items(
    items: pl.DataFrame, split: pl.DataFrame, standings: pl.Series, item_set: str
) -> pl.DataFrame:
    is_train = (split[Interactions.SPLIT] == "train").to_numpy()
    num_train = np.bincount(split[_ITEM].to_numpy()[is_train], minlength=items.height)
    if not num_train.any():
        raise BadInput("no training interaction is left; lower ingest.cold_share")
    finished = items.with_columns(
        (standings != "warm").alias(Items.COLD),
        standings.alias(Items.STANDING),
        pl.Series(Items.NUM_TRAIN, num_train, dtype=pl.Int64),
    )
    in_core = pl.col(Items.STANDING).is_in(["warm", "withheld"])
    return finished.filter(in_core) if item_set == "core" else finished


def _finish_events(split: pl.DataFrame, users: pl.Series, items: pl.DataFrame) -> pl.DataFrame:
    """Ids back in place of row numbers, time as whole seconds."""
    time = (
        split[Interactions.TIMESTAMP].dt.epoch("s")
        if Interactions.TIMESTAMP in split.columns
        else pl.Series([None] * split.height, dtype=pl.Int64)
    )
    return pl.DataFrame(
        {
            _USER: users.gather(split[_USER]),
            _ITEM: items[Items.ITEM_ID].gather(split[_ITEM]),
            _POSITION: split[_POSITION],
            Interactions.TIMESTAMP: time,
            Interactions.SPLIT: split[Interactions.SPLIT],
        }
    )


def _sizes(num_items: int, events: pl.DataFrame) -> dict[str, int]:
    return {
        "items": num_items,
        "users": events[_USER].n_unique(),
        "interactions": events.height,
    }


def _split_sizes(interactions: pl.DataFrame) -> dict[str, int]:
    counts = interactions[Interactions.SPLIT].value_counts()
    found = dict(zip(counts[Interactions.SPLIT], counts["count"], strict=True))
    return {name: int(found.get(name, 0)) for name in ("train", "validation", "test", "cold")}
