"""Order, the true cold start, and leave-one-out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from sidmint.contracts import Interactions
from sidmint.errors import BadInput
from sidmint.seeds import generator_for

MIN_EVENTS_A_USER = 3
"""Leave-one-out takes two events of a user; one must remain to train on."""

_USER, _ITEM, _POSITION = Interactions.USER_ID, Interactions.ITEM_ID, Interactions.POSITION


def in_order(events: pl.DataFrame, name: str = "interactions") -> pl.DataFrame:
    """`events` sorted by user, then `position`, else `timestamp`, else as they came.

    Ties in time keep the file's order: inside a day it is all the truth that there is (57 % of
    the Amazon Beauty events share user and day), and sorting by anything else invents a
    sequence. Raises `BadInput` for a position that a user has twice and for times of which
    only some are known.
    """
    if _POSITION in events.columns:
        _require_whole(events[_POSITION], name)
        ordered = events.sort(_USER, _POSITION, maintain_order=True)
        twice = (ordered[_USER] == ordered[_USER].shift()) & (
            ordered[_POSITION] == ordered[_POSITION].shift()
        )
        if twice.any():
            position = ordered.filter(twice)[_POSITION][0]
            raise BadInput(
                f"{name}: a user has position {position} twice; positions number the events of "
                "a user. Take the column out, or map another to ingest.columns.position"
            )
        return ordered
    keys = [key for key in (_USER, Interactions.TIMESTAMP) if key in events.columns]
    return events.sort(keys, maintain_order=True)


def choose_cold(
    events: pl.DataFrame, candidates: npt.NDArray[Any], share: float, seed: int
) -> tuple[npt.NDArray[Any], str]:
    """The items to withhold, `floor(share * candidates)` of them, and how they were chosen.

    The newest by the time of their first event in `events` (the log before the k-core: the age
    of an item is no matter of the filter), ties by id. Where there is no time, a seeded random
    sample stands in, and is called so.
    """
    num_cold = math.floor(share * len(candidates))
    if Interactions.TIMESTAMP not in events.columns:
        drawn = generator_for(seed, "ingest", "cold").choice(len(candidates), num_cold, False)
        return candidates[np.sort(drawn)], "random sample (no time)"
    first = (
        events.group_by(_ITEM)
        .agg(pl.col(Interactions.TIMESTAMP).min())
        .filter(pl.col(_ITEM).is_in(pl.Series(candidates).implode()))
        .sort(Interactions.TIMESTAMP, _ITEM)
    )
    return np.sort(first[_ITEM].tail(num_cold).to_numpy()), "newest by first event"


def split_events(events: pl.DataFrame, withheld: npt.NDArray[Any]) -> pl.DataFrame:
    """`events` (sorted by user and order) with dense `position` and `split`.

    Events on `withheld` items are "cold". Of a user's other events the last is "test" and the
    one before "validation", if there are three or more; the rest is "train".
    """
    is_cold = pl.col(_ITEM).is_in(pl.Series(withheld, dtype=events[_ITEM].dtype).implode())
    warm_to_come = pl.col("_warm").cum_sum(reverse=True).over(_USER)
    enough = pl.col("_warm").sum().over(_USER) >= MIN_EVENTS_A_USER
    return (
        events.with_columns(
            pl.int_range(pl.len(), dtype=pl.Int32).over(_USER).alias(_POSITION),
            (~is_cold).cast(pl.Int32).alias("_warm"),
        )
        .with_columns(
            pl.when(pl.col("_warm") == 0)
            .then(pl.lit("cold"))
            .when(enough & (warm_to_come == 1))
            .then(pl.lit("test"))
            .when(enough & (warm_to_come == 2))
            .then(pl.lit("validation"))
            .otherwise(pl.lit("train"))
            .alias(Interactions.SPLIT)
        )
        .drop("_warm")
    )


def sorted_sequence_share(interactions: pl.DataFrame, min_events: int = 5) -> float:
    """Share of users with `min_events` or more whose items come sorted by id; 0 without such users.

    Five unrelated items are in order once in 120; Amazon Beauty reaches 0.13, since many users
    review everything in one day and the file lists a day by item. A share near 1 means that the
    sequence is lost: a broken download. Ids that are all numbers are also tried in numeric
    order. `interactions` is sorted by user and position.
    """
    numbers = interactions[_ITEM].cast(pl.Int64, strict=False)
    orders = [interactions[_ITEM]] + ([] if numbers.null_count() else [numbers])
    user = interactions[_USER]
    same_user = (user == user.shift()).fill_null(False)
    shares = []
    for order in orders:
        falls = same_user & (order < order.shift())
        rises = same_user & (order > order.shift())
        users = (
            pl.DataFrame({"user": user, "falls": falls, "rises": rises})
            .group_by("user")
            .agg(pl.len(), pl.col("falls").any(), pl.col("rises").any())
            .filter(pl.col("len") >= min_events)
        )
        if users.height:
            shares.append(users.filter(~pl.col("falls") & pl.col("rises")).height / users.height)
    return max(shares, default=0.0)


def _require_whole(positions: pl.Series, name: str) -> None:
    if not positions.dtype.is_integer():
        raise BadInput(f"{name}: position wants whole numbers, got the type {positions.dtype}")
