"""Ids written as text: "12-7-201", "[12, 7, 201]", "<a_12><b_7><c_201>", or lists of such tokens.

A million of them are read at once: the numbers of all items are pulled out in one pass, and
only then folded into rows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from sidmint.catalogue.checking import rows_of
from sidmint.errors import BadInput

_PLAIN = r"^\s*[\[(]?\s*\d+(?:\s*[-_,;:|/\s]\s*\d+)*\s*,?\s*[\])]?\s*$"
_TOKENS = r"^(?:[\s,]*<[^<>]+>)+\s*$"
_TOKEN = r"^\s*<?([A-Za-z_]*?)_?(\d+)>?\s*$"  # noqa: S105
_EXAMPLES = "12-7-201 or <a_12><b_7><c_201>"

Matrix = npt.NDArray[np.int64]


def parses(text: str) -> bool:
    """Whether `text` is an id of two codes or more in one of the forms."""
    one = pl.Series([text], dtype=pl.String)
    if one.str.contains(_TOKENS).all():
        return bool((one.str.count_matches("<") > 1).all())
    return bool((one.str.contains(_PLAIN) & (one.str.count_matches(r"\d+") > 1)).all())


def numbers_in_texts(texts: pl.Series, item_ids: pl.Series, name: str) -> Matrix:
    """Codes (N, M) of `texts` (N,), one id an item; the first one says which form they have.

    Raises `BadInput` naming the item whose text has another form or another number of codes.
    """
    require_no_null(texts, item_ids, name)
    is_tokens = len(texts) > 0 and texts.head(1).str.contains(_TOKENS).all()
    odd = ~texts.str.contains(_TOKENS if is_tokens else _PLAIN)
    if odd.any():
        row = int(odd.arg_true()[0])
        raise BadInput(
            f"{name}: item {item_ids[row]} (row {row + 1}) has {texts[row][:80]!r}, which is no id "
            f"({odd.sum():,} such rows); write all of them like {_EXAMPLES}"
        )
    lists = texts.str.extract_all("<[^<>]+>" if is_tokens else r"\d+")
    parts, lengths = lists.explode(empty_as_null=False), lists.list.len()
    if is_tokens:
        return numbers_in_tokens(parts, lengths, item_ids, name)
    return folded(_as_numbers(parts, parts, lengths, item_ids, name), lengths, item_ids, name)


def numbers_in_tokens(
    tokens: pl.Series, lengths: pl.Series, item_ids: pl.Series, name: str
) -> Matrix:
    """Codes (N, M) of `tokens` such as "<a_12>", "<b_7>": `lengths` (N,) of them an item, in turn.

    The place of a token is its level. Its word (a, b, ...) is not read as one, but all items
    must have the same words in the same places: tokens in another order would be other codes.
    Raises `BadInput` naming the item and the token that does not parse.
    """
    distinct = tokens.unique(maintain_order=True)
    kind_of = rows_of(tokens, distinct)  # few tokens are distinct, and a regex is slow
    digits = distinct.str.extract(_TOKEN, 2).gather(kind_of)
    numbers = _as_numbers(tokens, digits, lengths, item_ids, name)
    matrix = folded(numbers, lengths, item_ids, name)
    words = distinct.str.extract(_TOKEN, 1).rank("dense").gather(kind_of)
    by_place = words.to_numpy().reshape(matrix.shape)
    other = np.argwhere(by_place != by_place[:1])
    if len(other):
        row, place = other[0].tolist()
        raise BadInput(
            f"{name}: token {place + 1} of item {item_ids[row]} is "
            f"{tokens[row * matrix.shape[1] + place][:40]!r} where that of item {item_ids[0]} is "
            f"{tokens[place][:40]!r}; the place of a token is its level, so write all items in one "
            "order"
        )
    return matrix


def folded(flat: Matrix, lengths: pl.Series, item_ids: pl.Series, name: str) -> Matrix:
    """`flat` numbers as rows (N, M); `BadInput` naming an item with another number of codes."""
    usual = int(lengths[0]) if len(lengths) else 0
    odd = lengths != usual
    if odd.any():
        row = int(odd.arg_true()[0])
        raise BadInput(
            f"{name}: item {item_ids[row]} (row {row + 1}) has {lengths[row]} codes where item "
            f"{item_ids[0]} has {usual} ({odd.sum():,} such items); every item of a table has the "
            "same number of codes"
        )
    if usual == 0:
        raise BadInput(f"{name}: item {item_ids[0]} has no codes; give one a level")
    return flat.reshape(-1, usual)


def require_no_null(values: pl.Series, item_ids: pl.Series, name: str) -> None:
    """Raise `BadInput` naming the first item whose value is null."""
    if values.null_count():
        row = int(values.is_null().arg_true()[0])
        raise BadInput(
            f"{name}: item {item_ids[row]} (row {row + 1}) has no codes "
            f"({values.null_count():,} such items); give them codes or take the rows out"
        )


def _as_numbers(
    tokens: pl.Series, digits: pl.Series, lengths: pl.Series, item_ids: pl.Series, name: str
) -> Matrix:
    """`digits` as numbers; the first of `tokens` without any is named with its item."""
    numbers = digits.cast(pl.Int64, strict=False)
    if numbers.null_count():
        place = int(numbers.is_null().arg_true()[0])
        row = int(np.searchsorted(np.cumsum(lengths.to_numpy()), place, side="right"))
        raise BadInput(
            f"{name}: item {item_ids[row]} (row {row + 1}) has the token "
            f"{str(tokens[place])[:40]!r}, which holds no code; write tokens like <a_12>"
        )
    return numbers.to_numpy()
