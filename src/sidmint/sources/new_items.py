"""Items that come after the catalogue: one table, and their vectors where those are ready-made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from sidmint.contracts import Items
from sidmint.embedding.precomputed import as_ids
from sidmint.errors import BadInput
from sidmint.sources.table import read_items
from sidmint.sources.vectors import files_by_source, item_id_column, read_vectors
from sidmint.types import Floats


@dataclass(frozen=True)
class NewItems:
    """A user's own rows under our column names, in file order; `name` stands for them in errors."""

    items: pl.DataFrame
    vectors: tuple[list[str], Floats] | None
    """Item ids and vectors (rows, D), in an order of their own; None where none were given."""
    name: str
    sources: Mapping[str, tuple[list[str], Floats]] = field(default_factory=dict)
    """The same by source, for vectors that are joined from several (`embed.sources`)."""


def read_new_items(
    path: Path, vectors: Sequence[str], columns: Mapping[str, str], encoding: str
) -> NewItems:
    """The table at `path`, read as `ingest` says, and the files of vectors where there are some.

    `vectors` is FILE, or NAME=FILE for each source of joined vectors. Rows of an .npy file are
    those of the table; Parquet names its items. `BadInput` for a file that is missing or of another
    format, for columns that are asked for and not there, and for two files of one source.
    """
    named = files_by_source(vectors)
    for file in (path, *named.values()):
        if not file.exists():
            raise BadInput(f"{file} is not there; give the path of an existing file or folder")
    items = read_items(path, columns, encoding)
    theirs = item_id_column(columns)

    def ids_of_rows() -> tuple[list[str], str]:
        return as_ids(items[Items.ITEM_ID], path.name), path.name

    read = {
        name: read_vectors(file, file.name, theirs, ids_of_rows) for name, file in named.items()
    }
    return NewItems(items, read.pop("", None), path.name, read)
