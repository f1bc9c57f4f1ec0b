"""What changed between two versions: metrics, parameters, thresholds, code, data, items, codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import takewhile
from typing import Any, Literal

import numpy as np
import polars as pl

from sidmint.contracts import SemanticIds, describe_metric
from sidmint.diagnostics import Stability, stability
from sidmint.errors import BadInput
from sidmint.gate.loosening import ThresholdChange, threshold_changes
from sidmint.gate.thresholds import GateParams
from sidmint.publishing.lookup import read_table
from sidmint.publishing.versions import Release
from sidmint.settings import parse_settings
from sidmint.yaml_files import parse_yaml

_MOST_EXAMPLES = 10
_RAW = "data/raw"


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
class Turnover:
    """How much of the table is another one, as shares from 0 to 1."""

    added: float
    """Of the items of the later version."""
    removed: float
    """Of the items of the earlier one."""
    moved: float
    """Of the items in both: those with another Semantic ID."""


@dataclass(frozen=True)
class MovedItem:
    """One item in both versions whose Semantic ID is another."""

    item_id: str
    title: str | None
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Revision:
    """Where a version came from: code and data."""

    git_commit: str | None
    git_changed: bool | None
    """Whether tracked files differed from that commit; None without git."""
    sidmint_version: str | None
    catalogue_digest: str | None
    raw: dict[str, str]
    """DVC's hash of each input under data/raw, by path."""


@dataclass(frozen=True)
class Difference:
    """Version `after` as seen from version `before`."""

    before: str
    after: str
    metrics: dict[str, MetricChange]
    params: dict[str, tuple[Any, Any]]
    """Dotted key -> (value before, value after); None where the key is not there."""
    thresholds: dict[str, ThresholdChange] | None
    """What the gate asked of each, where it differs; None where this sidmint cannot read the gate
    section of one of them."""
    revisions: dict[str, tuple[Any, Any]]
    """What differs of code and data: fields of `Revision`, one key an input under `raw`."""
    items: ItemChanges
    turnover: Turnover
    examples: tuple[MovedItem, ...]
    """Of the items that moved, those that moved farthest: the first code first."""
    codes: Stability | None
    """Share of the items in both whose first 1, 2, ... codes are the same; None where the
    versions have other numbers of levels, or no item in common."""
    churn: tuple[float, ...] | None
    """Share of the items in both whose first 1, 2, ... codes are others; None as for `codes`."""
    aligned_churn: tuple[float, ...] | None
    """The same, had each level's codes the names that most items know them by."""


def compare(before: Release, after: Release, titles: Mapping[str, str] | None = None) -> Difference:
    """Everything that differs between two versions; equal metrics and parameters are left out.

    `titles` (item id -> title) name the examples; a release itself holds none.
    """
    old, new = read_table(before), read_table(after)
    items = item_changes(old, new)
    codes = code_stability(old, new)
    return Difference(
        before=before.version,
        after=after.version,
        metrics=metric_changes(before.metrics, after.metrics),
        params=param_changes(published_params(before), published_params(after)),
        thresholds=published_thresholds(before, after),
        revisions=param_changes(asdict(revision(before)), asdict(revision(after))),
        items=items,
        turnover=_turnover(items),
        examples=_examples(old, new, items.moved, titles or {}),
        codes=codes,
        churn=codes.churn if codes else None,
        aligned_churn=codes.aligned_churn if codes else None,
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


def _turnover(items: ItemChanges) -> Turnover:
    num_both = items.num_before - len(items.removed)
    return Turnover(
        added=len(items.added) / max(items.num_after, 1),
        removed=len(items.removed) / max(items.num_before, 1),
        moved=len(items.moved) / max(num_both, 1),
    )


def _examples(
    before: pl.DataFrame, after: pl.DataFrame, moved: tuple[str, ...], titles: Mapping[str, str]
) -> tuple[MovedItem, ...]:
    """Sorted by how few leading parts of the two ids agree, then by item id."""
    key, sid = SemanticIds.ITEM_ID, SemanticIds.SEMANTIC_ID
    old, new = (dict(table.select(key, sid).iter_rows()) for table in (before, after))
    pairs = [(item, old[item], new[item]) for item in moved]
    pairs.sort(key=lambda pair: (_num_shared(pair[1], pair[2]), pair[0]))
    return tuple(
        MovedItem(item, titles.get(item) or None, was, now)
        for item, was, now in pairs[:_MOST_EXAMPLES]
    )


def _num_shared(before: str | None, after: str | None) -> int:
    parts = zip((before or "").split("-"), (after or "").split("-"), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], parts))


def revision(release: Release) -> Revision:
    """The code and the data that `release` was made of, as its manifest and its dvc.lock say."""
    manifest = release.manifest
    return Revision(
        git_commit=manifest.get("git_commit"),
        git_changed=manifest.get("git_changed"),
        sidmint_version=manifest.get("sidmint_version"),
        catalogue_digest=manifest.get("catalogue_digest"),
        raw=_raw_hashes(release),
    )


def _raw_hashes(release: Release) -> dict[str, str]:
    """DVC's hash of every input, by its path; of inputs not under DVC that of their folder."""
    tracked = release.manifest.get("raw") or {}
    if tracked:
        return {path: str(output.get("md5")) for path, output in sorted(tracked.items())}
    name = "dvc.lock"
    if not release.has(name):
        return {}
    locked = parse_yaml(release.file(name).read_bytes(), f"{release.where}/{name}")
    stages = (locked.get("stages") or {}).values()
    inputs = [needed for stage in stages for needed in stage.get("deps") or ()]
    return {each["path"]: str(each.get("md5")) for each in inputs if each.get("path") == _RAW}


def published_thresholds(before: Release, after: Release) -> dict[str, ThresholdChange] | None:
    """`gate.loosening.threshold_changes` of two versions; None where one cannot be read."""
    levels = [release.ids.levels for release in (before, after)]
    try:
        old, new = (thresholds_of(published_params(release)) for release in (before, after))
    except BadInput:  # published by a release of sidmint that knew other rules
        return None
    return threshold_changes(old, new, max(levels))


def thresholds_of(params: Any) -> GateParams:
    """What the gate asked for by these parameters: nothing of a recommender that there was not."""
    params = params if isinstance(params, dict) else {}
    gate: GateParams = parse_settings(GateParams, params.get("gate") or {}, "params.yaml")
    return gate if params.get("recommend") is not None else gate.without_recommender()[0]


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


def published_params(release: Release) -> dict[Any, Any]:
    """The params.yaml of a version as it was written."""
    name = "params.yaml"
    return parse_yaml(release.file(name).read_bytes(), f"{release.where}/{name}")
