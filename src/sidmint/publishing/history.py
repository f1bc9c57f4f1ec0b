"""What the versions say over time: the list of them, and one metric in each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sidmint.contracts import Metric, describe_metric
from sidmint.errors import BadInput, did_you_mean
from sidmint.publishing.acts import Status, standings
from sidmint.publishing.store import VersionStore


@dataclass(frozen=True)
class VersionRow:
    """One version, as the list of versions shows it."""

    version: str
    champion: bool
    status: Status
    """See `acts.Status`."""
    tokenizer: str
    num_items: int
    parent: str | None
    created_at: str
    created_by: str
    override_by: str | None
    override_reason: str | None
    overruled: tuple[str, ...]
    """The gate's reasons against it, where it was published by override."""


@dataclass(frozen=True)
class Value:
    """A metric in one version; None where that version did not measure it."""

    version: str
    value: float | None
    created_at: str
    tokenizer: str
    champion: bool
    override: bool
    status: Status


@dataclass(frozen=True)
class History:
    """One metric over all versions, oldest first."""

    metric: str
    better: Literal["higher", "lower"] | None
    meaning: str
    values: tuple[Value, ...]


def list_versions(store: VersionStore) -> list[VersionRow]:
    """Every version, oldest first; empty where there is none."""
    known = standings(store.entries())
    rows = []
    for version in store.versions():
        manifest = store.release(version).manifest
        override = manifest["override"] or {}
        standing = known.get(version)
        status: Status = standing.status if standing else "abandoned"
        rows.append(
            VersionRow(
                version=version,
                champion=status == "champion",
                status=status,
                tokenizer=manifest["tokenizer"],
                num_items=manifest["num_items"],
                parent=manifest["parent"],
                created_at=manifest["created_at"],
                created_by=manifest["created_by"],
                override_by=override.get("by"),
                override_reason=override.get("reason"),
                overruled=tuple(manifest["overruled"]),
            )
        )
    return rows


def metric_history(store: VersionStore, metric: str) -> History:
    """The value of `metric` in every version that the log names.

    `BadInput` with the nearest names if no version has that metric.
    """
    rows = [row for row in list_versions(store) if row.status != "abandoned"]
    if not rows:
        raise BadInput(f"nothing is published in {store.where} yet: there is no history")
    measured = {row.version: store.release(row.version).metrics for row in rows}
    known = sorted(set().union(*measured.values()))
    if metric not in known:
        hint = did_you_mean(metric, known, most=5) or "; `sidmint metrics` lists them"
        raise BadInput(f"no version has a metric {metric!r}{hint}")
    described = _describe(metric)
    values = tuple(
        Value(
            version=row.version,
            value=measured[row.version].get(metric),
            created_at=row.created_at,
            tokenizer=row.tokenizer,
            champion=row.champion,
            override=row.override_by is not None,
            status=row.status,
        )
        for row in rows
    )
    return History(metric, described.better, described.meaning, values)


def _describe(metric: str) -> Metric:
    try:
        return describe_metric(metric)
    except BadInput:  # published by a release of sidmint that knew other metrics
        return Metric(None, "a metric of another release of sidmint")
