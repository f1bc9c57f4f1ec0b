"""What a click model learns from and is asked: a cut in time, histories, sampled negatives.

Everything that "time split, sampled negatives" leaves open is decided in this file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sidmint.errors import BadInput
from sidmint.seeds import generator_for
from sidmint.types import Ints

Times = npt.NDArray[np.int64]

_MOST_DRAWS = 64
"""Rounds of drawing again before an event is left without negatives."""


@dataclass(frozen=True)
class ClickLog:
    """Who clicked what and when: `users`, `items` (rows below `num_items`), `times`, all (E,).

    Events come sorted by user and, within a user, by time; `ClickLog.of` sorts them.
    """

    users: npt.NDArray[np.int64]
    items: Ints
    times: Times
    num_items: int

    def __post_init__(self) -> None:
        if not len(self.users) == len(self.items) == len(self.times):
            raise BadInput(
                f"a click log wants a user, an item and a time an event, got {len(self.users)}, "
                f"{len(self.items)} and {len(self.times)}"
            )
        if len(self.items) and not 0 <= self.items.min() <= self.items.max() < self.num_items:
            raise BadInput(f"an event names an item outside the {self.num_items} of the catalogue")

    @staticmethod
    def of(
        users: npt.NDArray[np.integer],
        items: npt.NDArray[np.integer],
        times: npt.NDArray[np.integer],
        num_items: int,
    ) -> ClickLog:
        """The log with its events in order; ties of one user and time by item."""
        order = np.lexsort((items, times, users))
        return ClickLog(
            users[order].astype(np.int64),
            items[order].astype(np.int32),
            times[order].astype(np.int64),
            num_items,
        )

    def cut(self, test_share: float) -> int:
        """The time T from which on events are tests: the newest `test_share` of events.

        Those of the same time as the oldest of them are tests as well, as under
        `ingest.protocol: time`. Raises `BadInput` where no event lies before T.
        """
        ordered = np.sort(self.times)
        if not len(ordered) or not 0 < test_share < 1:
            raise BadInput(f"a cut wants events and a share between 0 and 1, got {test_share}")
        time = int(ordered[min(len(ordered) - 1, math.ceil((1 - test_share) * len(ordered)))])
        if time == ordered[0]:
            raise BadInput("all events lie at or after the cut in time; lower the test share")
        return time

    @cached_property
    def first_times(self) -> Times:
        """When each item (N,) was first clicked; the largest int64 for one that never was."""
        first = np.full(self.num_items, np.iinfo(np.int64).max)
        np.minimum.at(first, self.items, self.times)
        return first

    @cached_property
    def clicked(self) -> npt.NDArray[np.int64]:
        """Sorted keys `user * num_items + item` of all clicks."""
        return np.unique(self.users * self.num_items + self.items)

    def has_click(
        self, users: npt.NDArray[np.int64], items: npt.NDArray[np.integer]
    ) -> npt.NDArray[np.bool_]:
        """Whether each user ever clicks the item beside it, before or after whatever time."""
        keys = users * self.num_items + items
        at = np.searchsorted(self.clicked, keys)
        found = self.clicked[np.minimum(at, len(self.clicked) - 1)] == keys
        return np.asarray(found)


@dataclass(frozen=True)
class Examples:
    """B clicks of a log with what the user did before and k items that were not clicked.

    `clicks` (B,) and `history` (B, n) are numbers of events in `log`, the newest of a history
    first, -1 where it is shorter; `negatives` (B, k) are item rows.
    """

    log: ClickLog
    clicks: npt.NDArray[np.int64]
    history: npt.NDArray[np.int64]
    negatives: Ints

    def __len__(self) -> int:
        return len(self.clicks)

    @property
    def candidates(self) -> Ints:
        """Item rows (B, 1 + k): the clicked one first."""
        return np.concatenate([self.log.items[self.clicks][:, None], self.negatives], axis=1)

    @property
    def history_items(self) -> Ints:
        """Item rows (B, n), the newest first, then -1."""
        return np.where(self.history >= 0, self.log.items[self.history], -1).astype(np.int32)

    def take(self, rows: npt.NDArray[np.integer]) -> Examples:
        """Some of the examples, in that order."""
        return Examples(self.log, self.clicks[rows], self.history[rows], self.negatives[rows])


def split_examples(
    log: ClickLog, cut: int, *, num_negatives: int, history: int, seed: int
) -> tuple[Examples, Examples]:
    """Training examples (clicks before `cut`) and test examples (from `cut` on).

    A history holds the newest `history` clicks of the user at *earlier* times: clicks of one
    time stand in no order, and the file's would tell the answer (in Amazon Beauty a day is
    sorted by item). In a test history clicks from `cut` on may stand, as long as they were
    before the one asked for. Clicks without a history are left out.

    Negatives are drawn evenly, with replacement, from the items known at the time of the click
    (first clicked then or earlier) that the user never clicks, by the seed's "negatives". Were
    they drawn from all items, training would teach that what comes later is never clicked.
    A click for which 64 rounds find too few negatives is left out: hardly an item was known.
    """
    first_of_user = np.searchsorted(log.users, log.users, side="left")
    same_moment = _starts(log.users, log.times)
    clicks = np.flatnonzero(same_moment > first_of_user)
    back = same_moment[clicks, None] - 1 - np.arange(history)
    past = np.where(back >= first_of_user[clicks, None], back, -1)
    negatives, filled = _negatives(log, clicks, num_negatives, seed)
    both = Examples(log, clicks, past, negatives).take(np.flatnonzero(filled))
    is_test = log.times[both.clicks] >= cut
    train, test = both.take(np.flatnonzero(~is_test)), both.take(np.flatnonzero(is_test))
    for name, part in (("training", train), ("test", test)):
        if not len(part):
            raise BadInput(
                f"no {name} click has an earlier click of its user before it; give a longer log "
                "or another share for the test"
            )
    return train, test


def require_honest(train: Examples, test: Examples, cut: int) -> None:
    """Raise `BadInput` where examples know what they could not: the split's own guard.

    No training click or history lies at or after `cut`, no test click before it, no history at
    or after its click, none is another user's, and no negative is a click of the user.
    """
    for name, part in (("training", train), ("test", test)):
        log, past = part.log, part.history
        times, is_past = log.times[part.clicks], past >= 0
        if (is_past & (log.times[past] >= times[:, None])).any():
            raise BadInput(f"a {name} history holds a click that is not before the one asked for")
        if (is_past & (log.users[past] != log.users[part.clicks][:, None])).any():
            raise BadInput(f"a {name} history holds a click of another user")
        if log.has_click(log.users[part.clicks][:, None], part.negatives).any():
            raise BadInput(f"a {name} negative is an item that its user clicks")
    if (train.log.times[train.clicks] >= cut).any():
        raise BadInput(f"a training click lies at or after the cut in time, {cut}")
    if (test.log.times[test.clicks] < cut).any():
        raise BadInput(f"a test click lies before the cut in time, {cut}")


def _starts(users: npt.NDArray[np.int64], times: Times) -> npt.NDArray[np.int64]:
    """The first event of the same user and time as each event."""
    begins = np.ones(len(users), dtype=bool)
    begins[1:] = (users[1:] != users[:-1]) | (times[1:] != times[:-1])
    return np.asarray(np.flatnonzero(begins)[np.cumsum(begins) - 1])


def _negatives(
    log: ClickLog, clicks: npt.NDArray[np.int64], per_click: int, seed: int
) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Negatives (B, k), and which clicks found all of theirs."""
    generator = generator_for(seed, "ranking", "negatives")
    by_age = np.argsort(log.first_times, kind="stable").astype(np.int32)
    num_known = np.searchsorted(log.first_times[by_age], log.times[clicks], side="right")
    users = np.repeat(log.users[clicks], per_click)
    num_known = np.repeat(num_known, per_click)
    drawn = np.zeros(len(users), dtype=np.int32)
    missing = np.arange(len(users))
    for _ in range(_MOST_DRAWS):
        places = (generator.random(len(missing)) * num_known[missing]).astype(np.int64)
        drawn[missing] = by_age[places]
        missing = missing[log.has_click(users[missing], drawn[missing])]
        if not len(missing):
            break
    filled = np.ones(len(users), dtype=bool)
    filled[missing] = False
    whole = np.asarray(filled.reshape(-1, per_click).all(axis=1))
    return np.asarray(drawn.reshape(-1, per_click)), whole
