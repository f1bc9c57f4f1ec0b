"""Which column of a user's file is which of ours: by name, type, and by what the values say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from sidmint.contracts import Interactions, Items
from sidmint.errors import BadInput
from sidmint.sources.column_names import EVENT_COLUMNS, ITEM_COLUMNS, named_like
from sidmint.sources.instants import as_instants
from sidmint.sources.item_ids import AS_WRITTEN, coverage, form_in_words

_MEETING = 0.5
"""Item ids of two files meet where more than this share of the events is on known items."""


@dataclass(frozen=True)
class Match:
    """Our column -> theirs, for each of the two files; none for a log that is not there."""

    items: Mapping[str, str]
    interactions: Mapping[str, str]

    def as_mapping(self) -> dict[str, str]:
        """`ingest.columns`: only what is not called our way already; by table where they differ."""
        columns: dict[str, str] = {}
        both = self.items[Items.ITEM_ID], (self.interactions or self.items)[Items.ITEM_ID]
        if both[0] == both[1]:
            columns[Items.ITEM_ID] = both[0]
        else:
            columns["items.item_id"], columns["interactions.item_id"] = both
        for ours, theirs in (*self.items.items(), *self.interactions.items()):
            if ours != Items.ITEM_ID:
                columns[ours] = theirs
        return {ours: theirs for ours, theirs in columns.items() if ours.split(".")[-1] != theirs}


def match_columns(
    items: pl.DataFrame,
    interactions: pl.DataFrame,
    items_path: Path,
    interactions_path: Path,
    id_format: str = AS_WRITTEN,
) -> Match:
    """The columns of two tables as read; `BadInput` where no item id, user id or title is found.

    Item ids meet under `id_format`; where they do not, the error says which form would join them.
    """
    item_id, event_item_id = _find_item_ids(
        items, interactions, items_path, interactions_path, id_format
    )
    for_items = {Items.ITEM_ID: item_id} | _find_others(ITEM_COLUMNS, items, {item_id})
    _require_found(for_items, Items.TITLE, ITEM_COLUMNS, items, items_path)
    for_events = {Items.ITEM_ID: event_item_id}
    for_events |= _find_others(EVENT_COLUMNS, interactions, {event_item_id})
    _require_found(for_events, Interactions.USER_ID, EVENT_COLUMNS, interactions, interactions_path)
    return Match(for_items, for_events)


def match_items(items: pl.DataFrame, items_path: Path) -> Match:
    """The columns of a table of items without a log: the surest name of an id that is unique.

    Where none is, the surest name: `check_items` then says which ids are repeated.
    """
    candidates = named_like(items.columns, ITEM_COLUMNS[Items.ITEM_ID])
    if not candidates:
        _require_found({}, Items.ITEM_ID, ITEM_COLUMNS, items, items_path)
    unique = (name for name in candidates if _names_each_row(items[name]))
    item_id = next(unique, candidates[0])
    found = {Items.ITEM_ID: item_id} | _find_others(ITEM_COLUMNS, items, {item_id})
    _require_found(found, Items.TITLE, ITEM_COLUMNS, items, items_path)
    return Match(found, {})


def _names_each_row(values: pl.Series) -> bool:
    return not values.dtype.is_nested() and not values.null_count() and values.is_unique().all()


def _find_item_ids(
    items: pl.DataFrame,
    interactions: pl.DataFrame,
    items_path: Path,
    interactions_path: Path,
    id_format: str,
) -> tuple[str, str]:
    """The first pair of id columns that meet: more than half of the events are on known items.

    Names alone do not decide: a table may carry both a `sku` and a `product_id`.
    """
    names = ITEM_COLUMNS[Items.ITEM_ID]
    in_items, in_events = named_like(items.columns, names), named_like(interactions.columns, names)
    for found, frame, path in (
        (in_items, items, items_path),
        (in_events, interactions, interactions_path),
    ):
        if not found:
            _require_found({}, Items.ITEM_ID, ITEM_COLUMNS, frame, path)
    pairs = [(a, b) for a in in_items for b in in_events]
    share = {(a, b): coverage(items[a], interactions[b], id_format) for a, b in pairs}
    best = max(share, key=lambda pair: share[pair])
    if share[best] <= _MEETING:
        told = [form_in_words(items[a], interactions[b]) for a, b in pairs]
        raise BadInput(
            f"the item ids of {items_path.name} ({', '.join(in_items)}) and "
            f"{interactions_path.name} ({', '.join(in_events)}) do not meet: at best "
            f"{share[best]:.0%} of the interactions are on known items; are the files of one "
            f"catalogue, and are ids written alike in both? {next(filter(None, told), '')}".rstrip()
        )
    return best


def _find_others(
    wanted: Mapping[str, tuple[str, ...]], frame: pl.DataFrame, taken: set[str]
) -> dict[str, str]:
    """Our columns (other than the item id) -> the first free and usable column of that name."""
    found: dict[str, str] = {}
    for ours, names in wanted.items():
        if ours == Items.ITEM_ID:
            continue
        for candidate in named_like(frame.columns, names):
            if candidate not in taken and _is_usable(ours, frame[candidate]):
                found[ours] = candidate
                taken = taken | {candidate}
                break
    return found


def _is_usable(ours: str, values: pl.Series) -> bool:
    """Whether the column has any values, of a type that can be what its name says."""
    if values.null_count() == len(values):
        return False
    if ours == Interactions.TIMESTAMP:
        try:
            as_instants(values.head(1000), "")
        except BadInput:
            return False
    if ours == Interactions.POSITION:
        numbers = values.cast(pl.Float64, strict=False)
        return numbers.null_count() == 0 and bool((numbers % 1 == 0).all())
    return True


def _require_found(
    found: Mapping[str, str],
    ours: str,
    wanted: Mapping[str, tuple[str, ...]],
    frame: pl.DataFrame,
    path: Path,
) -> None:
    if ours not in found:
        raise BadInput(
            f"{path} has no column that looks like {ours} (such as "
            f"{', '.join(wanted[ours][:6])}); it has {', '.join(frame.columns)}. Rename the "
            f"column to {ours}"
        )
