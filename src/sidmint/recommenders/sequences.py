"""What users did, as item rows: many sequences of unequal length in two flat arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidmint.errors import BadInput
from sidmint.types import Ints


@dataclass(frozen=True)
class Sequences:
    """U sequences: `items[offsets[u]:offsets[u + 1]]` are the item rows of u, oldest first.

    `users` (U,) are numbers from 0 that a user keeps from training to the asking; None where it
    does not matter who asks. Only recommenders with tokens for users read them.
    """

    items: Ints
    offsets: npt.NDArray[np.int64]
    users: Ints | None = None

    def __post_init__(self) -> None:
        steps = np.diff(self.offsets)
        if self.offsets.ndim != 1 or len(self.offsets) < 1 or (steps < 0).any():
            raise BadInput("sequences want rising offsets, one more than there are sequences")
        if self.offsets[0] != 0 or self.offsets[-1] != len(self.items):
            raise BadInput(
                f"sequences want offsets from 0 to {len(self.items)} events, got "
                f"{self.offsets[0]} to {self.offsets[-1]}"
            )
        if self.users is not None and (len(self.users) != len(self) or (self.users < 0).any()):
            raise BadInput(
                f"{len(self)} sequences want as many user numbers from 0, got {len(self.users)}"
            )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @staticmethod
    def of(lists: Iterable[Sequence[int]]) -> Sequences:
        """The sequences in `lists`, each oldest first."""
        kept = [np.asarray(one, dtype=np.int32) for one in lists]
        offsets = np.concatenate([[0], np.cumsum([len(one) for one in kept], dtype=np.int64)])
        items = np.concatenate(kept) if kept else np.empty(0, dtype=np.int32)
        return Sequences(items.astype(np.int32), offsets.astype(np.int64))

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Events of each sequence (U,)."""
        return np.diff(self.offsets)

    def __getitem__(self, user: int) -> Ints:
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    def take(self, users: npt.NDArray[np.integer]) -> Sequences:
        """The sequences of `users`, in that order."""
        lengths = self.lengths[users]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        at = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - self.offsets[users], lengths)
        owners = None if self.users is None else self.users[users]
        return Sequences(self.items[at], offsets, owners)

    def last(self, count: int) -> Sequences:
        """Each sequence cut to its newest `count` events."""
        lengths = np.minimum(self.lengths, count)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        at = np.arange(offsets[-1]) + np.repeat(self.offsets[1:] - offsets[1:], lengths)
        return Sequences(self.items[at], offsets, self.users)

    def up_to_each_event(self, count: int) -> Sequences:
        """A sequence an event: the newest `count` events of its user that end with it."""
        events = len(self.items)
        places = np.arange(events) - np.repeat(self.offsets[:-1], self.lengths)
        lengths = np.minimum(places + 1, count)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        first = np.arange(events) + 1 - lengths
        at = np.arange(offsets[-1]) + np.repeat(first - offsets[:-1], lengths)
        users = None if self.users is None else np.repeat(self.users, self.lengths)
        return Sequences(self.items[at], offsets, users)

    def mapped(self, new_row: Ints) -> Sequences:
        """The sequences with item i called `new_row[i]`; events on items at -1 are left out."""
        items = new_row[self.items]
        kept = np.concatenate([[0], np.cumsum(items >= 0)]).astype(np.int64)
        return Sequences(items[items >= 0], kept[self.offsets], self.users)

    def padded(self, length: int) -> Ints:
        """(U, length) item rows, the newest `length` of each from the left, then -1."""
        cut = self.last(length)
        table = np.full((len(self), length), -1, dtype=np.int32)
        lengths = cut.lengths
        places = np.arange(len(cut.items)) - np.repeat(cut.offsets[:-1], lengths)
        table[np.repeat(np.arange(len(self)), lengths), places] = cut.items
        return table


@dataclass(frozen=True)
class HeldOut:
    """What is asked of a recommender: from `histories` (U sequences) find `targets` (U,)."""

    histories: Sequences
    targets: Ints

    def __post_init__(self) -> None:
        if len(self.histories) != len(self.targets):
            raise BadInput(
                f"held-out cases want a target a history, got {len(self.histories)} histories "
                f"and {len(self.targets)} targets"
            )

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, users: npt.NDArray[np.integer]) -> HeldOut:
        """The cases of `users`, in that order."""
        return HeldOut(self.histories.take(users), self.targets[users])

    def drawn(self, most: int, seed: int) -> HeldOut:
        """At most `most` of the cases, a seeded draw, in their order."""
        if len(self) <= most:
            return self
        return self.take(np.sort(np.random.default_rng(seed).permutation(len(self))[:most]))

    def ndcg(self, items: Ints) -> float:
        """Mean over cases of 1 / log2(1 + the target's place in its list), 0 where it has none.

        `items` (U, k) are the lists, a row a case.
        """
        hits = items == self.targets[:, None]
        return float((hits / np.log2(np.arange(2, items.shape[1] + 2))).sum(axis=1).mean())
