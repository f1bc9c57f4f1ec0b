"""Item text from a template of columns: "{title}. {brand}. {categories}"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from string import Formatter

import polars as pl

from sidmint.errors import BadInput

_CLOSING = re.compile(r"[)\]}»”\"]*")
_SEPARATORS = " \t\n.,;:|/-\u2013\u2014·•&+"
_ENDS = ".,;:!?"


@dataclass(frozen=True)
class _Part:
    """A column with the marks that come and go with it."""

    before: str
    column: str
    after: str = ""


def item_texts(template: str, items: pl.DataFrame) -> list[str]:
    """The text of each row of `items` (it has `item_id`), in row order, never empty.

    A null or blank value leaves its part out: the words and marks before a column belong to
    it, and closing brackets and quotes right after it. "{title} ({brand}). Type: {categories}"
    without a brand gives "Chair. Type: Desks"; a separator is never left at an end or doubled.
    Space inside a value is folded to single blanks; lists of text are joined by ", ". A literal
    brace is written twice.

    Raises `BadInput` for a template that cannot be read, for a column that the items lack
    (naming those they have) and for items whose text is empty (naming the first).
    """
    parts, tail = _parse(template)
    columns = [_values(items, part.column) for part in parts]
    texts = [_text(parts, tail, row) for row in zip(*columns, strict=True)]
    empty = [n for n, text in enumerate(texts) if not text]
    if empty:
        raise BadInput(
            f"item {items['item_id'][empty[0]]} has no text ({len(empty)} such items): "
            f"{', '.join(part.column for part in parts)} are all missing; fill one in, or name "
            "another column in embed.template"
        )
    return texts


def _parse(template: str) -> tuple[list[_Part], str]:
    """The template's columns in order, and what follows the last of them."""
    parts: list[_Part] = []
    tail = ""
    for literal, column, form, conversion in _fields(template):
        text = literal
        if parts:
            closing = _CLOSING.match(literal)
            after = closing[0] if closing else ""
            parts[-1] = _Part(parts[-1].before, parts[-1].column, after)
            text = literal[len(after) :]
        if column is None:
            tail = text
            continue
        if not column.strip() or form or conversion:
            raise BadInput(
                f"embed.template {template!r}: braces hold the name of one column and nothing "
                'else, as in "{title}. {brand}"'
            )
        parts.append(_Part(text, column))
    if not parts:
        raise BadInput(f"embed.template {template!r} names no column; write {{title}} for one")
    return parts, tail


def _fields(template: str) -> Sequence[tuple[str, str | None, str | None, str | None]]:
    """`Formatter.parse`, with a literal that escaped braces cut in pieces made whole again."""
    try:
        pieces = list(Formatter().parse(template))
    except ValueError as error:
        raise BadInput(f"embed.template {template!r}: {error}") from error
    whole: list[tuple[str, str | None, str | None, str | None]] = []
    pending = ""
    for literal, column, form, conversion in pieces:
        pending += literal
        if column is not None:
            whole.append((pending, column, form, conversion))
            pending = ""
    return [*whole, (pending, None, None, None)]


def _values(items: pl.DataFrame, column: str) -> list[str]:
    """The column as clean text, "" where there is none."""
    if column not in items.columns:
        raise BadInput(
            f"embed.template names the column {column!r}, which the items lack; "
            f"they have {', '.join(items.columns)}"
        )
    values, dtype = items[column], items.schema[column]
    if isinstance(dtype, pl.List | pl.Array) and dtype.inner in (pl.String, pl.Null):
        values = values.cast(pl.List(pl.String)).list.join(", ", ignore_nulls=True)
    elif dtype.is_nested() or dtype == pl.Binary:
        raise BadInput(
            f"embed.template names the column {column!r} of type {dtype}, which is no text; "
            "bring text, numbers or lists of text"
        )
    if dtype.is_float():
        values = values.fill_nan(None)
    return [" ".join(value.split()) for value in values.cast(pl.String).fill_null("").to_list()]


def _text(parts: Sequence[_Part], tail: str, values: Sequence[str]) -> str:
    text = ""
    for n, (part, value) in enumerate(zip(parts, values, strict=True)):
        if value:
            before = part.before.lstrip(_SEPARATORS) if n and not text else part.before
            text = _joined(text, before) + value + part.after
    return _joined(text, tail).strip() if text else ""


def _joined(text: str, mark: str) -> str:
    """`text` and `mark`; a stop that ends the one and begins the other stands once."""
    repeated = text and mark and mark[0] in _ENDS and text[-1] == mark[0]
    return text + (mark[1:] if repeated else mark)
