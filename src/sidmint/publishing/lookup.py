"""From an item to its Semantic ID, and from an id or any prefix of one to its items."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from sidmint.contracts import SemanticIds
from sidmint.errors import BadInput
from sidmint.publishing.versions import IdLayout, Release

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
    """The Semantic ID of `item_id` in `release`; `BadInput` if the table has no such item."""
    table, columns = read_table(release), release.ids.columns
    rows = table.filter(pl.col(SemanticIds.ITEM_ID) == item_id)
    if rows.is_empty():
        raise BadInput(
            f"{release.version} has no item {item_id!r} among its {table.height:,} items"
            f"{look_alikes(table[SemanticIds.ITEM_ID], item_id)}"
        )
    row = rows.row(0, named=True)
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
        siblings=_siblings(table, columns, parts) if is_whole else (),
    )


def items_of(release: Release, semantic_id: str) -> pl.DataFrame:
    """Items (item_id, semantic_id) whose id is, or begins with, `semantic_id`; may be none.

    "12-7" finds every item below that prefix, "12-7-201" those of a bucket, and with its
    suffix, "12-7-201-0", one item. `BadInput` if that cannot be an id of this version.
    """
    table, columns = read_table(release), release.ids.columns
    parts = parse_prefix(semantic_id, release.ids.part_sizes, release.version)
    found = table.filter(
        pl.all_horizontal([pl.col(c) == part for c, part in zip(columns, parts, strict=False)])
    )
    return found.select(SemanticIds.ITEM_ID, SemanticIds.SEMANTIC_ID)


def read_table(release: Release) -> pl.DataFrame:
    """The published table: `item_id`, the columns of `release.ids`, `semantic_id`.

    `BadInput` where the file is not such a table.
    """
    path = release.file("sids.parquet")
    texts = (SemanticIds.ITEM_ID, SemanticIds.SEMANTIC_ID)
    try:
        table = pl.read_parquet(path)
        wrong = [name for name in texts if table.schema[name] != pl.String]
        wrong += [name for name in release.ids.columns if not table.schema[name].is_integer()]
        if not wrong:
            return table
        reason = f"{', '.join(wrong)} of another type"
    except KeyError as error:
        reason = f"no column {error}"
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = f"{error}"
    raise BadInput(
        f"{release.where}/sids.parquet is no table of Semantic IDs ({reason}); `sidmint verify "
        f"{release.version}` says what is damaged"
    )


def parse_prefix(semantic_id: str, sizes: Sequence[int], version: str) -> tuple[int, ...]:
    """The parts of an id, or of a prefix of one; `BadInput` if `version` can have no such id.

    `sizes` are `IdLayout.part_sizes`.
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


def look_alikes(item_ids: pl.Series, wanted: str) -> str:
    """The end of an error about an unknown item: up to three ids that contain it, or ""."""
    text = wanted.strip().lower()
    near = item_ids.filter(item_ids.str.to_lowercase().str.contains(text, literal=True))
    return f"; there is {', '.join(near.head(3).to_list())}" if text and len(near) else ""


def tokens_of(layout: IdLayout, parts: tuple[int, ...]) -> tuple[int, ...]:
    """Each part offset by the sizes of the parts before it: no two levels share a number.

    This is the vocabulary that a sequence model reads: sum(part_sizes) tokens, from 0.
    """
    tokens, offset = [], 0
    for part, size in zip(parts, layout.part_sizes, strict=True):
        tokens.append(offset + part)
        offset += size
    return tuple(tokens)


def _siblings(
    table: pl.DataFrame, columns: Sequence[str], parts: tuple[int, ...]
) -> tuple[Siblings, ...]:
    found = []
    for length in range(1, len(parts) + 1):
        table = table.filter(pl.col(columns[length - 1]) == parts[length - 1])
        found.append(Siblings("-".join(map(str, parts[:length])), table.height - 1))
    return tuple(found)
