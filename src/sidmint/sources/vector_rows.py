"""Vectors of the items from a file of any size, in the row order of the items.

What is small is held as float32. Of what is not, an .npy file stays where it is and is read by row
number; rows of Parquet come once, in their own order, and are put in that of the items in a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from sidmint.array_files import ArrayFile
from sidmint.contracts import Items
from sidmint.embedding import as_vectors, vectors_in_table
from sidmint.embedding.precomputed import ids_as_text, places_of, require_vectors
from sidmint.errors import BadInput
from sidmint.layout import Layout
from sidmint.outside import from_outside
from sidmint.params import Params
from sidmint.rows import MOST_BYTES, Rows, rows_made, rows_picked
from sidmint.sources.arrays import load_array
from sidmint.sources.frames import read_batches, read_frame, schema_of
from sidmint.sources.item_vectors import existing, ids_of_rows
from sidmint.sources.vectors import as_many_rows, item_id_column, unknown_format
from sidmint.types import Floats


def rows_of_items(
    path: str,
    item_ids: pl.Series,
    params: Params,
    layout: Layout,
    scratch: Path,
    most_bytes: int = MOST_BYTES,
) -> Rows:
    """The vectors in `path`, float32, in the order of `item_ids`; read when they are asked for.

    A file in the folder `scratch`, which has to stay as long as the rows are read, holds 4 N D
    bytes of vectors that came as Parquet and take more than `most_bytes`. `BadInput` where an item
    has no vector or two, and for what is no table or array of vectors; values are not checked.
    """
    file = existing(path, layout)
    with from_outside(path):
        if file.suffix == ".npy":
            return _rows_of_array(file, path, item_ids, params, layout, most_bytes)
        if file.is_dir() or file.suffix in (".parquet", ".pq"):
            theirs = item_id_column(params.ingest.columns)
            return _rows_of_table(file, path, theirs, item_ids, scratch, most_bytes)
    raise unknown_format(path)


def _rows_of_array(
    file: Path, name: str, item_ids: pl.Series, params: Params, layout: Layout, most_bytes: int
) -> Rows:
    array = load_array(file, name)
    require_vectors(array, name)
    found, items_name = ids_of_rows(name, params, layout)
    as_many_rows(len(array), name, len(found), items_name)
    places = places_of(found, item_ids, name)
    wanted = np.flatnonzero(places >= 0)
    numbers = np.empty(len(item_ids), dtype=np.int64)
    numbers[places[wanted]] = wanted
    stored = rows_picked(ArrayFile.of(file), numbers)
    return rows_made(stored, partial(as_vectors, name=name), most_bytes)


def _rows_of_table(
    file: Path, name: str, theirs: str, item_ids: pl.Series, scratch: Path, most_bytes: int
) -> Rows:
    schema = schema_of(file)
    own = Items.ITEM_ID if Items.ITEM_ID in schema else theirs
    lists = [c for c, dtype in schema.items() if isinstance(dtype, pl.List | pl.Array)]
    columns = [c for c in schema if c == own or c in lists] if lists else schema.names()
    if own not in columns:
        vectors_in_table(pl.DataFrame(schema=schema), own, name)  # says what is wanted
    found = ids_as_text(read_frame(file, columns=[own])[own], name)
    places = places_of(found, item_ids, name)
    into: Floats | ArrayFile | None = None
    start = 0
    for ids, vectors in _batches(file, columns, own, name):
        if into is None:
            into = _room(len(item_ids), vectors.shape[1], scratch, most_bytes)
        if vectors.shape[1] != into.shape[1]:
            raise BadInput(
                f"{name}: the vector of item {ids[0]} has {vectors.shape[1]} dimensions where "
                f"others have {into.shape[1]}"
            )
        _put(into, places[start : start + len(ids)], vectors)
        start += len(ids)
    assert into is not None  # noqa: S101 - there is an item, and each has a vector
    return into


def _batches(
    file: Path, columns: list[str], own: str, name: str
) -> Iterator[tuple[list[str], Floats]]:
    for frame in read_batches(file, columns):
        if len(frame):
            yield vectors_in_table(frame, own, name)


def _room(num_items: int, width: int, scratch: Path, most_bytes: int) -> Floats | ArrayFile:
    """Where float32 vectors find room: memory, or a file."""
    shape = (num_items, width)
    if num_items * width * np.dtype(np.float32).itemsize <= most_bytes:
        return np.empty(shape, dtype=np.float32)
    return ArrayFile.make(scratch / "vectors.npy", shape, np.float32)


def _put(into: Floats | ArrayFile, places: npt.NDArray[np.int64], vectors: Floats) -> None:
    wanted = np.flatnonzero(places >= 0)
    into[places[wanted]] = vectors[wanted]
