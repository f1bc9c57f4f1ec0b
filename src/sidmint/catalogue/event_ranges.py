"""A log of any size as whole numbers, in ranges of users: read, put in order, kept by the k-core.

Shape letters: U users, N items, n events of a block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from sidmint.catalogue.checking import Gaps, Unknown, with_event_ids
from sidmint.catalogue.id_rows import Array, IdRows
from sidmint.catalogue.splitting import in_order, shuffle_ties_by, tie_draws
from sidmint.contracts import Interactions
from sidmint.errors import in_rows
from sidmint.partitions import Spill, read_all, send
from sidmint.progress import Track

_READ_ROWS = 1 << 17
_USER, _ITEM, _POSITION = Interactions.USER_ID, Interactions.ITEM_ID, Interactions.POSITION
_TIME = Interactions.TIMESTAMP


@dataclass(frozen=True)
class EventRanges:
    """Events by ranges of users, a row of whole numbers each: user, item, and `others`."""

    spill: Spill
    others: Mapping[str, tuple[int, pl.DataType]]
    """Columns beside user and item: where they stand in a row, and what they are."""
    sizes: Array
    """Events of each range."""

    @property
    def num_rows(self) -> int:
        """Of all ranges."""
        return int(self.sizes.sum())

    @property
    def numbers(self) -> list[int]:
        """Of ranges with events."""
        return [int(number) for number in np.flatnonzero(self.sizes)]

    def frame(self, number: int) -> pl.DataFrame:
        """A range as it came."""
        rows = read_all(self.spill, number, int(self.sizes[number]), _READ_ROWS)
        columns = {_USER: (0, pl.Int64()), _ITEM: (1, pl.Int64()), **self.others}
        return pl.DataFrame(
            {name: pl.Series(rows[:, at]).cast(dtype) for name, (at, dtype) in columns.items()}
        )

    def blocks(self) -> Iterator[Array]:
        """All rows (n, columns), so many at a time."""
        for number in self.numbers:
            yield from self.spill.read(number, _READ_ROWS)


@dataclass(frozen=True)
class Reading:
    """How events become whole numbers, and which range each goes to."""

    item_rows: Callable[[pl.Series], Array]
    users: pl.Series
    bounds: Array
    """The first user of each range."""
    name: str

    def into(
        self, spill: Spill, pieces: Iterable[tuple[int, pl.DataFrame]], unknown_limit: float
    ) -> tuple[EventRanges, int]:
        """The events on known items, and how many others were left out."""
        user_rows = IdRows(self.users)
        sizes = np.zeros(len(self.bounds), dtype=np.int64)
        unknown, num_rows = Unknown(), 0
        gaps: dict[str, Gaps] = {}
        others: dict[str, tuple[int, pl.DataType]] = {}
        for first_row, piece in pieces:
            with in_rows(first_row, piece.height):
                events = with_event_ids(piece, self.name, first_row)
            items = self.item_rows(events[_ITEM])
            is_unknown = pl.Series(items < 0)
            unknown = unknown.and_of(is_unknown, events[_ITEM], first_row)
            num_rows += len(events)
            found = [column for column in (_POSITION, _TIME) if column in events.columns]
            others = {column: (2 + at, events.schema[column]) for at, column in enumerate(found)}
            rows = np.empty((len(events), 2 + len(found)), dtype=np.int64)
            rows[:, 0] = user_rows.of(events[_USER])
            rows[:, 1] = items
            for column, (at, _) in others.items():
                values = events[column]
                missing = Gaps.of(values.is_null() & ~is_unknown, first_row)
                gaps[column] = gaps.get(column, Gaps()).and_of(missing)
                rows[:, at] = values.to_physical().fill_null(0).to_numpy()
            rows = rows[items >= 0]
            homes = np.searchsorted(self.bounds, rows[:, 0], side="right") - 1
            sizes += send(spill, homes, rows, len(sizes))
        unknown.require_few(num_rows, unknown_limit, self.name)
        num_known = num_rows - unknown.count
        known = {
            column: place
            for column, place in others.items()
            if gaps[column].is_column(num_known, column, self.name)
        }
        return EventRanges(spill, known, sizes), unknown.count


@dataclass(frozen=True)
class OrderedEvents:
    """All events, every user's in order, before the k-core."""

    ranges: EventRanges
    num_users: int
    """With an event."""
    of_items: Array
    """Events of each item, (N,)."""
    first: Array
    """Time of the first one, where there is time."""

    @classmethod
    def of(
        cls,
        came: EventRanges,
        spill: Spill,
        tie_order: str,
        seed: int,
        numbers: tuple[int, int],
        name: str,
        track: Track,
    ) -> OrderedEvents:
        """Put the events that `came` in order; they are gone from where they lay."""
        draws = tie_draws(seed)
        num_users, of_items = 0, np.zeros(numbers[1], dtype=np.int64)
        first = np.full(numbers[1], np.iinfo(np.int64).max)
        times = {_TIME: (2, came.others[_TIME][1])} if _TIME in came.others else {}
        for number in track(came.numbers, "order events", len(came.numbers)):
            events = in_order(came.frame(number), name)
            if tie_order == "shuffled":
                events = shuffle_ties_by(events, draws, name)
            columns = [events[column].to_physical() for column in (_USER, _ITEM, *times)]
            rows = np.stack([column.to_numpy() for column in columns], axis=1)
            num_users += events[_USER].n_unique()
            np.add.at(of_items, rows[:, 1], 1)
            if times:
                np.minimum.at(first, rows[:, 1], rows[:, 2])
            spill.append(number, rows)
            came.spill.drop(number)
        return cls(EventRanges(spill, times, came.sizes), num_users, of_items, first)

    def users_and_items(self) -> Iterator[tuple[Array, Array]]:
        """Of all events, so many at a time."""
        for rows in self.ranges.blocks():
            yield rows[:, 0], rows[:, 1]

    def first_events(self) -> pl.DataFrame | None:
        """The time of the first event of each item that has one; None where there is no time."""
        if _TIME not in self.ranges.others:
            return None
        met = np.flatnonzero(self.of_items)
        times = pl.Series(self.first[met]).cast(self.ranges.others[_TIME][1])
        return pl.DataFrame({_ITEM: met, _TIME: times})


@dataclass(frozen=True)
class KeptEvents:
    """The events of the k-core: those of users and items that both are in it."""

    ranges: EventRanges
    users: Array
    items: Array
    """Whether each is in it, (U,) and (N,)."""

    @property
    def num_ranges(self) -> int:
        """Of those that had events before."""
        return len(self.ranges.numbers)

    def frames(self) -> Iterator[pl.DataFrame]:
        """Range after range, users and their events in order."""
        for number in self.ranges.numbers:
            frame = self.ranges.frame(number)
            kept = self.users[frame[_USER].to_numpy()] & self.items[frame[_ITEM].to_numpy()]
            frame = frame.filter(pl.Series(kept))
            if frame.height:
                yield frame

    def blocks(self) -> Iterator[Array]:
        """Rows (n, columns), so many at a time."""
        for rows in self.ranges.blocks():
            yield rows[self.users[rows[:, 0]] & self.items[rows[:, 1]]]
