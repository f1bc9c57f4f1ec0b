"""Ids and their rows where a table has millions: kept once, looked up a block at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

Array = npt.NDArray[Any]

_FEWEST_HELD = 1 << 20


def hashes_of(ids: pl.Series) -> Array:
    """(n,) uint64. Other processes may hash otherwise: nothing that is kept depends on it."""
    return ids.hash(0).to_numpy()


class IdRows:
    """The row of an id in a table, as `checking.rows_of`, without reading the table each time.

    Takes 16 bytes an id beside the ids. `hashed` gives equal numbers for equal texts; different
    texts may share one, since texts themselves are compared.
    """

    def __init__(self, ids: pl.Series, hashed: Callable[[pl.Series], Array] = hashes_of) -> None:
        """`ids` (N,) are text, each there once."""
        self._ids, self._hashed = ids, hashed
        hashes = hashed(ids)
        self._order = np.argsort(hashes).astype(np.uint32 if len(ids) < 1 << 32 else np.int64)
        self._hashes = hashes[self._order]

    def of(self, ids: pl.Series) -> Array:
        """The row of each of `ids` (n,), text without nulls, as int64; -1 where it has none."""
        hashes = self._hashed(ids)
        order = np.argsort(hashes)  # searched in order: neighbours lie in one page
        places = np.empty(len(ids), dtype=np.int64)
        places[order] = np.searchsorted(self._hashes, hashes[order])
        rows = np.full(len(ids), -1, dtype=np.int64)
        open_ = np.arange(len(ids))
        while True:
            open_ = open_[places[open_] < len(self._hashes)]
            open_ = open_[self._hashes[places[open_]] == hashes[open_]]
            if not len(open_):
                return rows
            found = self._order[places[open_]]
            same = (self._ids.gather(found) == ids.gather(open_)).to_numpy()
            rows[open_[same]] = found[same]
            open_ = open_[~same]
            places[open_] += 1  # another text with this hash


class DistinctIds:
    """Distinct texts of a column that comes in blocks, and how often each was there.

    Holds a few times what the distinct ones take, never the column.
    """

    def __init__(self) -> None:
        self._counted = pl.DataFrame(schema={"id": pl.String, "len": pl.UInt32})
        self._new: list[pl.DataFrame] = []
        self._num_new = 0

    def add(self, ids: pl.Series) -> None:
        """Count a block on."""
        block = ids.alias("id").to_frame().group_by("id").len()
        self._new.append(block)
        self._num_new += block.height
        if self._num_new > max(_FEWEST_HELD, self._counted.height):
            self._merge()

    def sorted(self) -> tuple[pl.Series, Array]:
        """The texts, rising, and the count of each, int64."""
        self._merge()
        ordered = self._counted.sort("id")
        return ordered["id"], ordered["len"].cast(pl.Int64).to_numpy()

    def _merge(self) -> None:
        both = pl.concat([self._counted, *self._new])
        self._counted = both.group_by("id").agg(pl.col("len").sum())
        self._new, self._num_new = [], 0
