"""Frames one after another, put in order as one table that no memory need hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from sidmint.spill_files import FrameSpill

MOST_ROWS = 1 << 19
"""Sorted in memory at a time: some 50 MB of ids."""
_NUM_BINS = 1 << 16
_PLACE = "_place"

Frames = Callable[[], Iterable[pl.DataFrame]]
"""The same frames whenever it is asked."""


def sorted_frames(
    frames: Frames, key: str, spill: FrameSpill, most_rows: int = MOST_ROWS
) -> Iterator[pl.DataFrame]:
    """The rows of all `frames` in the order of `key`, whole numbers; equal keys as they came.

    Rows are parted by ranges of the key, each of at most `most_rows` rows, and each range is
    sorted alone. So `frames` are read three times where they do not fit at once, and `spill` holds
    them once meanwhile. Many rows of a single key come in the pieces that they lie in.
    """
    extent = _extent(frames(), key)
    if extent is not None:
        yield from _sorted(frames, key, extent, spill, most_rows)


def in_places(
    pieces: Iterable[tuple[pl.DataFrame, npt.NDArray[Any]]], rows_at_once: int, spill: FrameSpill
) -> Iterator[pl.DataFrame]:
    """The rows of all `pieces` in the order of their places, `rows_at_once` at a time.

    A piece is rows and the place of each, (n,): together they are all whole numbers from 0 on.
    `spill` holds them once meanwhile, and each as long as it has not been given.
    """
    homes = set[int]()
    for rows, places in pieces:
        of_rows = places // rows_at_once
        _send(rows.with_columns(pl.Series(_PLACE, places, dtype=pl.Int64)), of_rows, spill)
        homes.update(np.unique(of_rows).tolist())
    for home in sorted(homes):
        ordered = pl.concat(list(spill.read(home))).sort(_PLACE)
        spill.drop(home)
        yield ordered.drop(_PLACE)


@dataclass(frozen=True)
class _Extent:
    """How many rows there are, and from which key to which, both included."""

    rows: int
    low: int
    high: int


def _extent(frames: Iterable[pl.DataFrame], key: str) -> _Extent | None:
    rows, ends = 0, []
    for keys in (frame[key] for frame in frames if len(frame)):
        rows += len(keys)
        ends += [int(keys.min()), int(keys.max())]  # type: ignore[arg-type]
        ends = [min(ends), max(ends)]
    return _Extent(rows, *ends) if rows else None


def _sorted(
    frames: Frames, key: str, extent: _Extent, spill: FrameSpill, most_rows: int
) -> Iterator[pl.DataFrame]:
    if extent.low == extent.high:
        yield from frames()
        return
    if extent.rows <= most_rows:
        yield pl.concat(list(frames())).sort(key, maintain_order=True)
        return
    width = -(-(extent.high - extent.low + 1) // _NUM_BINS)
    counts = np.zeros(_NUM_BINS, dtype=np.int64)
    for frame in frames():
        counts += np.bincount(_bins(frame, key, extent, width), minlength=_NUM_BINS)
    partition_of_bin = _partitions(counts, most_rows)
    for frame in frames():
        _send(frame, partition_of_bin[_bins(frame, key, extent, width)], spill)
    for partition in range(int(partition_of_bin[-1]) + 1):
        # Where one bin holds too many, its keys are fewer: it is parted once more.
        yield from sorted_frames(
            lambda mine=partition: spill.read(mine),  # type: ignore[misc]
            key,
            spill.below(partition),
            most_rows,
        )
        spill.drop(partition)


def _bins(frame: pl.DataFrame, key: str, extent: _Extent, width: int) -> npt.NDArray[np.int64]:
    return (frame[key].to_numpy().astype(np.int64) - extent.low) // width


def _partitions(counts: npt.NDArray[np.int64], most_rows: int) -> npt.NDArray[np.int64]:
    """The partition of each bin, rising: bins side by side, as many as make `most_rows` rows."""
    homes = np.zeros(len(counts), dtype=np.int64)
    home, held = 0, 0
    for number, count in enumerate(counts.tolist()):
        if held and held + count > most_rows:
            home, held = home + 1, 0
        homes[number] = home
        held += count
    return homes


def _send(frame: pl.DataFrame, homes: npt.NDArray[np.int64], spill: FrameSpill) -> None:
    ordered = frame[np.argsort(homes, kind="stable")]
    start = 0
    for home, count in zip(*np.unique(homes, return_counts=True), strict=True):
        spill.append(int(home), ordered.slice(start, int(count)))
        start += int(count)
