"""Which columns of a table made elsewhere are the item id, the codes, a suffix, a title."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from sidmint.contracts import Items, SemanticIds
from sidmint.embedding.precomputed import as_ids
from sidmint.errors import BadInput
from sidmint.inspection.raw import LARGEST_NUMBER, RawTable, numbered_rows
from sidmint.inspection.texts import (
    Matrix,
    folded,
    numbers_in_texts,
    numbers_in_tokens,
    parses,
    require_no_null,
)
from sidmint.sources.column_names import ITEM_COLUMNS, named_like

_NUMBERED = re.compile(r"(.*?)[\s_.-]*\[?(\d{1,4})\]?")
_STEMS = (
    *("code", "codes", "c", "sid", "sids", "semanticid", "semid", "level", "lvl", "l", "token"),
    *("tokens", "tok", "t", "s", "q", "codebook", "quantizer", "cluster", "digit", "part"),
)
"""What numbered code columns are called, without case and punctuation, the surest first."""
_WHOLE = (
    *("semantic_id", "semantic_ids", "codes", "code", "sids", "sid", "sem_id", "sem_ids"),
    *("tokens", "ids", "indices", "index"),
)
"""What a single column with all codes of an item is called, the surest first."""
_SUFFIX = (SemanticIds.SUFFIX, "dedup", "dedup_id", "disambiguation")
_SHOWN_COLUMNS = 12


@dataclass(frozen=True)
class _Found:
    """Columns taken for codes, and in words what they are."""

    columns: tuple[str, ...]
    words: str
    last_is_suffix: bool = False


def read_columns(frame: pl.DataFrame, name: str) -> RawTable:
    """Items and numbers of a table as read; `name` stands for it in errors.

    Codes are, in this order: numbered columns of a usual name (code_1 .., c0 .., sid_0 ..,
    level_1 ..), with a column `suffix` behind them; one column of lists; one column of texts;
    numbered columns of any name, if whole numbers stand in all. Item ids are a column that
    `sidmint init` would take, else the only other column if its values differ, else row
    numbers. Raises `BadInput` naming what is missing, and the row of what is no code.
    """
    if frame.is_empty():
        raise BadInput(f"{name} has no rows; it wants one row an item")
    codes = _find_codes(frame, name)
    item_ids, id_words = _find_ids(frame, codes.columns, name)
    return RawTable(
        name=name,
        item_ids=item_ids,
        numbers=_numbers(frame, codes, item_ids, name),
        found=f"codes in {codes.words}; {id_words}",
        titles=_find_titles(frame, codes.columns),
        last_is_suffix=codes.last_is_suffix,
    )


def _find_codes(frame: pl.DataFrame, name: str) -> _Found:
    groups = _numbered_groups(frame, name)
    # A column of a known name that begins with a word is a mistake to name, not to leave out.
    known = next(
        (groups[s] for s in _STEMS if any(_holds_numbers(frame[c]) for c in groups[s].values())),
        None,
    )
    if known is not None:
        return _with_suffix(frame, _require_no_gap(known, name))
    single = _find_single(frame, name)
    if single is not None:
        return single
    whole = [group for group in groups.values() if group and _is_plausible(frame, group)]
    if len(whole) == 1:
        return _with_suffix(frame, _require_no_gap(whole[0], name))
    shown = ", ".join(frame.columns[:_SHOWN_COLUMNS])
    more = f" and {frame.width - _SHOWN_COLUMNS} more" if frame.width > _SHOWN_COLUMNS else ""
    hint = (
        " (does it lack a line of column names?)"
        if all(column.isdigit() for column in frame.columns)
        else ""
    )
    raise BadInput(
        f"{name} has no columns of codes{hint}; it wants whole numbers in code_1, code_2, ... (or "
        "c0 .., sid_0 .., level_1 ..), one column with a list of them, or one column of texts such "
        f"as 12-7-201 or <a_12><b_7>; it has {shown}{more}"
    )


def _numbered_groups(frame: pl.DataFrame, name: str) -> dict[str, dict[int, str]]:
    """Columns by what their name says before its number: stem -> number -> column."""
    groups: dict[str, dict[int, str]] = defaultdict(dict)
    for column in frame.columns:
        match = _NUMBERED.fullmatch(column)
        if match is None or frame.schema[column].is_nested():
            continue
        stem, number = re.sub(r"[^a-z]", "", match[1].lower()), int(match[2])
        if number in groups[stem]:
            raise BadInput(
                f"{name} has the columns {groups[stem][number]} and {column}, which mean the same "
                "level; take one out"
            )
        groups[stem][number] = column
    return groups


def _require_no_gap(group: dict[int, str], name: str) -> tuple[str, ...]:
    first = min(group)
    missing = sorted({*range(min(first, 1), max(group) + 1)} - {*group})
    if missing:
        there = ", ".join(group[number] for number in sorted(group)[:_SHOWN_COLUMNS])
        raise BadInput(
            f"{name} has the columns {there}, but number {missing[0]} is missing; levels are "
            "numbered from 0 or 1 without a gap"
        )
    return tuple(group[number] for number in sorted(group))


def _is_plausible(frame: pl.DataFrame, group: dict[int, str]) -> bool:
    """Whether columns of an unknown name may be codes: two or more, from 0 or 1, whole."""
    numbers = sorted(group)
    if len(numbers) < 2 or numbers[0] > 1 or numbers[-1] - numbers[0] + 1 != len(numbers):
        return False
    if not all(_holds_numbers(frame[column]) for column in group.values()):
        return False
    as_numbers = (frame[column].cast(pl.Float64, strict=False) for column in group.values())
    return all(bool(((each % 1 == 0) & (each >= 0)).all()) for each in as_numbers)


def _with_suffix(frame: pl.DataFrame, codes: tuple[str, ...]) -> _Found:
    words = ", ".join(codes)
    suffix = [c for c in named_like(frame.columns, _SUFFIX) if _holds_numbers(frame[c])]
    if not suffix:
        return _Found(codes, words)
    return _Found((*codes, suffix[0]), f"{words}, and {suffix[0]}", last_is_suffix=True)


def _find_single(frame: pl.DataFrame, name: str) -> _Found | None:
    """One column that holds all codes of an item: lists, texts, or the only code there is."""
    # An ISBN reads like an id of codes: what goes by an item's name is no candidate.
    taken = named_like(frame.columns, (*ITEM_COLUMNS[Items.ITEM_ID], *ITEM_COLUMNS[Items.TITLE]))
    free = [(c, dtype) for c, dtype in frame.schema.items() if c not in taken]
    lists = [c for c, dtype in free if _is_list_of_codes(dtype)]
    texts = [c for c, dtype in free if dtype == pl.String and _parses(frame[c])]
    for kind, columns in (("lists", lists), ("texts", texts)):
        named = named_like(columns, _WHOLE)
        if named or len(columns) == 1:
            column = named[0] if named else columns[0]
            return _Found((column,), f"the {kind} of {column}")
        if columns:
            raise BadInput(
                f"{name} has several columns of {kind} that may be codes ({', '.join(columns)}); "
                "rename the one that is to codes"
            )
    for column in named_like(frame.columns, _WHOLE):
        if _holds_numbers(frame[column]):
            return _Found((column,), f"{column}, the only level")
    return None


def _numbers(frame: pl.DataFrame, codes: _Found, item_ids: pl.Series, name: str) -> Matrix:
    first = frame[codes.columns[0]]
    if len(codes.columns) == 1 and first.dtype == pl.String and not _holds_numbers(first):
        return numbers_in_texts(first, item_ids, name)
    if isinstance(first.dtype, pl.List | pl.Array):
        return _numbers_in_lists(first, item_ids, name)
    columns = [_whole(frame[column], item_ids, name) for column in codes.columns]
    return np.column_stack([column.to_numpy() for column in columns])


def _numbers_in_lists(lists: pl.Series, item_ids: pl.Series, name: str) -> Matrix:
    require_no_null(lists, item_ids, name)
    inner = getattr(lists.dtype, "inner", None)
    plain = lists.cast(pl.List(inner))  # type: ignore[arg-type]
    lengths, flat = plain.list.len(), plain.explode(empty_as_null=False)
    if inner == pl.String:
        return numbers_in_tokens(flat, lengths, item_ids, name)
    owners = item_ids.gather(np.repeat(np.arange(len(lists)), lengths.to_numpy()))
    return folded(_whole(flat, owners, name).to_numpy(), lengths, item_ids, name)


def _whole(values: pl.Series, item_ids: pl.Series, name: str) -> pl.Series:
    """`values` as Int64; `BadInput` naming the item of a null, a fraction or what is no number."""
    if values.dtype.is_integer():
        numbers = values.cast(pl.Int64, strict=False)
    else:
        exact = values.cast(pl.Float64, strict=False).fill_nan(None)
        exact = exact.set((exact % 1 != 0) | exact.is_infinite(), None)
        # Out of range is said by RawTable, with the item; here it must only survive the cast.
        numbers = exact.clip(-1, LARGEST_NUMBER + 1).cast(pl.Int64)
    odd = numbers.is_null()
    if odd.any():
        row = int(odd.arg_true()[0])
        shown = "no value" if values[row] is None else repr(str(values[row])[:40])
        raise BadInput(
            f"{name}: item {item_ids[row]} has {shown} in {values.name} ({odd.sum():,} such "
            "values); codes are whole numbers from 0. Mend the values, or take the rows out"
        )
    return numbers


def _find_ids(frame: pl.DataFrame, codes: Sequence[str], name: str) -> tuple[pl.Series, str]:
    others = [column for column in frame.columns if column not in codes]
    named = [c for c in named_like(others, ITEM_COLUMNS[Items.ITEM_ID]) if _is_id(frame[c])]
    if named:
        return _as_ids(frame[named[0]], name), f"item ids in {named[0]}"
    if not others:
        return numbered_rows(frame.height), "no item ids: rows, from 0, stand for them"
    distinct = [c for c in others if _is_id(frame[c]) and not frame[c].is_duplicated().any()]
    if len(distinct) == 1:
        return _as_ids(frame[distinct[0]], name), f"item ids in {distinct[0]}"
    raise BadInput(
        f"{name} has no column that looks like item_id (such as "
        f"{', '.join(ITEM_COLUMNS[Items.ITEM_ID][:6])}); beside the codes it has "
        f"{', '.join(others[:_SHOWN_COLUMNS])}. Rename the column to item_id"
    )


def _as_ids(ids: pl.Series, name: str) -> pl.Series:
    return pl.Series("item_id", as_ids(ids, name), dtype=pl.String)


def _find_titles(frame: pl.DataFrame, codes: Iterable[str]) -> pl.Series | None:
    others = [column for column in frame.columns if column not in codes]
    for column in named_like(others, ITEM_COLUMNS[Items.TITLE]):
        if frame.schema[column] == pl.String:
            return frame[column].fill_null("").alias(Items.TITLE)
    return None


def _is_id(values: pl.Series) -> bool:
    return not values.dtype.is_nested()


def _holds_numbers(values: pl.Series) -> bool:
    """Whether the column is numeric, or text (as all of a CSV is) that begins with a number."""
    if values.dtype == pl.String:
        first = values.drop_nulls().head(1).cast(pl.Float64, strict=False)
        return len(first) > 0 and first.null_count() == 0
    return values.dtype.is_numeric()


def _is_list_of_codes(dtype: pl.DataType) -> bool:
    inner = getattr(dtype, "inner", None)
    return inner is not None and (inner.is_integer() or inner == pl.String)


def _parses(values: pl.Series) -> bool:
    first = values.drop_nulls().head(1)
    return len(first) > 0 and parses(first[0])
