"""What changed from one published table to another: items that came, went or moved, and codes.

Both are read side by side in the order of their item ids, a range of ids at a time, so that tables
in parts are compared in bounded memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from sidmint.contracts import SemanticIds
from sidmint.diagnostics import Stability, stability_of_blocks
from sidmint.execution.merging import side_by_side
from sidmint.publishing.published_rows import PublishedRows
from sidmint.types import Ints

MOST_LISTED = 1_000_000
"""Item ids that a list of changes holds, of each kind; how many there are is counted beyond."""
MOST_EXAMPLES = 10

_ITEM, _ID = SemanticIds.ITEM_ID, SemanticIds.SEMANTIC_ID

Pairs = Callable[[], Iterable[tuple[pl.DataFrame, pl.DataFrame]]]
"""Rows of two tables, before and after, a range of item ids at a time; the same when asked again"""


@dataclass(frozen=True)
class ItemChanges:
    """Item ids, sorted; the first `MOST_LISTED` of each. `moved`: in both, under another id."""

    num_before: int
    num_after: int
    num_added: int
    num_removed: int
    num_moved: int
    added: tuple[str, ...]
    removed: tuple[str, ...]
    moved: tuple[str, ...]


@dataclass(frozen=True)
class TableChanges:
    """What `table_changes` finds."""

    items: ItemChanges
    farthest: tuple[tuple[str, str | None, str | None], ...]
    """Of the items that moved, those whose ids have the fewest leading parts in common, then by
    item id: item, id before, id after."""


def pairs_of(
    before: PublishedRows, after: PublishedRows, columns: Sequence[str] = (_ITEM, _ID)
) -> Pairs:
    """The rows of two published tables, side by side."""
    return lambda: side_by_side(before.by_item(columns), after.by_item(columns), _ITEM)


def table_changes(pairs: Pairs) -> TableChanges:
    """Which items came, went, or have another Semantic ID now."""
    num_before, num_after = 0, 0
    kinds = {kind: _Listed() for kind in ("added", "removed", "moved")}
    farthest: pl.DataFrame | None = None
    for old, new in pairs():
        num_before, num_after = num_before + old.height, num_after + new.height
        changes = changed_ids(old, new)
        for kind, listed in kinds.items():
            listed.add(changes.filter(pl.col("change") == kind)[_ITEM])
        moved = _with_shared(changes.filter(pl.col("change") == "moved"))
        both = moved if farthest is None else pl.concat([farthest, moved])
        farthest = both.sort("shared", _ITEM).head(MOST_EXAMPLES)
    items = ItemChanges(
        num_before,
        num_after,
        num_added=kinds["added"].count,
        num_removed=kinds["removed"].count,
        num_moved=kinds["moved"].count,
        **{kind: tuple(listed.first) for kind, listed in kinds.items()},
    )
    rows = [] if farthest is None else farthest.select(_ITEM, "before", "after").rows()
    return TableChanges(items, tuple(rows))


def all_changed_ids(pairs: Pairs) -> pl.DataFrame:
    """`changed_ids` of whole tables: in memory are the items that changed."""
    pieces = [changed_ids(old, new) for old, new in pairs()]
    return pl.concat(pieces) if pieces else pl.DataFrame(schema=_CHANGES)


def changed_ids(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """The items that changed with their ids: `item_id`, `change`, `before`, `after`.

    Sorted by item; `change` is added, removed or moved, and an id that is not there is null.
    """
    sides = [
        table.select(_ITEM, pl.col(_ID).alias(name), pl.lit(True).alias(f"in_{name}"))
        for table, name in ((before, "before"), (after, "after"))
    ]
    both = sides[0].join(sides[1], on=_ITEM, how="full", coalesce=True)
    change = (
        pl.when(pl.col("in_before").is_null())
        .then(pl.lit("added"))
        .when(pl.col("in_after").is_null())
        .then(pl.lit("removed"))
        .when(pl.col("before").ne_missing(pl.col("after")))
        .then(pl.lit("moved"))
    )
    found = both.with_columns(change=change).drop_nulls("change").sort(_ITEM)
    return found.select(*_CHANGES)


_CHANGES = {_ITEM: pl.String, "change": pl.String, "before": pl.String, "after": pl.String}


def code_stability(pairs: Pairs, columns: Sequence[str]) -> Stability | None:
    """`diagnostics.stability` over the items that both tables have; None where they share none.

    `columns` are those of the codes, in both. Suffixes are left out: they count items in a bucket
    and mean nothing by themselves.
    """

    def blocks() -> Iterator[tuple[Ints, Ints]]:
        for before, after in pairs():
            old, new = _codes_of_both(before, after, columns)
            if len(old):
                yield old, new

    return stability_of_blocks(blocks) if next(blocks(), None) is not None else None


def _codes_of_both(
    before: pl.DataFrame, after: pl.DataFrame, columns: Sequence[str]
) -> tuple[Ints, Ints]:
    both = before.select(_ITEM, *columns).join(
        after.select(_ITEM, *columns), on=_ITEM, suffix="_after", maintain_order="left"
    )
    both = both.drop_nulls()
    old = both.select(columns).to_numpy().astype(np.int32)
    new = both.select([f"{column}_after" for column in columns]).to_numpy().astype(np.int32)
    return old, new


@dataclass
class _Listed:
    """How many there are, and the first of them."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, items: pl.Series) -> None:
        self.count += len(items)
        self.first += items.head(MOST_LISTED - len(self.first)).to_list()


def _with_shared(moved: pl.DataFrame) -> pl.DataFrame:
    """`moved` and, as `shared`, how many leading parts of `before` and `after` are the same."""
    old, new = (moved[side].fill_null("").str.split("-") for side in ("before", "after"))
    same = np.ones(len(moved), dtype=np.bool_)
    shared = np.zeros(len(moved), dtype=np.int64)
    for place in range(int(old.list.len().max() or 0)):  # type: ignore[arg-type]
        parts = (side.list.get(place, null_on_oob=True) for side in (old, new))
        same &= next(parts).eq(next(parts)).fill_null(False).to_numpy()
        shared += same
    return moved.with_columns(shared=shared)
