"""Items that come after the catalogue: one table, and their vectors where those are ready-made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from sidmint.contracts import Items
from sidmint.embedding.precomputed import as_ids
from sidmint.errors import BadInput
from sidmint.sources.table import read_items
from sidmint.sources.vectors import read_vectors
from sidmint.types import Floats


@dataclass(frozen=True)
class NewItems:
    """A user's own rows under our column names, in file order; `name` stands for them in errors."""

    items: pl.DataFrame
    vectors: tuple[list[str], Floats] | None
    """Item ids and vectors (rows, D), in an order of their own; None where none were given."""
    name: str


def read_new_items(
    path: Path, vectors: Path | None, columns: Mapping[str, str], encoding: str
) -> NewItems:
    """The table at `path`, read as `ingest` says, and the file of vectors where there is one.

    Rows of an .npy file are those of the table; Parquet names its items. `BadInput` for a file
    that is missing or of another format, and for columns that are asked for and not there.
    """
    for file in (path, *([vectors] if vectors else [])):
        if not file.exists():
            raise BadInput(f"{file} is not there; give the path of an existing file or folder")
    items = read_items(path, columns, encoding)
    if vectors is None:
        return NewItems(items, None, path.name)
    theirs = columns.get(f"items.{Items.ITEM_ID}", columns.get(Items.ITEM_ID, Items.ITEM_ID))
    given = read_vectors(
        vectors, vectors.name, theirs, lambda: (as_ids(items[Items.ITEM_ID], path.name), path.name)
    )
    return NewItems(items, given, path.name)
