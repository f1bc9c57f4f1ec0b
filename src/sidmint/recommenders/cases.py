"""From split events to what a recommender learns from, chooses by and is asked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidmint.errors import BadInput
from sidmint.recommenders.sequences import HeldOut, Sequences
from sidmint.types import Ints

TRAIN, VALIDATION, TEST = 0, 1, 2


@dataclass(frozen=True)
class Split:
    """`train` sequences a user; cases, and which event (by its number) each test case asks for."""

    train: Sequences
    validation: HeldOut
    test: HeldOut
    test_events: npt.NDArray[np.intp]


def split_sequences(
    users: npt.NDArray[np.int64], items: Ints, parts: npt.NDArray[np.int8]
) -> Split:
    """`Split` of events sorted by user (0, 1, ...) and time; `parts` says what each is kept for.

    Training reads events of part TRAIN and nothing else. A validation case asks for its event
    from the user's training events before it: what is kept for testing chooses nothing. A test
    case asks from everything that the user did before it, other held-out events too, as on the
    day when it happened. Cases whose history is empty are left out: nothing of the user is
    known that an id could help with. Raises `BadInput` where no training event is left.
    """
    if (np.diff(users) < 0).any():
        raise BadInput("split_sequences wants events sorted by user")
    num_users = int(users[-1]) + 1 if len(users) else 0
    is_train = parts == TRAIN
    if not is_train.any():
        raise BadInput("no training event is left to learn from; lower ingest.cold_share")
    numbers = np.arange(num_users, dtype=np.int32)
    train = Sequences(items[is_train], _offsets(users[is_train], num_users), numbers)
    validation, _ = _cases(users, items, is_train, parts == VALIDATION)
    test, test_events = _cases(users, items, np.ones(len(users), dtype=bool), parts == TEST)
    return Split(train, validation, test, test_events)


def _cases(
    users: npt.NDArray[np.int64],
    items: Ints,
    in_history: npt.NDArray[np.bool_],
    is_target: npt.NDArray[np.bool_],
) -> tuple[HeldOut, npt.NDArray[np.intp]]:
    """A case for each target: the user's `in_history` events before it, oldest first."""
    before = np.concatenate([[0], np.cumsum(in_history)])  # history events up to an event
    first_event = np.searchsorted(users, users, side="left")
    targets = np.flatnonzero(is_target)
    begins, ends = before[first_event[targets]], before[targets]
    targets, begins, ends = (side[ends > begins] for side in (targets, begins, ends))
    lengths = ends - begins
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    at = np.arange(offsets[-1]) + np.repeat(begins - offsets[:-1], lengths)
    asking = users[targets].astype(np.int32)
    histories = Sequences(items[in_history][at].astype(np.int32), offsets, asking)
    return HeldOut(histories, items[targets].astype(np.int32)), targets


def _offsets(users: npt.NDArray[np.int64], num_users: int) -> npt.NDArray[np.int64]:
    counts = np.bincount(users, minlength=num_users)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
