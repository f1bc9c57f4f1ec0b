"""A user's file of vectors: .npy in the row order of the items, or Parquet that names them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sidmint.contracts import Items
from sidmint.embedding import as_vectors, vectors_in_table
from sidmint.errors import BadInput
from sidmint.outside import from_outside
from sidmint.sources.arrays import load_array
from sidmint.sources.frames import read_frame
from sidmint.types import Floats

IdsOfRows = Callable[[], tuple[list[str], str]]
"""Gives the item ids of an .npy file's rows, and the name of the file that they stand in."""


def item_id_column(columns: Mapping[str, str]) -> str:
    """What the user's items file calls the item id, by `ingest.columns`."""
    return columns.get(f"items.{Items.ITEM_ID}", columns.get(Items.ITEM_ID, Items.ITEM_ID))


def read_vectors(
    file: Path, name: str, id_column: str, ids_of_rows: IdsOfRows
) -> tuple[list[str], Floats]:
    """Item ids and vectors (rows, D) of `file`, in its own order; `name` stands for it in errors.

    Parquet has the ids in `item_id`, else in `id_column`. An .npy file has none: `ids_of_rows` is
    asked. `BadInput` for another format, and for as many rows as there are not ids.
    """
    with from_outside(name):
        return _read(file, name, id_column, ids_of_rows)


def _read(
    file: Path, name: str, id_column: str, ids_of_rows: IdsOfRows
) -> tuple[list[str], Floats]:
    if file.suffix == ".npy":
        return _numpy_rows(file, name, ids_of_rows)
    if file.is_dir() or file.suffix in (".parquet", ".pq"):
        frame = read_frame(file)
        own = Items.ITEM_ID if Items.ITEM_ID in frame.columns else id_column
        return vectors_in_table(frame, own, name)
    raise unknown_format(name)


def unknown_format(name: str) -> BadInput:
    """What a file is refused with that is neither."""
    return BadInput(f"{name} is of no known format; vectors come as .npy or .parquet")


def files_by_source(vectors: Sequence[str]) -> dict[str, Path]:
    """What `--vectors` names: FILE under "", NAME=FILE under NAME, the source that it is of.

    A file that is there may have "=" in its own name. `BadInput` for two files of one source.
    """
    found: dict[str, Path] = {}
    for each in vectors:
        name, equals, file = each.partition("=")
        is_named = bool(equals) and name.isidentifier() and not Path(each).exists()
        key, path = (name, Path(file)) if is_named else ("", Path(each))
        if key in found:
            raise BadInput(
                f"two files of vectors{f' for source {key}' if key else ''}: {found[key]} and "
                f"{path}; give one, or say whose each is: NAME=FILE"
            )
        found[key] = path
    return found


def _numpy_rows(file: Path, name: str, ids_of_rows: IdsOfRows) -> tuple[list[str], Floats]:
    vectors = as_vectors(load_array(file, name), name)
    item_ids, items_name = ids_of_rows()
    as_many_rows(len(vectors), name, len(item_ids), items_name)
    return item_ids, vectors


def as_many_rows(num_rows: int, name: str, num_ids: int, items_name: str) -> None:
    """`BadInput` unless the array `name` has a row for each item of the file `items_name`."""
    if num_ids != num_rows:
        raise BadInput(
            f"{name} has {num_rows:,} rows and {items_name} has {num_ids:,}; "
            "vectors in .npy stand in the row order of that file, one a row"
        )
