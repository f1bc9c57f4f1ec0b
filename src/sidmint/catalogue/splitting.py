"""Order, the true cold start, and leave-one-out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
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


def shuffle_ties(events: pl.DataFrame, seed: int, name: str = "interactions") -> pl.DataFrame:
    """`events` (ordered by `in_order`) with a user's events of one time in a seeded random order.

    The order inside a tie is the file's, and a model can learn it where the file sorts by
    something: in Amazon Beauty all 77,402 neighbours of one user and day stand in rising item
    id. Only neighbours with equal times change places. Raises `BadInput` without times.
    """
    return shuffle_ties_by(events, tie_draws(seed), name)


def tie_draws(seed: int) -> np.random.Generator:
    """What decides ties, a draw an event in the order of all events."""
    return generator_for(seed, "ingest", "ties")


def shuffle_ties_by(
    events: pl.DataFrame, draws: np.random.Generator, name: str = "interactions"
) -> pl.DataFrame:
    """`shuffle_ties` of the next users, who take the next of `draws`: as if all came at once."""
    if Interactions.TIMESTAMP not in events.columns:
        raise BadInput(
            f"{name}: ingest.tie_order is shuffled, but the log has no timestamps, so no two "
            "events are known to be tied; set tie_order: file"
        )
    time, user = pl.col(Interactions.TIMESTAMP), pl.col(_USER)
    begins = ((time != time.shift()) | (user != user.shift())).fill_null(True)
    drawn = draws.random(events.height)
    shuffled = (
        events.with_columns(begins.cum_sum().alias("_tie"), pl.Series("_drawn", drawn))
        .sort("_tie", "_drawn", maintain_order=True)
        .drop("_tie", "_drawn")
    )
    if _POSITION not in shuffled.columns:
        return shuffled
    # Places stay where they are; the events have changed seats.
    return shuffled.with_columns(events[_POSITION])


def split_by_time(
    events: pl.DataFrame, validation_share: float, test_share: float, name: str = "interactions"
) -> tuple[pl.DataFrame, npt.NDArray[Any]]:
    """`events` split by one cut of time for all, and the items that training never sees.

    The newest `test_share` of events is "test", the `validation_share` before it "validation",
    the rest "train"; events of one time stand on one side of a cut, so that shares are met
    from below. Every event on an item without a training event is "cold". This is what a
    table meets in production: leave-one-out trains on events later than those it tests.
    """
    require_times(events.columns, name)
    time = events[Interactions.TIMESTAMP].sort()
    first, second = (time[at] for at in cut_places(len(time), validation_share, test_share))
    split = cut_in_time(events, first, second)
    seen = split.filter(pl.col(Interactions.SPLIT) == "train")[_ITEM].unique()
    require_seen(len(seen), name)
    unseen = split.filter(~pl.col(_ITEM).is_in(seen.implode()))[_ITEM].unique().sort()
    return with_cold(split, unseen), unseen.to_numpy()


def require_times(columns: Sequence[str], name: str) -> None:
    """`BadInput` where a log of these `columns` has no times to cut at."""
    if Interactions.TIMESTAMP not in columns:
        raise BadInput(
            f"{name}: ingest.protocol is time, but the log has no timestamps; map one under "
            "ingest.columns, or set protocol: leave_one_out"
        )


def cut_places(num_events: int, validation_share: float, test_share: float) -> tuple[int, int]:
    """Which of all times, rising and counted from 0, is the first of validation, and of test."""
    shares = (validation_share + test_share, test_share)
    first, second = (min(num_events - 1, math.ceil((1 - held) * num_events)) for held in shares)
    return first, second


def cut_in_time(events: pl.DataFrame, first: datetime, second: datetime) -> pl.DataFrame:
    """`events` of whole users with dense `position` and `split`: before, between, behind cuts."""
    when = pl.col(Interactions.TIMESTAMP)
    warm = pl.when(when < first).then(pl.lit("train"))
    part = warm.when(when < second).then(pl.lit("validation"))
    return events.with_columns(
        pl.int_range(pl.len(), dtype=pl.Int32).over(_USER).alias(_POSITION),
        part.otherwise(pl.lit("test")).alias(Interactions.SPLIT),
    )


def require_seen(num_seen: int, name: str) -> None:
    """`BadInput` where a cut in time leaves no item (`num_seen`) with a training event."""
    if not num_seen:
        raise BadInput(f"{name}: no event lies before the cut in time; lower the shares held out")


def with_cold(split: pl.DataFrame, unseen: pl.Series) -> pl.DataFrame:
    """`split` with every event on an item of `unseen` as "cold"."""
    is_cold = pl.col(_ITEM).is_in(unseen.implode())
    return split.with_columns(
        pl.when(is_cold)
        .then(pl.lit("cold"))
        .otherwise(Interactions.SPLIT)
        .alias(Interactions.SPLIT)
    )


def choose_cold(
    events: pl.DataFrame, candidates: npt.NDArray[Any], share: float, seed: int
) -> tuple[npt.NDArray[Any], str]:
    """The items to withhold, `floor(share * candidates)` of them, and how they were chosen.

    The newest by the time of their first event in `events` (the log before the k-core: the age
    of an item is no matter of the filter), ties by id. Where there is no time, a seeded random
    sample stands in, and is called so.
    """
    if Interactions.TIMESTAMP not in events.columns:
        return newest(None, candidates, share, seed)
    first = events.group_by(_ITEM).agg(pl.col(Interactions.TIMESTAMP).min())
    return newest(first, candidates, share, seed)


def newest(
    first: pl.DataFrame | None, candidates: npt.NDArray[Any], share: float, seed: int
) -> tuple[npt.NDArray[Any], str]:
    """`choose_cold` by the time of the `first` event of each item; None where there is no time."""
    num_cold = math.floor(share * len(candidates))
    if first is None:
        drawn = generator_for(seed, "ingest", "cold").choice(len(candidates), num_cold, False)
        return candidates[np.sort(drawn)], "random sample (no time)"
    is_candidate = pl.col(_ITEM).is_in(pl.Series(candidates).implode())
    by_age = first.filter(is_candidate).sort(Interactions.TIMESTAMP, _ITEM)
    return np.sort(by_age[_ITEM].tail(num_cold).to_numpy()), "newest by first event"


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
    counted = SortedSequences(min_events)
    counted.add(interactions)
    return counted.share


class SortedSequences:
    """`sorted_sequence_share` of a log that comes in blocks of whole users."""

    def __init__(self, min_events: int = 5) -> None:
        self._min_events = min_events
        self._num_users = self._by_text = self._by_number = 0
        self._all_numbers = True

    def add(self, interactions: pl.DataFrame) -> None:
        """Count a block on, sorted by user and position."""
        users, items = interactions[_USER], interactions[_ITEM]
        num_users, by_text = _sorted_users(users, items, self._min_events)
        self._num_users += num_users
        self._by_text += by_text
        if not self._all_numbers:
            return
        numbers = items.cast(pl.Int64, strict=False)
        self._all_numbers = not numbers.null_count()
        self._by_number += _sorted_users(users, numbers, self._min_events)[1]

    @property
    def share(self) -> float:
        """Of all users with enough events, those in order; by number where all ids are some."""
        in_order = max(self._by_text, self._by_number if self._all_numbers else 0)
        return in_order / self._num_users if self._num_users else 0.0


def _sorted_users(user: pl.Series, order: pl.Series, min_events: int) -> tuple[int, int]:
    """How many users have `min_events` or more, and how many of these rise in `order` alone."""
    same_user = (user == user.shift()).fill_null(False)
    falls = same_user & (order < order.shift())
    rises = same_user & (order > order.shift())
    users = (
        pl.DataFrame({"user": user, "falls": falls, "rises": rises})
        .group_by("user")
        .agg(pl.len(), pl.col("falls").any(), pl.col("rises").any())
        .filter(pl.col("len") >= min_events)
    )
    return users.height, users.filter(~pl.col("falls") & pl.col("rises")).height


def _require_whole(positions: pl.Series, name: str) -> None:
    if not positions.dtype.is_integer():
        raise BadInput(f"{name}: position wants whole numbers, got the type {positions.dtype}")
