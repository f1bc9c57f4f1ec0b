"""Vectors that stand beside a table: rows in its order (.npy), or found by item id (Parquet)."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from sidmint.contracts import Items
from sidmint.embedding.checks import check_vectors
from sidmint.embedding.precomputed import align_rows, as_vectors, vectors_in_table
from sidmint.errors import BadInput
from sidmint.inspection.files import require_file
from sidmint.sources.arrays import load_array
from sidmint.sources.column_names import ITEM_COLUMNS, named_like
from sidmint.sources.frames import read_frame
from sidmint.types import Floats


def read_vectors(path: Path, item_ids: pl.Series) -> tuple[Floats, str]:
    """Vectors (N, D) of `item_ids`, row by row, and in words how they were matched.

    Raises `BadInput` where rows and items differ in number, an item has no vector or two, and
    for vectors that hold NaN, are zero or all the same.
    """
    require_file(path)
    ids = item_ids.to_list()
    match path.suffix.lower():
        case ".npy":
            vectors = as_vectors(load_array(path), str(path))
            if len(vectors) != len(ids):
                raise BadInput(
                    f"{path} has {len(vectors):,} rows for {len(ids):,} items; rows of a .npy are "
                    "matched by their place. Write a Parquet with item_id to match them by id"
                )
            how = "rows in the order of the table"
        case ".parquet" | ".pq":
            frame = read_frame(path)
            found, table = vectors_in_table(frame, _id_column(frame, path), str(path))
            vectors = align_rows(table, found, ids, str(path))
            how = f"matched by item id ({len(found):,} are there)"
        case _:
            raise BadInput(f"{path} holds no vectors that are read; give .npy or .parquet")
    check_vectors(vectors, ids, str(path))
    return vectors, f"{vectors.shape[1]} dimensions from {path}, {how}"


def _id_column(frame: pl.DataFrame, path: Path) -> str:
    named = named_like(frame.columns, ITEM_COLUMNS[Items.ITEM_ID])
    if not named:
        raise BadInput(
            f"{path} has no column that looks like item_id; it has "
            f"{', '.join(frame.columns[:12])}. Vectors in a table are matched by item id: rename "
            "the column to item_id"
        )
    return named[0]
