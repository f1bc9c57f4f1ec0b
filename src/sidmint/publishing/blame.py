"""Which version moved a metric, and what was changed with it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from sidmint.gate.loosening import ThresholdChange
from sidmint.publishing.difference import (
    metric_changes,
    param_changes,
    published_params,
    published_thresholds,
    revision,
)
from sidmint.publishing.history import History, metric_history
from sidmint.publishing.store import VersionStore


@dataclass(frozen=True)
class Step:
    """A version whose metric is another than that of the champion it was judged against."""

    version: str
    parent: str
    created_at: str
    created_by: str
    tokenizer: str
    before: float
    after: float
    change: Literal["better", "worse"] | None
    """None where neither way is better."""
    params: dict[str, tuple[Any, Any]]
    """Parameters that differ from its parent's: dotted key -> (before, after)."""
    thresholds: dict[str, ThresholdChange] | None
    revisions: dict[str, tuple[Any, Any]]
    """Code and data that differ from its parent's."""


@dataclass(frozen=True)
class Blame:
    """The steps of one metric, in the order of the versions."""

    metric: str
    better: Literal["higher", "lower"] | None
    meaning: str
    steps: tuple[Step, ...]
    worst: str | None
    """The version of the largest step for the worse (of a metric without direction: the largest
    step); None where there is none."""


def blame(store: VersionStore, metric: str) -> Blame:
    """Every step of `metric` over the versions, each against the champion of its own time.

    What changed with a step need not have caused it: a training of its own seed, or an item that
    came or went, moves metrics too. `BadInput` if no version has that metric.
    """
    history = metric_history(store, metric)
    values = {value.version: value.value for value in history.values}
    steps = tuple(
        step for version in values if (step := _step(store, version, metric, values)) is not None
    )
    return Blame(metric, history.better, history.meaning, steps, _worst(history, steps))


def _step(
    store: VersionStore, version: str, metric: str, values: dict[str, float | None]
) -> Step | None:
    release = store.release(version)
    manifest = release.manifest
    parent = manifest["parent"]
    before, after = values.get(parent), values[version]
    if before is None or after is None or before == after:
        return None
    origin = store.release(parent)
    return Step(
        version=version,
        parent=parent,
        created_at=manifest["created_at"],
        created_by=manifest["created_by"],
        tokenizer=manifest["tokenizer"],
        before=before,
        after=after,
        change=metric_changes({metric: before}, {metric: after})[metric].change,
        params=param_changes(published_params(origin), published_params(release)),
        thresholds=published_thresholds(origin, release),
        revisions=param_changes(asdict(revision(origin)), asdict(revision(release))),
    )


def _worst(history: History, steps: tuple[Step, ...]) -> str | None:
    pool = [step for step in steps if step.change == "worse" or history.better is None]
    largest = max(pool, key=lambda step: abs(step.after - step.before), default=None)
    return largest.version if largest else None
