"""Vectors that somebody else made: checked, and put in the catalogue's row order by item id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from sidmint.errors import BadInput
from sidmint.outside import as_text, whole_as_integers
from sidmint.types import Floats


def as_vectors(array: npt.NDArray[Any], name: str) -> Floats:
    """`array` as (rows, D) float32; `name` stands for it in errors.

    Raises what `require_vectors` does.
    """
    require_vectors(array, name)
    with np.errstate(over="ignore"):  # too large for float32 becomes inf, which checks name
        return array.astype(np.float32)


def require_vectors(array: npt.NDArray[Any], name: str) -> None:
    """`BadInput` unless `array` is of the shape (rows, dimensions) and of real numbers."""
    if array.ndim != 2 or array.shape[1] < 1:
        raise BadInput(f"{name} has the shape {array.shape}; it wants (rows, dimensions)")
    if array.dtype.kind not in "fiu":
        raise BadInput(f"{name} holds {array.dtype}; it wants real numbers")


def vectors_in_table(frame: pl.DataFrame, id_column: str, name: str) -> tuple[list[str], Floats]:
    """Item ids and vectors (rows, D) of a table.

    The vectors are one column of lists (or arrays), or else every column but the ids, one a
    dimension in the order of the file. Raises `BadInput` naming what does not fit.
    """
    if id_column not in frame.columns:
        raise BadInput(
            f"{name} lacks the column {id_column}; it has {', '.join(frame.columns)}. Vectors "
            "in a table are found by item id"
        )
    item_ids = as_ids(frame[id_column], name)
    rest = frame.drop(id_column)
    lists = [c for c, dtype in rest.schema.items() if isinstance(dtype, pl.List | pl.Array)]
    if len(lists) > 1:
        raise BadInput(f"{name} has several columns of lists ({', '.join(lists)}); keep one")
    if lists:
        return item_ids, as_vectors(_from_lists(rest[lists[0]], item_ids, name), name)
    others = [c for c, dtype in rest.schema.items() if not dtype.is_float()]
    if others or not rest.columns:
        raise BadInput(
            f"{name} wants one column of lists of numbers, or one float column a dimension, "
            f"beside {id_column}; it also has {', '.join(others) or 'nothing'}"
        )
    return item_ids, as_vectors(rest.fill_null(float("nan")).to_numpy(), name)


def as_ids(ids: pl.Series, name: str) -> list[str]:
    """`ids_as_text` as a list."""
    return ids_as_text(ids, name).to_list()


def ids_as_text(ids: pl.Series, name: str) -> pl.Series:
    """Item ids as text, as `ingest` writes them: whole numbers read as floats lose their ".0"."""
    ids = as_text(whole_as_integers(ids), name)
    if ids.null_count():
        raise BadInput(f"{name}: row {ids.is_null().arg_true()[0] + 1} has no {ids.name}")
    return ids


def align_rows(
    vectors: Floats, vector_ids: Sequence[str], item_ids: Sequence[str], name: str
) -> Floats:
    """Row n of the result (N, D) is the vector of `item_ids[n]`; further vectors are left out.

    Raises `BadInput` for an id that has two vectors, and for items without one.
    """
    row = _row_of(vector_ids, name)
    missing = [item_id for item_id in item_ids if item_id not in row]
    if missing:
        raise BadInput(_lacks(name, len(missing), len(item_ids), missing[0]))
    return vectors[[row[item_id] for item_id in item_ids]]


def known_rows(
    vectors: Floats, vector_ids: Sequence[str], item_ids: Sequence[str], name: str
) -> Floats:
    """As `align_rows`, but an item without a vector gets a row of NaN.

    Raises `BadInput` for an id that has two vectors, and where no item has any.
    """
    row = _row_of(vector_ids, name)
    found = [n for n, item_id in enumerate(item_ids) if item_id in row]
    if not found:
        raise BadInput(
            f"{name} has no vector for any of {len(item_ids):,} items; its ids are like "
            f"{vector_ids[0] if vector_ids else 'nothing'}, those of the items like {item_ids[0]}"
        )
    known = np.full((len(item_ids), vectors.shape[1]), np.nan, dtype=np.float32)
    known[found] = vectors[[row[item_ids[n]] for n in found]]
    return known


def places_of(vector_ids: pl.Series, item_ids: pl.Series, name: str) -> npt.NDArray[np.int64]:
    """Which item, by its row, each of `vector_ids` is; -1 where it is none.

    Raises what `align_rows` does: every item has one vector.
    """
    twice = vector_ids.is_duplicated()
    if twice.any():
        raise BadInput(_has_two(name, vector_ids.filter(twice)[0]))
    items = pl.DataFrame({"id": item_ids, "row": np.arange(len(item_ids))})
    joined = pl.DataFrame({"id": vector_ids}).join(
        items, on="id", how="left", maintain_order="left"
    )
    places = joined["row"].fill_null(-1).to_numpy()
    is_there = np.zeros(len(item_ids), dtype=np.bool_)
    is_there[places[places >= 0]] = True
    if not is_there.all():
        missing = np.flatnonzero(~is_there)
        raise BadInput(_lacks(name, len(missing), len(item_ids), item_ids[int(missing[0])]))
    return places


def _row_of(vector_ids: Sequence[str], name: str) -> dict[str, int]:
    row = {item_id: n for n, item_id in enumerate(vector_ids)}
    if len(row) < len(vector_ids):
        twice = next(i for n, i in enumerate(vector_ids) if row[i] != n)
        raise BadInput(_has_two(name, twice))
    return row


def _has_two(name: str, item_id: str) -> str:
    return f"{name} has two vectors for item {item_id}; keep one row an item"


def _lacks(name: str, num_missing: int, num_items: int, first: str) -> str:
    return (
        f"{name} has no vector for {num_missing:,} of {num_items:,} items, the first of them "
        f"{first}; add their vectors or take them out of the items file"
    )


def _from_lists(column: pl.Series, item_ids: Sequence[str], name: str) -> npt.NDArray[Any]:
    inner = getattr(column.dtype, "inner", None)
    if inner is None or not inner.is_numeric():
        raise BadInput(f"{name}: {column.name} holds {column.dtype}; it wants lists of numbers")
    lists = column.cast(pl.List(pl.Float64)) if isinstance(column.dtype, pl.Array) else column
    lengths = lists.list.len().fill_null(0)
    odd = (lengths != lengths.mode()[0]).arg_true() if len(lengths) else []
    if len(odd):
        n = int(odd[0])
        raise BadInput(
            f"{name}: the vector of item {item_ids[n]} has {lengths[n]} dimensions where others "
            f"have {lengths.mode()[0]}"
        )
    values = lists.explode(empty_as_null=False).cast(pl.Float64).fill_null(float("nan"))
    return values.to_numpy().reshape(len(lists), -1)
