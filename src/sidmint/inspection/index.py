"""The JSON index that LETTER, LC-Rec and MiniOneRec write: {"0": ["<a_1>", "<b_7>", ...], ...}."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from sidmint.errors import BadInput
from sidmint.inspection.raw import RawTable
from sidmint.inspection.texts import Matrix, folded, numbers_in_texts, numbers_in_tokens

_WANTED = '{"item": ["<a_1>", "<b_7>", ...], ...}'


class NotOneDocument(Exception):
    """The file holds several JSON documents: it is JSON Lines under the name .json."""


def read_index(path: Path) -> RawTable:
    """Item ids and codes of a JSON index; values are lists of tokens or numbers, or id texts.

    The place of a token is its level. Raises `BadInput` naming the key that stands twice, the
    item whose tokens do not parse or are more or fewer, and `NotOneDocument`.
    """
    entries = _parse(path)
    if not entries:
        raise BadInput(f"{path} is an empty index; it wants {_WANTED}")
    values = list(entries.values())
    try:
        item_ids = pl.Series("item_id", list(entries), dtype=pl.String)
        numbers = _numbers(values, item_ids, str(path))
    except UnicodeEncodeError as error:
        raise BadInput(f"{path} holds text that is not Unicode: {error.reason}") from error
    kind = "texts" if isinstance(values[0], str) else f"lists of {numbers.shape[1]} tokens"
    return RawTable(str(path), item_ids, numbers, found=f"a JSON index with {kind}, keys are ids")


def _parse(path: Path) -> dict[str, Any]:
    try:
        with _collector_off():
            document = json.loads(path.read_bytes(), object_pairs_hook=_without_repeats)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            raise NotOneDocument from error
        raise BadInput(
            f"{path} is not JSON: {error.msg} in line {error.lineno}, column {error.colno}; write "
            f"the index anew, {_WANTED}"
        ) from error
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        raise BadInput(f"{path} is not readable as JSON: {error}; it wants {_WANTED}") from error
    if not isinstance(document, dict):
        raise BadInput(
            f"{path} holds a JSON {type(document).__name__} and no index; it wants {_WANTED}, or "
            "one object a line in a .jsonl file"
        )
    return document


@contextmanager
def _collector_off() -> Iterator[None]:
    """No garbage collection: walking millions of new tokens again and again took half the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of `pairs`; json itself would keep the last of two entries in silence."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise BadInput(f"the key {twice!r} stands there twice; keep one entry an item")
    return found


def _numbers(values: list[Any], item_ids: pl.Series, name: str) -> Matrix:
    if isinstance(values[0], str):
        _require_all(values, str, item_ids, name)
        return numbers_in_texts(pl.Series(values, dtype=pl.String), item_ids, name)
    _require_all(values, list, item_ids, name)
    flat = [token for tokens in values for token in tokens]
    kinds = set(map(type, flat))
    lengths = pl.Series([len(tokens) for tokens in values], dtype=pl.Int64)
    if kinds == {str}:
        return numbers_in_tokens(pl.Series(flat, dtype=pl.String), lengths, item_ids, name)
    if kinds <= {int}:
        large = next((number for number in flat if abs(number) > 2**62), None)
        if large is not None:
            raise BadInput(f"{name} holds the code {str(large)[:30]}, too large for any codebook")
        return folded(np.array(flat, dtype=np.int64), lengths, item_ids, name)
    row, token = next(
        (row, token)
        for row, tokens in enumerate(values)
        for token in tokens
        if type(token) is not (str if str in kinds else int)
    )
    raise BadInput(
        f"{name}: item {item_ids[row]} has the token {str(token)[:40]!r} of type "
        f"{type(token).__name__}; tokens are all text like <a_12>, or all whole numbers"
    )


def _require_all(values: list[Any], kind: type, item_ids: pl.Series, name: str) -> None:
    for row, value in enumerate(values):
        if not isinstance(value, kind):
            wanted = "text" if kind is str else "list"
            raise BadInput(
                f"{name}: the entry of {item_ids[row]} is {str(value)[:40]!r} of type "
                f"{type(value).__name__}, where a {wanted} was wanted as in {_WANTED}"
            )
