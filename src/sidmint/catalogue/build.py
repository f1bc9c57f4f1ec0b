"""From raw tables to the catalogue that every stage reads: checked, filtered, ordered, split.

Pure: tables in, tables out. What happens, in this order:

1. *Check*: ids present, item ids unique, every event on a known item (or few enough others left
   out), some text an item.
2. *Order*: by `position` where the source has one, else by time, ties in file order.
3. *k-core*: users and items with fewer than k events are dropped until none is left. An item
   without any event is no weak item but a new one: it stays, cold.
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
from sidmint.contracts import Interactions, Items
from sidmint.errors import BadInput

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
    items_name: str = "items",
    interactions_name: str = "interactions",
) -> Catalogue:
    """The catalogue of two raw tables, by the five steps above.

    `items` has `item_id`, `title` and whatever else the source knows; `interactions` has
    `user_id`, `item_id` and, where known, `position` (whole numbers) and `timestamp`
    (Datetime). The names stand for the tables in errors. The result does not depend on the
    order of the item rows. Events on unknown items are left out where they are no larger a share
    than `unknown_limit`. Raises `BadInput` for everything that step 1 asks, for a user with
    fewer than three events, and where filtering leaves nothing.
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
    never_seen = np.setdiff1d(np.arange(checked.height), seen)
    if protocol == "time":
        split, withheld = split_by_time(kept, *time_shares, interactions_name)
        selection = "first event after the cut in time"
    else:
        withheld, selection = choose_cold(ordered, remaining, cold_share, seed)
        split = split_events(kept, withheld)
    catalogue_items = _finish_items(checked, split, remaining, withheld, never_seen)
    catalogue_events = _finish_events(split, users, checked)
    profile = {
        "read": _sizes(checked.height, ordered),
        "dropped": {
            "interactions_on_unknown_items": interactions.height - known.height,
            "items_by_k_core": len(seen) - len(remaining),
            "users_by_k_core": ordered[_USER].n_unique() - kept[_USER].n_unique(),
            "interactions_by_k_core": ordered.height - kept.height,
        },
        **_sizes(catalogue_items.height, kept),
        "density": kept.height / (kept[_USER].n_unique() * catalogue_items.height),
        "cold_items": len(withheld) + len(never_seen),
        "cold_selection": selection,
        "never_seen_items": len(never_seen),
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
        for part in plain.iter_slices(1_000_000):
            digest.update(part.write_csv().encode())
    return digest.hexdigest()


def _require_events(
    kept: pl.DataFrame, users: pl.Series, k: int, name: str, min_events: int
) -> None:
    if kept.is_empty():
        raise BadInput(
            f"{name}: no interaction is left where every user and item has {k} or more; "
            f"lower ingest.min_interactions (now {k})"
        )
    short = kept.group_by(_USER).len().filter(pl.col("len") < min_events).sort(_USER)
    if short.height:
        raise BadInput(
            f"{name}: user {users[short[_USER][0]]} has {short['len'][0]} events "
            f"({short.height} such users) and leave-one-out wants {MIN_EVENTS_A_USER}: one each "
            f"for test, validation and training; raise ingest.min_interactions (now {k}) to at "
            f"least {MIN_EVENTS_A_USER}"
        )


def _finish_items(
    items: pl.DataFrame,
    split: pl.DataFrame,
    remaining: npt.NDArray[Any],
    withheld: npt.NDArray[Any],
    never_seen: npt.NDArray[Any],
) -> pl.DataFrame:
    is_train = (split[Interactions.SPLIT] == "train").to_numpy()
    num_train = np.bincount(split[_ITEM].to_numpy()[is_train], minlength=items.height)
    if not num_train.any():
        raise BadInput("no training interaction is left; lower ingest.cold_share")
    cold = np.zeros(items.height, dtype=bool)
    cold[withheld] = cold[never_seen] = True
    rows = np.sort(np.concatenate([remaining, never_seen]))
    return items.with_columns(
        pl.Series(Items.COLD, cold), pl.Series(Items.NUM_TRAIN, num_train, dtype=pl.Int64)
    )[rows]


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
