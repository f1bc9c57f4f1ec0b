"""The one door for what comes from outside: what libraries raise over a file becomes our error."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl

from sidmint.errors import BadInput

RAISED = (
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
    UnicodeError,
    OverflowError,
    RecursionError,
    MemoryError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    tokenize.TokenError,
)
"""What Polars, numpy and zipfile raise over content that they do not take. A panic of Polars is no
`Exception`, but it leaves nothing broken. `KeyError`, `TypeError` and the like are our own faults
and keep their traceback."""


@contextmanager
def from_outside(name: str) -> Iterator[None]:
    """`BadInput` naming the file `name` in place of what libraries raise over its content."""
    try:
        yield
    except RAISED as error:
        said = str(error).strip().partition("\n")[0][:300] or type(error).__name__
        raise BadInput(
            f"{name} holds what cannot be read: {said}; mend the values, or write the file again "
            "with plain text and numbers in it"
        ) from error


def as_text(values: pl.Series, name: str, first_row: int = 1) -> pl.Series:
    """`values` of the table `name` as text, nulls as nulls.

    `first_row` is the number in the table of the first of them. Raises `BadInput` for a type that
    has no text form (lists, records, spans of time), and naming the row (from 1) of bytes that are
    not UTF-8.
    """
    if values.dtype.is_nested() or values.dtype in (pl.Duration, pl.Object):
        raise BadInput(
            f"{name}: {values.name} is of type {values.dtype}; it wants text or whole numbers"
        )
    with from_outside(name):
        text = decoded(values) if values.dtype == pl.Binary else values.cast(pl.String)
    lost = text.is_null() & values.is_not_null()
    if lost.any():
        raise BadInput(
            f"{name}: row {lost.arg_true()[0] + first_row} has bytes in {values.name} that are not "
            f"UTF-8 text ({lost.sum():,} such rows); write the column as text"
        )
    return text


def decoded(values: pl.Series) -> pl.Series:
    """Bytes as UTF-8 text, null where they are none (Polars refuses the whole column for one)."""
    try:
        return values.cast(pl.String)
    except pl.exceptions.ComputeError:
        texts = [None if raw is None else _decoded(raw) for raw in values]
        return pl.Series(values.name, texts, dtype=pl.String)


def _decoded(raw: bytes) -> str | None:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return None


def whole_as_integers(values: pl.Series) -> pl.Series:
    """Numbers that came as floats and are all whole as integers: the id 17.0 is 17.

    Beyond 2^53 a float is no id any more, and stays as it is.
    """
    if not (values.dtype.is_float() and are_whole(values)):
        return values
    return values.fill_nan(None).cast(pl.Int64)


def are_whole(values: pl.Series) -> bool:
    """Whether all of `values` (floats) are whole numbers that a float holds exactly."""
    known = values.fill_nan(None)
    return bool(((known % 1 == 0) & (known.abs() <= 2.0**53)).fill_null(True).all())
