"""Vectors of the catalogue's items from files of the workspace, in the row order of the items."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from sidmint.embedding import align_rows, check_rows, check_rows_of, known_rows
from sidmint.embedding.precomputed import ids_as_text
from sidmint.errors import BadInput
from sidmint.layout import Layout
from sidmint.params import Params
from sidmint.sources.frames import read_frame
from sidmint.sources.vectors import item_id_column, read_vectors
from sidmint.types import Floats


def vectors_of_items(path: str, item_ids: list[str], params: Params, layout: Layout) -> Floats:
    """The vectors in `path`, in the order of `item_ids`.

    `BadInput` where one has none, and for a vector that is not finite or zero.
    """
    vector_ids, vectors = _read(path, params, layout)
    aligned = align_rows(vectors, vector_ids, item_ids, path)
    check_rows(aligned, item_ids, path)
    return aligned


def known_vectors_of_items(
    path: str, item_ids: list[str], params: Params, layout: Layout, nan_is_none: bool = False
) -> Floats:
    """The same, with a row of NaN for an item that has none; `BadInput` where no item has one.

    With `nan_is_none` a row of NaN in the file says that too, and no row is checked.
    """
    vector_ids, vectors = _read(path, params, layout)
    known = known_rows(vectors, vector_ids, item_ids, path)
    if not nan_is_none:
        check_rows_of(vectors, vector_ids, item_ids, path)
    return known


def _read(path: str, params: Params, layout: Layout) -> tuple[list[str], Floats]:
    """Item ids and vectors of the file `path`, in its own order."""
    file = existing(path, layout)
    return read_vectors(
        file, path, item_id_column(params.ingest.columns), lambda: _listed(path, params, layout)
    )


def existing(path: str, layout: Layout) -> Path:
    """The file of vectors that a setting names; `BadInput` where it is not there."""
    file = layout.inside(path)
    if not file.exists():
        raise BadInput(
            f"{path} is not there; embed.path, embed.sources and embed.collaborative name vector "
            "files"
        )
    return file


def _listed(path: str, params: Params, layout: Layout) -> tuple[list[str], str]:
    ids, name = ids_of_rows(path, params, layout)
    return ids.to_list(), name


def ids_of_rows(path: str, params: Params, layout: Layout) -> tuple[pl.Series, str]:
    """Ids of the rows of an .npy file, which follow the user's own items file, and its name.

    `ingest` sorts and filters, so the rows of the catalogue on disk are not those of the file.
    """
    if params.ingest.source != "table" or params.ingest.items is None:
        raise BadInput(
            f"{path}: rows of an .npy file follow the items file of source table, and "
            f"ingest.source is {params.ingest.source}; bring Parquet with an item_id column"
        )
    column = item_id_column(params.ingest.columns)
    file = layout.inside(params.ingest.items)
    items = read_frame(file, params.ingest.encoding, columns=[column])
    if column not in items.columns:
        raise BadInput(f"{params.ingest.items} lacks the column {column!r} of item ids")
    return ids_as_text(items[column], params.ingest.items), params.ingest.items
