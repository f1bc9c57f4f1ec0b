"""What changed between two versions: metrics, parameters, thresholds, code, data, items, codes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sidmint.contracts import SemanticIds, describe_metric
from sidmint.diagnostics import Stability
from sidmint.errors import BadInput
from sidmint.gate.loosening import ThresholdChange, threshold_changes
from sidmint.gate.thresholds import GateParams
from sidmint.publishing.published_rows import open_rows
from sidmint.publishing.table_changes import ItemChanges, code_stability, pairs_of, table_changes
from sidmint.publishing.versions import Release
from sidmint.settings import parse_settings
from sidmint.yaml_files import parse_yaml

_RAW = "data/raw"

Titles = Callable[[Sequence[str]], Mapping[str, str]]
"""Titles of some items by id; of those that have one."""


@dataclass(frozen=True)
class MetricChange:
    """A metric that two versions do not share. None: that version did not measure it."""

    before: float | None
    after: float | None
    change: Literal["better", "worse"] | None
    """None where neither way is better, or where one side is missing."""


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


def compare(before: Release, after: Release, titles: Titles | None = None) -> Difference:
    """Everything that differs between two versions; equal metrics and parameters are left out.

    `titles` name the examples; a release itself holds none. Tables in parts are read a part at a
    time.
    """
    old, new = open_rows(before), open_rows(after)
    changes = table_changes(pairs_of(old, new))
    items = changes.items
    named = titles([item for item, *_ in changes.farthest]) if titles else {}
    levels = old.code_columns
    codes = None
    if levels == new.code_columns:
        codes = code_stability(pairs_of(old, new, (SemanticIds.ITEM_ID, *levels)), levels)
    return Difference(
        before=before.version,
        after=after.version,
        metrics=metric_changes(before.metrics, after.metrics),
        params=param_changes(published_params(before), published_params(after)),
        thresholds=published_thresholds(before, after),
        revisions=param_changes(asdict(revision(before)), asdict(revision(after))),
        items=items,
        turnover=_turnover(items),
        examples=tuple(
            MovedItem(item, named.get(item) or None, was, now)
            for item, was, now in changes.farthest
        ),
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


def _turnover(items: ItemChanges) -> Turnover:
    num_both = items.num_before - items.num_removed
    return Turnover(
        added=items.num_added / max(items.num_after, 1),
        removed=items.num_removed / max(items.num_before, 1),
        moved=items.num_moved / max(num_both, 1),
    )


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


def published_params(release: Release) -> dict[Any, Any]:
    """The params.yaml of a version as it was written."""
    name = "params.yaml"
    return parse_yaml(release.file(name).read_bytes(), f"{release.where}/{name}")
