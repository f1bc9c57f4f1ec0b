"""The catalogue of tables larger than memory: the steps of `build`, a range of users at a time.

Ids of all items and of all users are held, and some numbers an item and a user. Events are never
held: as whole numbers they go to ranges of users, where each range is put in order, and every later
step reads range after range. The rules are those of `build`; so are all facts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

import numpy as np
import polars as pl

from sidmint.catalogue.build import (
    Sizes,
    Standings,
    count_training,
    finish_events,
    finish_items,
    in_item_set,
    require_events,
    require_training,
    sizes_in_profile,
    split_sizes,
    standing_sizes,
    standings_of,
)
from sidmint.catalogue.checking import as_ids
from sidmint.catalogue.core import core_counts
from sidmint.catalogue.event_ranges import KeptEvents, OrderedEvents, Reading
from sidmint.catalogue.id_rows import Array, DistinctIds, IdRows
from sidmint.catalogue.splitting import (
    cut_in_time,
    cut_places,
    newest,
    require_seen,
    require_times,
    split_events,
    with_cold,
)
from sidmint.catalogue.without_log import profile_without_log, without_events
from sidmint.contracts import Interactions, Items
from sidmint.errors import in_rows
from sidmint.partitions import Spill
from sidmint.progress import Track, silent
from sidmint.ranges import cuts
from sidmint.selection import numbers_at

EVENTS_AT_ONCE = 1 << 20
"""Of one range of users, or those of a user who has more: about 250 bytes of work space each."""

_TIME = Interactions.TIMESTAMP


class LogPieces(Protocol):
    """A log of any size, read a piece at a time, from the first row on whenever it is asked."""

    @property
    def num_pieces(self) -> int:
        """How many pieces it has."""
        ...

    def users(self) -> Iterable[tuple[int, pl.Series]]:
        """The user ids of each piece, and the number of its first row, from 1."""
        ...

    def events(self) -> Iterable[tuple[int, pl.DataFrame]]:
        """Each piece as `sources.RawCatalogue.interactions`, and the number of its first row."""
        ...


@dataclass(frozen=True)
class CatalogueInPieces:
    """What `build.Catalogue` holds, as far as it can be held: the tables are made piece by piece.

    `profile` lacks what is found while they are made: `sorted_sequence_share`, `titles_filled` and
    `digest`.
    """

    rows: IdRows
    """Of the items of the source, by id."""
    standings: Standings
    num_train: Array
    """Of each item of the source, (N,), sorted by id."""
    item_set: str
    profile: Mapping[str, Any]
    events: Callable[[], Iterator[pl.DataFrame]]
    """The interactions, sorted by user and position, in blocks of whole users."""

    @property
    def num_items(self) -> int:
        """Of the catalogue, which `item_set` core makes fewer than those of the source."""
        return int(in_item_set(self.standings, self.item_set).sum())

    def items(self, pieces: Iterable[pl.DataFrame]) -> Iterator[tuple[pl.DataFrame, Array]]:
        """Pieces of checked items finished, and the place of each row among all items by id."""
        kept = in_item_set(self.standings, self.item_set)
        places = np.cumsum(kept) - 1
        for piece in pieces:
            rows = self.rows.of(piece[Items.ITEM_ID])
            finished = finish_items(
                piece, self.standings[rows], self.num_train[rows], self.item_set
            )
            yield finished, places[rows[kept[rows]]]


def without_log_in_pieces(item_ids: pl.Series) -> CatalogueInPieces:
    """`build_without_log` for items that are not held: their ids are, text, rising."""
    num_items = len(item_ids)
    standings, num_train = without_events(num_items)
    return CatalogueInPieces(
        IdRows(item_ids),
        standings,
        num_train,
        "all",
        profile_without_log(num_items),
        lambda: iter(()),
    )


def build_in_pieces(
    item_ids: pl.Series,
    log: LogPieces,
    *,
    min_interactions: int,
    cold_share: float,
    seed: int,
    spill: Spill,
    protocol: Literal["leave_one_out", "time"] = "leave_one_out",
    tie_order: Literal["file", "shuffled"] = "file",
    time_shares: tuple[float, float] = (0.1, 0.1),
    unknown_limit: float = 0.0,
    item_set: Literal["all", "core"] = "all",
    interactions_name: str = "interactions",
    item_rows: Callable[[pl.Series], Array] | None = None,
    events_at_once: int = EVENTS_AT_ONCE,
    track: Track = silent,
) -> CatalogueInPieces:
    """The catalogue of a log that is not held, with the facts of `build_catalogue`.

    `item_ids` (N,) are text, rising, each once; the items themselves are checked and finished
    afterwards. `item_rows` gives the row of each item id of the log among them, -1 where it has
    none; by default ids are compared as they are written. `spill` holds 8 bytes an event and
    column (user, item, and position and time where they are known) and wants to live as long as
    the catalogue. Raises what `build_catalogue` raises for the log; rows have the same numbers,
    but where events on unknown items were left out: there it is the row of the file.
    """
    name, rows = interactions_name, IdRows(item_ids)
    users, events_of_users = _users_of(log, name, track)
    bounds = np.array(cuts(events_of_users, events_at_once)[:-1], dtype=np.int64)
    reading = Reading(rows.of if item_rows is None else item_rows, users, bounds, name)
    pieces = track(log.events(), "read events", log.num_pieces)
    came, num_unknown = reading.into(spill.below(0), pieces, unknown_limit)
    ordered = OrderedEvents.of(
        came, spill.below(1), tie_order, seed, (len(users), len(item_ids)), name, track
    )
    of_users, of_items = core_counts(
        ordered.users_and_items, len(users), len(item_ids), min_interactions
    )
    require_events(of_users, users, min_interactions, name, protocol)
    kept = KeptEvents(ordered.ranges, of_users > 0, of_items > 0)
    remaining = np.flatnonzero(of_items)
    if protocol == "time":
        split, withheld = _by_time(kept, remaining, int(of_users.sum()), time_shares, name)
        selection = "first event after the cut in time"
    else:
        withheld, selection = newest(ordered.first_events(), remaining, cold_share, seed)
        split = partial(split_events, withheld=withheld)
    standings = standings_of(len(item_ids), np.flatnonzero(ordered.of_items), remaining, withheld)
    num_train, parts = _trained(kept, split, track)
    in_set = in_item_set(standings, item_set)
    profile = {
        **sizes_in_profile(
            read=Sizes(len(item_ids), ordered.num_users, came.num_rows),
            kept=Sizes(int(in_set.sum()), int((of_users > 0).sum()), int(of_users.sum())),
            num_core_items=len(remaining),
            num_unknown=num_unknown,
        ),
        **standing_sizes(standings[in_set]),
        "cold_selection": selection,
        "split": parts,
    }

    def finished() -> Iterator[pl.DataFrame]:
        for frame in kept.frames():
            yield finish_events(split(frame), users, item_ids)

    return CatalogueInPieces(rows, standings, num_train, item_set, profile, finished)


def _users_of(log: LogPieces, name: str, track: Track) -> tuple[pl.Series, Array]:
    """All users, by id, and how many events each has, (U,)."""
    counted = DistinctIds()
    for first_row, ids in track(log.users(), "read users", log.num_pieces):
        with in_rows(first_row, len(ids)):
            counted.add(as_ids(ids, name, first_row))
    return counted.sorted()


def _trained(
    kept: KeptEvents, split: Callable[[pl.DataFrame], pl.DataFrame], track: Track
) -> tuple[Array, dict[str, int]]:
    """Training events of each item, (N,), and how many events each part of the split has."""
    num_train = np.zeros(len(kept.items), dtype=np.int64)
    parts: dict[str, int] = {}
    for frame in track(kept.frames(), "split events", kept.num_ranges):
        events = split(frame)
        count_training(num_train, events)
        parts = {part: count + parts.get(part, 0) for part, count in split_sizes(events).items()}
    require_training(num_train)
    return num_train, parts


def _by_time(
    kept: KeptEvents, remaining: Array, num_events: int, shares: tuple[float, float], name: str
) -> tuple[Callable[[pl.DataFrame], pl.DataFrame], Array]:
    """How a range is split by one cut for all, and the items that training never sees."""
    require_times(tuple(kept.ranges.others), name)
    at, dtype = kept.ranges.others[_TIME]

    def times() -> Iterator[Array]:
        for rows in kept.blocks():
            yield rows[:, at]

    found = numbers_at(times, cut_places(num_events, *shares))
    first, second = pl.Series(found).cast(dtype)
    seen = np.zeros(len(kept.items), dtype=bool)
    for rows in kept.blocks():
        seen[rows[rows[:, at] < found[0], 1]] = True
    require_seen(int(seen.sum()), name)
    unseen = remaining[~seen[remaining]]

    def split(events: pl.DataFrame) -> pl.DataFrame:
        return with_cold(cut_in_time(events, first, second), pl.Series(unseen))

    return split, unseen
