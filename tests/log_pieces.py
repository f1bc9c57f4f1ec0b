"""Random logs, and any table as if it were too large to hold: in pieces of a few rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from hypothesis import strategies as st

from sidmint.catalogue import Catalogue, check_items
from sidmint.catalogue.digest import TablesDigest
from sidmint.catalogue.in_pieces import CatalogueInPieces
from sidmint.catalogue.splitting import SortedSequences

NOON = datetime(2024, 1, 1, 12)


def drawn_rows(seed: int, num_events: int, num_items: int) -> list[tuple[int, int, int]]:
    """(user, item, hours after noon): low numbers are popular, and many events are tied."""
    shares = np.random.default_rng(seed).random((num_events, 3)) ** 1.5
    return [tuple(row) for row in (shares * [10, num_items, 7]).astype(int).tolist()]


rows_of_a_log = st.builds(
    drawn_rows, st.integers(0, 2**32), st.integers(20, 200), st.sampled_from([13, 13, 15])
)
"""Of items 0 to 12, or of two more that nobody knows."""


def items(num_items: int = 13) -> pl.DataFrame:
    """Items in an order that is not that of their ids; number 5 has no title of its own."""
    numbers = [(7 * row) % num_items for row in range(num_items)]
    return pl.DataFrame(
        {
            "item_id": [f"i{number:02d}" for number in numbers],
            "title": [None if number == 5 else f"title {number}" for number in numbers],
            "brand": [f"brand {number}" for number in numbers],
        }
    )


def log(rows: list[tuple[int, int, int]]) -> pl.DataFrame:
    """Events of users whose ids are longer the higher their number; items 13 and 14 are unknown."""
    return pl.DataFrame(
        {
            "user_id": [f"u{'x' * user}" for user, _, _ in rows],
            "item_id": [f"i{item:02d}" for _, item, _ in rows],
            "timestamp": [NOON + timedelta(hours=hour) for _, _, hour in rows],
        },
        schema={"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Datetime("us")},
    )


@dataclass(frozen=True)
class Sliced:
    """A log read `size` rows at a time."""

    table: pl.DataFrame
    size: int

    @property
    def num_pieces(self) -> int:
        return -(-self.table.height // self.size)

    def users(self) -> Iterator[tuple[int, pl.Series]]:
        for first_row, piece in self.events():
            yield first_row, piece["user_id"]

    def events(self) -> Iterator[tuple[int, pl.DataFrame]]:
        for start in range(0, self.table.height, self.size):
            yield start + 1, self.table.slice(start, self.size)


@dataclass(frozen=True)
class Drawn:
    """A log that is never there as a whole: pieces of 25,000 events, drawn when they are read."""

    num_pieces: int
    num_users: int
    num_items: int

    def users(self) -> Iterator[tuple[int, pl.Series]]:
        for first_row, piece in self.events():
            yield first_row, piece["user_id"]

    def events(self) -> Iterator[tuple[int, pl.DataFrame]]:
        for number in range(self.num_pieces):
            shares = np.random.default_rng(number).random((25_000, 3)) * [1, 1, 10_000]
            user, item, hour = (shares * [self.num_users, self.num_items, 1]).astype(int).T
            piece = pl.DataFrame({"user_id": user, "item_id": item, "timestamp": hour})
            named = piece.with_columns(
                pl.col("user_id", "item_id").cast(pl.String).str.zfill(6),
                pl.lit(NOON) + pl.duration(hours="timestamp"),
            )
            yield 1 + 25_000 * number, named


def put_together(made: CatalogueInPieces, raw_items: pl.DataFrame, size: int) -> Catalogue:
    """The tables of a catalogue in pieces as whole ones, and its profile with what they say."""
    pieces, num_filled = [], 0
    for start in range(0, raw_items.height, size):
        checked, filled = check_items(raw_items.slice(start, size), "items", start + 1)
        pieces.append(checked)
        num_filled += filled
    placed = [rows.with_columns(pl.Series("at", at)) for rows, at in made.items(pieces)]
    table = pl.concat(placed).sort("at")
    assert table["at"].to_list() == list(range(table.height)) == list(range(made.num_items))
    events = pl.concat(list(made.events()))
    in_order, digest = SortedSequences(), TablesDigest()
    for table_of in (table.drop("at"), events):
        digest.begin()
        for start in range(0, table_of.height, size):
            digest.add(table_of.slice(start, size))
    for block in made.events():
        in_order.add(block)
    found = {
        "sorted_sequence_share": in_order.share,
        "titles_filled": num_filled,
        "digest": digest.hexdigest(),
    }
    return Catalogue(table.drop("at"), events, {**made.profile, **found})
