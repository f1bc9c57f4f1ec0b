"""What changed between two published versions: metrics, parameters, items, and codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from sidmint.contracts import SemanticIds, describe_metric
from sidmint.diagnostics import Stability, stability
from sidmint.errors import BadInput
from sidmint.publishing.lookup import read_table
from sidmint.publishing.versions import Release
from sidmint.yaml_files import parse_yaml


@dataclass(frozen=True)
class MetricChange:
    """A metric that two versions do not share. None: that version did not measure it."""

    before: float | None
    after: float | None
    change: Literal["better", "worse"] | None
    """None where neither way is better, or where one side is missing."""


@dataclass(frozen=True)
class ItemChanges:
    """Item ids, sorted. `moved`: in both, under another Semantic ID."""

    num_before: int
    num_after: int
    added: tuple[str, ...]
    removed: tuple[str, ...]
    moved: tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """Version `after` as seen from version `before`."""

    before: str
    after: str
    metrics: dict[str, MetricChange]
    params: dict[str, tuple[Any, Any]]
    """Dotted key -> (value before, value after); None where the key is not there."""
    items: ItemChanges
    codes: Stability | None
    """Share of the items in both whose first 1, 2, ... codes are the same; None where the
    versions have other numbers of levels, or no item in common."""


def compare(before: Release, after: Release) -> Difference:
    """Everything that differs between two versions; equal metrics and parameters are left out."""
    old, new = read_table(before), read_table(after)
    return Difference(
        before=before.version,
        after=after.version,
        metrics=metric_changes(before.metrics, after.metrics),
        params=param_changes(_params(before), _params(after)),
        items=item_changes(old, new),
        codes=code_stability(old, new),
    )


def metric_changes(before: dict[str, float], after: dict[str, float]) -> dict[str, MetricChange]:
    """Metrics whose values differ, by name, each with the direction that `contracts` gives it."""
    changes = {}
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old != new:
            changes[name] = MetricChange(old, new, _direction(name, old, new))
    return changes


def _direction(
    name: str, old: float | None, new: float | None
) -> Literal["better", "worse"] | None:
    try:
        better = describe_metric(name).better
    except BadInput:  # a version published by another release of sidmint may know other metrics
        return None
    if better is None or old is None or new is None:
        return None
    return "better" if (new > old) == (better == "higher") else "worse"


def param_changes(before: Any, after: Any) -> dict[str, tuple[Any, Any]]:
    """Parameters whose values differ, by dotted key; lists are compared as a whole."""
    old, new = flatten(before), flatten(after)
    return {
        key: (old.get(key), new.get(key))
        for key in sorted(old.keys() | new.keys())
        if key not in old or key not in new or old[key] != new[key]
    }


def flatten(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one mapping with dotted keys; an empty mapping is a value."""
    if not isinstance(values, dict) or not values:
        return {prefix: values} if prefix else {}
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def item_changes(before: pl.DataFrame, after: pl.DataFrame) -> ItemChanges:
    """Which items came, went, or have another Semantic ID now."""
    key, sid = SemanticIds.ITEM_ID, SemanticIds.SEMANTIC_ID
    both = before.select(key, sid).join(after.select(key, sid), on=key, suffix="_after")
    moved = both.filter(pl.col(sid).ne_missing(pl.col(f"{sid}_after")))
    return ItemChanges(
        num_before=before.height,
        num_after=after.height,
        added=_ids(after.join(before, on=key, how="anti")),
        removed=_ids(before.join(after, on=key, how="anti")),
        moved=_ids(moved),
    )


def changed_ids(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """The items of `item_changes` with their ids: `item_id`, `change`, `before`, `after`.

    Sorted by item; `change` is added, removed or moved, and an id that is not there is null.
    """
    key, sid = SemanticIds.ITEM_ID, SemanticIds.SEMANTIC_ID
    sides = [
        table.select(key, pl.col(sid).alias(name), pl.lit(True).alias(f"in_{name}"))
        for table, name in ((before, "before"), (after, "after"))
    ]
    both = sides[0].join(sides[1], on=key, how="full", coalesce=True)
    change = (
        pl.when(pl.col("in_before").is_null())
        .then(pl.lit("added"))
        .when(pl.col("in_after").is_null())
        .then(pl.lit("removed"))
        .when(pl.col("before").ne_missing(pl.col("after")))
        .then(pl.lit("moved"))
    )
    found = both.with_columns(change=change).drop_nulls("change").sort(key)
    return found.select(key, "change", "before", "after")


def code_stability(before: pl.DataFrame, after: pl.DataFrame) -> Stability | None:
    """`diagnostics.stability` of two published tables over the items that both have.

    Suffixes are left out: they count items in a bucket and mean nothing by themselves.
    """
    columns = [column for column in before.columns if column.startswith("code_")]
    if columns != [column for column in after.columns if column.startswith("code_")]:
        return None
    key = SemanticIds.ITEM_ID
    both = before.select(key, *columns).join(
        after.select(key, *columns), on=key, suffix="_after", maintain_order="left"
    )
    both = both.drop_nulls()
    if both.is_empty():
        return None
    old = both.select(columns).to_numpy().astype(np.int32)
    new = both.select([f"{column}_after" for column in columns]).to_numpy().astype(np.int32)
    return stability(old, new)


def _ids(frame: pl.DataFrame) -> tuple[str, ...]:
    return tuple(sorted(frame[SemanticIds.ITEM_ID].to_list()))


def _params(release: Release) -> dict[Any, Any]:
    name = "params.yaml"
    return parse_yaml(release.file(name).read_bytes(), f"{release.where}/{name}")
