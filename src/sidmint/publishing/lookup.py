"""From an item to its Semantic ID, and from an id or any prefix of one to its items."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from sidmint.contracts import SemanticIds
from sidmint.errors import BadInput
from sidmint.publishing.published_rows import PublishedRows, open_rows
from sidmint.publishing.versions import IdLayout, Release
from sidmint.semantic_ids import format_id

_NUMBER = re.compile(r"\d{1,9}", flags=re.ASCII)


@dataclass(frozen=True)
class Siblings:
    """How many items share a prefix of an item's Semantic ID, the item itself not counted."""

    prefix: str
    num_items: int


@dataclass(frozen=True)
class Found:
    """Where one item stands in a published table."""

    version: str
    item_id: str
    semantic_id: str | None
    codes: tuple[int, ...]
    suffix: int | None
    """None where the ids of this version have no suffix."""
    tokens: tuple[int, ...]
    """The parts of the id as numbers of one vocabulary: see `tokens_of`."""
    siblings: tuple[Siblings, ...]


def lookup(release: Release, item_id: str) -> Found:
    """The Semantic ID of `item_id` in `release`; `BadInput` if the table has no such item.

    Of a table in parts, only those are read that may hold the item or one that shares its prefix.
    """
    table, columns = open_rows(release), release.ids.columns
    row = table.row(item_id)
    if row is None:
        raise BadInput(
            f"{release.version} has no item {item_id!r} among its {table.num_items:,} items"
            f"{table.look_alikes(item_id)}"
        )
    parts = tuple(row[column] for column in columns)
    levels = release.ids.levels
    is_whole = None not in parts
    return Found(
        version=release.version,
        item_id=item_id,
        semantic_id=row[SemanticIds.SEMANTIC_ID],
        codes=parts[:levels],
        suffix=parts[levels] if len(parts) > levels else None,
        tokens=tokens_of(release.ids, parts) if is_whole else (),
        siblings=_siblings(table, parts) if is_whole else (),
    )


def items_of(release: Release, semantic_id: str) -> pl.DataFrame:
    """Items (item_id, semantic_id) whose id is, or begins with, `semantic_id`; may be none.

    "12-7" finds every item below that prefix, "12-7-201" those of a bucket, and with its
    suffix, "12-7-201-0", one item. `BadInput` if that cannot be an id of this version.
    """
    parts = parse_prefix(semantic_id, release.ids.part_sizes, release.version)
    return open_rows(release).below(parts)


def parse_prefix(semantic_id: str, sizes: Sequence[int], version: str) -> tuple[int, ...]:
    """The parts of an id, or of a prefix of one; `BadInput` if `version` can have no such id.

    `sizes` are those of `IdLayout.part_sizes`.
    """
    texts = semantic_id.split("-")
    if len(texts) > len(sizes) or not all(map(_NUMBER.fullmatch, texts)):
        raise BadInput(
            f"{semantic_id!r} is no Semantic ID of {version}; it wants 1 to {len(sizes)} "
            f"numbers joined by '-', like {'-'.join('0' for _ in sizes)}"
        )
    parts = tuple(map(int, texts))
    for level, (part, size) in enumerate(zip(parts, sizes, strict=False), start=1):
        if part >= size:
            raise BadInput(
                f"{semantic_id!r} is no Semantic ID of {version}: part {level} is {part}, "
                f"but it runs from 0 to {size - 1}"
            )
    return parts


def tokens_of(layout: IdLayout, parts: tuple[int, ...]) -> tuple[int, ...]:
    """Each part offset by the sizes of the parts before it: no two levels share a number.

    This is the vocabulary that a sequence model reads: sum(part_sizes) tokens, from 0.
    """
    tokens, offset = [], 0
    for part, size in zip(parts, layout.part_sizes, strict=True):
        tokens.append(offset + part)
        offset += size
    return tuple(tokens)


def _siblings(table: PublishedRows, parts: tuple[int, ...]) -> tuple[Siblings, ...]:
    prefixes = (parts[:length] for length in range(1, len(parts) + 1))
    return tuple(Siblings(format_id(prefix), table.num_below(prefix) - 1) for prefix in prefixes)
