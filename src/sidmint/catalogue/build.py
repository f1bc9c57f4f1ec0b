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

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from sidmint.catalogue.checking import check_items, number_events, on_known_items
from sidmint.catalogue.core import core_rows
from sidmint.catalogue.digest import digest_of
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
    of_users = np.bincount(kept[_USER].to_numpy(), minlength=len(users))
    require_events(of_users, users, min_interactions, interactions_name, protocol)
    seen, remaining = (frame[_ITEM].unique().sort().to_numpy() for frame in (ordered, kept))
    if protocol == "time":
        split, withheld = split_by_time(kept, *time_shares, interactions_name)
        selection = "first event after the cut in time"
    else:
        withheld, selection = choose_cold(ordered, remaining, cold_share, seed)
        split = split_events(kept, withheld)
    standings = standings_of(checked.height, seen, remaining, withheld)
    num_train = np.zeros(checked.height, dtype=np.int64)
    count_training(num_train, split)
    require_training(num_train)
    catalogue_items = finish_items(checked, standings, num_train, item_set)
    catalogue_events = finish_events(split, users, checked[Items.ITEM_ID])
    profile = {
        **sizes_in_profile(
            read=Sizes(checked.height, ordered[_USER].n_unique(), ordered.height),
            kept=Sizes(catalogue_items.height, kept[_USER].n_unique(), kept.height),
            num_core_items=len(remaining),
            num_unknown=interactions.height - known.height,
        ),
        **standing_sizes(standings[in_item_set(standings, item_set)]),
        "cold_selection": selection,
        "split": split_sizes(catalogue_events),
        "sorted_sequence_share": sorted_sequence_share(catalogue_events),
        "titles_filled": num_filled,
        "digest": digest_of(catalogue_items, catalogue_events),
    }
    return Catalogue(catalogue_items, catalogue_events, profile)


def require_events(
    of_users: npt.NDArray[Any], users: pl.Series, k: int, name: str, protocol: str
) -> None:
    """`BadInput` where the k-core is empty, or too short for leave-one-out.

    `of_users` (U,) are the events that each of `users` has in it.
    """
    if not of_users.any():
        raise BadInput(
            f"{name}: no interaction is left where every user and item has {k} or more; "
            f"lower ingest.min_interactions (now {k}), or have ids from content alone: "
            "ingest.interactions: null, train.fit_on: all"
        )
    min_events = MIN_EVENTS_A_USER if protocol == "leave_one_out" else 1
    short = np.flatnonzero((of_users > 0) & (of_users < min_events))
    if len(short):
        raise BadInput(
            f"{name}: user {users[int(short[0])]} has {of_users[short[0]]} events "
            f"({len(short)} such users) and leave-one-out wants {MIN_EVENTS_A_USER}: one each "
            f"for test, validation and training; raise ingest.min_interactions (now {k}) to at "
            f"least {MIN_EVENTS_A_USER}"
        )


@dataclass(frozen=True)
class Sizes:
    """Of a catalogue, before or after the k-core."""

    items: int
    users: int
    interactions: int


def sizes_in_profile(
    *, read: Sizes, kept: Sizes, num_core_items: int, num_unknown: int
) -> dict[str, Any]:
    """For the profile: what was read, dropped and kept."""
    return {
        "read": asdict(read),
        "dropped": {
            "interactions_on_unknown_items": num_unknown,
            "items_by_k_core": read.items - kept.items,
            "users_by_k_core": read.users - kept.users,
            "interactions_by_k_core": read.interactions - kept.interactions,
        },
        **asdict(kept),
        "density": kept.interactions / (kept.users * num_core_items),
    }


Standings = npt.NDArray[np.int8]
"""Of each item, as a number: its place in `STANDINGS`."""


def standing_sizes(standings: Standings) -> dict[str, Any]:
    """For the profile: how many items are cold, and how many stand in each of `STANDINGS`."""
    counts = np.bincount(standings, minlength=len(STANDINGS)).tolist()
    return {
        "cold_items": len(standings) - counts[STANDINGS.index("warm")],
        "items_by_standing": dict(zip(STANDINGS, counts, strict=True)),
    }


def standings_of(
    num_items: int,
    seen: npt.NDArray[Any],
    remaining: npt.NDArray[Any],
    withheld: npt.NDArray[Any],
) -> Standings:
    """The standing of each item, from the rows of items that have each mark."""
    standings = np.full(num_items, STANDINGS.index("without_events"), dtype=np.int8)
    standings[seen] = STANDINGS.index("below_core")
    standings[remaining] = STANDINGS.index("warm")
    standings[withheld] = STANDINGS.index("withheld")
    return standings


def count_training(num_train: npt.NDArray[np.int64], split: pl.DataFrame) -> None:
    """Add the training events of `split` to those of their items, (N,)."""
    trained = split.filter(pl.col(Interactions.SPLIT) == "train")[_ITEM].value_counts()
    num_train[trained[_ITEM].to_numpy()] += trained["count"].to_numpy()


def require_training(num_train: npt.NDArray[Any]) -> None:
    """`BadInput` where no item has a training event."""
    if not num_train.any():
        raise BadInput("no training interaction is left; lower ingest.cold_share")


def finish_items(
    items: pl.DataFrame, standings: Standings, num_train: npt.NDArray[Any], item_set: str
) -> pl.DataFrame:
    """`items`, or a piece of them, with what the catalogue says of each; those of `item_set`."""
    finished = items.with_columns(
        pl.Series(Items.COLD, standings != STANDINGS.index("warm")),
        pl.Series(Items.STANDING, STANDINGS).gather(standings),
        pl.Series(Items.NUM_TRAIN, num_train, dtype=pl.Int64),
    )
    return finished.filter(pl.Series(in_item_set(standings, item_set)))


def in_item_set(standings: Standings, item_set: str) -> npt.NDArray[np.bool_]:
    """Whether an item of each of `standings` is in the catalogue."""
    if item_set == "core":
        return np.isin(standings, [STANDINGS.index("warm"), STANDINGS.index("withheld")])
    return np.ones(len(standings), dtype=bool)


def finish_events(split: pl.DataFrame, users: pl.Series, item_ids: pl.Series) -> pl.DataFrame:
    """Ids back in place of row numbers, time as whole seconds."""
    time = (
        split[Interactions.TIMESTAMP].dt.epoch("s")
        if Interactions.TIMESTAMP in split.columns
        else pl.Series([None] * split.height, dtype=pl.Int64)
    )
    return pl.DataFrame(
        {
            _USER: users.gather(split[_USER]),
            _ITEM: item_ids.gather(split[_ITEM]),
            _POSITION: split[_POSITION],
            Interactions.TIMESTAMP: time,
            Interactions.SPLIT: split[Interactions.SPLIT],
        }
    )


def split_sizes(interactions: pl.DataFrame) -> dict[str, int]:
    """For the profile: how many events are in each part of the split."""
    counts = interactions[Interactions.SPLIT].value_counts()
    found = dict(zip(counts[Interactions.SPLIT], counts["count"], strict=True))
    return {name: int(found.get(name, 0)) for name in ("train", "validation", "test", "cold")}
