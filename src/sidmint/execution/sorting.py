"""Puts a table larger than memory in order, where the place of every row is known before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from sidmint.disk import storing

_PLACE = "_place"


def in_places(
    pieces: Iterable[tuple[pl.DataFrame, npt.NDArray[Any]]], rows_at_once: int, folder: Path
) -> Iterator[pl.DataFrame]:
    """The rows of all `pieces` in the order of their places, `rows_at_once` at a time.

    A piece is rows and the place of each, (n,): together they are all whole numbers from 0 on. Rows
    lie in files of `folder` meanwhile, about as large as the table without compression would be at
    most, and are gone from it as they are given. `StorageFailed` where the disk is full.
    """
    written: set[int] = set()
    for rows, places in pieces:
        homes = places // rows_at_once
        placed = rows.with_columns(pl.Series(_PLACE, places, dtype=pl.Int64))
        for home in np.unique(homes).tolist():
            _append(folder / f"{home:06d}.rows", placed.filter(pl.Series(homes == home)))
            written.add(home)
    for home in sorted(written):
        path = folder / f"{home:06d}.rows"
        ordered = _read(path).sort(_PLACE)
        path.unlink()
        yield ordered.drop(_PLACE)


def _append(path: Path, rows: pl.DataFrame) -> None:
    packed = BytesIO()
    rows.write_ipc_stream(packed, compression="lz4")
    with storing(path.parent, "No table has been changed"), path.open("ab") as file:
        file.write(packed.getbuffer())


def _read(path: Path) -> pl.DataFrame:
    """All that was appended: a stream of record batches behind the other."""
    import pyarrow.ipc

    found = []
    size = path.stat().st_size
    with path.open("rb") as file:
        while file.tell() < size:
            found.append(pl.DataFrame(pyarrow.ipc.open_stream(file).read_all()))
    return pl.concat(found)
