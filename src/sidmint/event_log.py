"""A log of events as lists of whole numbers: the items of every user, the users of every item.

Both are sorted, so a log larger than memory is made by parting: events go to ranges of users, each
range is sorted and loses what is there twice, and what is left goes to ranges of items in turn.
The lists lie where the caller's `Spill` has them, in memory or in files mapped into it.

Shape letters: E events, U users with an event, N items, n events of a block.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sidmint.errors import BadInput
from sidmint.partitions import Spill, in_pieces, read_all, send
from sidmint.ranges import Array, cuts, ends

_BYTES_AN_EVENT = 64
"""Work space of an event while it is sent or sorted."""
_EVENTS_AT_ONCE = 1 << 17
"""Read and sent: 8 MB of work space, whatever the memory is."""
_MEMORY = 1 << 26
_KEY_BITS = 63
_ITEMS, _USERS = 0, 1
"""Partitions of the lists that are kept."""


@dataclass(frozen=True)
class EventLog:
    """The distinct events of a log.

    Items of user u, rising: `items[item_starts[u]:item_starts[u + 1]]`, int32. Users read of
    item i, rising: `users[user_starts[i]:user_starts[i + 1]]`, int32: all of its users, or a
    sample. Users are numbered as their labels rise, without those that have no event.
    """

    items: Array
    item_starts: Array  # (U + 1,) int64
    users: Array
    user_starts: Array  # (N + 1,) int64
    reads: Array
    """(N,) int64: items that the users read of an item have, together."""

    @property
    def num_items(self) -> int:
        """N."""
        return len(self.user_starts) - 1

    @cached_property
    def activity(self) -> Array:
        """(U,): items of each user."""
        return np.diff(self.item_starts)

    def items_of(self, users: Array) -> tuple[Array, Array]:
        """The items of each of `users` (n,), list behind list, and where each begins, (n + 1,)."""
        starts = ends(self.activity[users])
        shift = np.repeat(self.item_starts[users] - starts[:-1], np.diff(starts))
        return self.items[np.arange(starts[-1]) + shift], starts


def build_event_log(
    blocks: Sequence[tuple[Array, Array]],
    *,
    num_users: int,
    num_items: int,
    most_users: int,
    seed: int,
    spill: Spill,
    memory: int | None = None,
) -> EventLog:
    """The `EventLog` of all `blocks`: (users, items) (n,) each, one entry an event, in any order.

    Users are numbers below `num_users`, items below `num_items`. `blocks` may read a block when
    it is asked for; each is asked for twice. An event that comes twice counts once. Of an item
    with more than `most_users` users, those are read that come first in one seeded order of all
    users. The result does not depend on how events are cut into blocks, nor on `memory`.

    `memory` is in bytes: the work space beside the block at hand, 48 bytes a user and 48 an item;
    by default 64 MiB, or what the largest user or item needs. `spill` holds 8 bytes an event
    meanwhile and 8 afterwards, and wants to live as long as the log.

    Raises `BadInput` for numbers out of range, and where the events of one user or of one item do
    not fit `memory`; it says what would be enough.
    """
    by = _Keys.of(num_users, num_items)
    of_users, of_items = _counts(blocks, num_users, num_items)
    room = _room(of_users, of_items, memory)
    met = of_users > 0
    rows = (np.cumsum(met) - 1).astype(np.int32)
    by_user = _Parted(spill.below(0), of_users[met], room)
    for users, items in _pieces(blocks):
        own = rows[users]
        by_user.add(own, by.user(own, items))
    by_item = _Parted(spill.below(1), of_items, room)
    lists = spill.below(2)
    activity = np.zeros(int(met.sum()), dtype=np.int64)
    for keys in by_user.sorted():
        users, items = by.user_and_item(_distinct(keys))
        lists.append(_ITEMS, items.astype(np.int32))
        _set_counts(activity, users)
        by_item.add(items, by.item(items, users))
    thinning = _Thinning(len(activity), most_users, seed)
    num_read, reads = np.zeros((2, num_items), dtype=np.int64)
    for keys in by_item.sorted():
        items, users = thinning.kept(*by.item_and_user(keys))
        lists.append(_USERS, users.astype(np.int32))
        _set_counts(num_read, items)
        begins = np.flatnonzero(np.diff(items, prepend=-1))
        reads[items[begins]] = np.add.reduceat(activity[users], begins)
    return EventLog(
        lists.array(_ITEMS, np.dtype(np.int32)),
        ends(activity),
        lists.array(_USERS, np.dtype(np.int32)),
        ends(num_read),
        reads,
    )


@dataclass(frozen=True)
class _Keys:
    """Events as whole numbers that sort by user, then item, or the other way round."""

    user_bits: int
    item_bits: int

    @classmethod
    def of(cls, num_users: int, num_items: int) -> _Keys:
        bits = cls(num_users.bit_length(), num_items.bit_length())
        if bits.user_bits + bits.item_bits > _KEY_BITS:
            raise BadInput(
                f"{num_users:,} users with {num_items:,} items are beyond {_KEY_BITS} bits; take "
                "fewer at a time"
            )
        return bits

    def user(self, users: Array, items: Array) -> Array:
        return users.astype(np.int64) << self.item_bits | items

    def item(self, items: Array, users: Array) -> Array:
        return items.astype(np.int64) << self.user_bits | users

    def user_and_item(self, keys: Array) -> tuple[Array, Array]:
        return keys >> self.item_bits, keys & ((1 << self.item_bits) - 1)

    def item_and_user(self, keys: Array) -> tuple[Array, Array]:
        return keys >> self.user_bits, keys & ((1 << self.user_bits) - 1)


class _Parted:
    """Keys of events in ranges of users or items, of which each can be sorted in memory."""

    def __init__(self, spill: Spill, counts: Array, room: int) -> None:
        self._spill = spill
        self._bounds = np.array(cuts(counts, room))
        self._sent = np.zeros(len(self._bounds), dtype=np.int64)

    def add(self, numbers: Array, keys: Array) -> None:
        """Events of users or items `numbers` (n,), whose `keys` (n,) sort by these first."""
        homes = np.searchsorted(self._bounds, numbers, side="right") - 1
        self._sent += send(self._spill, homes, keys, len(self._sent))

    def sorted(self) -> Iterator[Array]:
        """The keys of all events, rising, range after range."""
        for partition in map(int, np.flatnonzero(self._sent)):
            num_rows = int(self._sent[partition])
            keys = read_all(self._spill, partition, num_rows, _EVENTS_AT_ONCE)
            self._spill.drop(partition)
            keys.sort()
            yield keys


class _Thinning:
    """Which users of an item are read: at most `most`, by one order of all users."""

    def __init__(self, num_users: int, most: int, seed: int) -> None:
        self._num_users, self._most, self._seed = num_users, most, seed

    @cached_property
    def _turn(self) -> Array:
        """The place of each user; drawn where an item has too many users, and then once."""
        return np.random.default_rng(self._seed).permutation(self._num_users)

    def kept(self, items: Array, users: Array) -> tuple[Array, Array]:
        """Events that are read, of those of some items (n,), rising, and their users (n,)."""
        keep = np.ones(len(items), dtype=bool)
        starts = np.flatnonzero(np.diff(items, prepend=-1, append=-1))
        for first, last in itertools.pairwise(starts):
            if last - first > self._most:
                turns = self._turn[users[first:last]]
                keep[first + np.argpartition(turns, self._most)[self._most :]] = False
        return items[keep], users[keep]


def _counts(
    blocks: Sequence[tuple[Array, Array]], num_users: int, num_items: int
) -> tuple[Array, Array]:
    """Events of each user and of each item, those that come twice twice."""
    both = np.zeros(num_users, dtype=np.int64), np.zeros(num_items, dtype=np.int64)
    for piece in _pieces(blocks):
        for counts, numbers, what in zip(both, piece, ("user", "item"), strict=True):
            if numbers.min() < 0 or numbers.max() >= len(counts):
                raise BadInput(
                    f"events want {what} rows from 0 to {len(counts) - 1}, got "
                    f"{numbers.min()} to {numbers.max()}"
                )
            np.add.at(counts, numbers, 1)
    return both


def _room(of_users: Array, of_items: Array, memory: int | None) -> int:
    """Events that are sorted at once. `BadInput` where one user or item has more than `memory`."""
    largest = [int(counts.max(initial=1)) for counts in (of_users, of_items)]
    if memory is None:
        return max(_MEMORY // _BYTES_AN_EVENT, *largest)
    for most, what in zip(largest, ("user", "item"), strict=True):
        if most * _BYTES_AN_EVENT > memory:
            raise BadInput(
                f"one {what} has {most:,} events, which want {most * _BYTES_AN_EVENT:,} bytes of "
                f"memory to be sorted, got {memory:,}; give it that many"
            )
    return memory // _BYTES_AN_EVENT


def _pieces(blocks: Sequence[tuple[Array, Array]]) -> Iterator[tuple[Array, Array]]:
    for number in range(len(blocks)):
        users, items = blocks[number]
        yield from zip(
            in_pieces(users, _EVENTS_AT_ONCE), in_pieces(items, _EVENTS_AT_ONCE), strict=True
        )


def _distinct(rising: Array) -> Array:
    return rising[np.diff(rising, prepend=-1) > 0]


def _set_counts(counts: Array, rising: Array) -> None:
    """Put how often each number of `rising` (n,) is there into `counts`."""
    begins = np.flatnonzero(np.diff(rising, prepend=-1))
    counts[rising[begins]] = np.diff(begins, append=len(rising))
