"""What two gates ask for, beside each other: which bound became looser, which tighter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from sidmint.gate.rules import by_metric
from sidmint.gate.thresholds import (
    LEVEL,
    AllowanceParams,
    ChurnParams,
    GateParams,
    RuleParams,
)

P = TypeVar("P")

Direction = Literal["looser", "tighter", "other"]
"""`looser`: a table may pass now that was refused before, if perhaps not the other way round."""


@dataclass(frozen=True)
class ThresholdChange:
    """One bound in two gates, in words. None: the gate has no such bound."""

    before: str | None
    after: str | None
    direction: Direction


def threshold_changes(
    before: GateParams, after: GateParams, num_levels: int
) -> dict[str, ThresholdChange]:
    """Every bound that differs, by its key in params.yaml; sorted.

    Bounds of every level are compared level by level (1 to `num_levels`), since a key that names
    its level takes that level out of a `_level` one. Where all levels change alike, the answer is
    one line again.
    """
    sections = {
        "rules.": _differing(
            by_metric(before.rules, num_levels),
            by_metric(after.rules, num_levels),
            _rule_gives_way,
            _rule_words,
        ),
        "champion.": _differing(
            by_metric(before.champion, num_levels),
            by_metric(after.champion, num_levels),
            _allowance_gives_way,
            _allowance_words,
        ),
        "": _differing(_budget(before), _budget(after), _budget_gives_way, _budget_words),
    }
    found = {
        f"{section}{name}": change
        for section, changes in sections.items()
        for name, change in changes.items()
    }
    if before.cannot_tell != after.cannot_tell:
        looser = after.cannot_tell == "warning"
        found["cannot_tell"] = ThresholdChange(
            before.cannot_tell, after.cannot_tell, "looser" if looser else "tighter"
        )
    if before.select_by != after.select_by:
        found["select_by"] = ThresholdChange(before.select_by, after.select_by, "other")
    return dict(sorted(_joined(found, num_levels).items()))


def _differing(
    before: Mapping[str, P],
    after: Mapping[str, P],
    gives_way: Callable[[P, P], bool],
    words: Callable[[P], str],
) -> dict[str, ThresholdChange]:
    """`gives_way(was, now)`: whether the bound lets pass, or only warns of, what was stopped."""
    changes = {}
    for name in before.keys() | after.keys():
        was, now = before.get(name), after.get(name)
        if was != now:
            looser = now is None or (was is not None and gives_way(was, now))
            changes[name] = ThresholdChange(
                None if was is None else words(was),
                None if now is None else words(now),
                "looser" if looser else "tighter",
            )
    return changes


def _only_warns(was: str, now: str) -> bool:
    return (was, now) == ("critical", "warning")


def _rule_gives_way(was: RuleParams, now: RuleParams) -> bool:
    lower = was.min is not None and (now.min is None or now.min < was.min)
    higher = was.max is not None and (now.max is None or now.max > was.max)
    return lower or higher or _only_warns(was.severity, now.severity)


def _allowance_gives_way(was: AllowanceParams, now: AllowanceParams) -> bool:
    return now.may_worsen_by > was.may_worsen_by or _only_warns(was.severity, now.severity)


def _budget(gate: GateParams) -> dict[str, ChurnParams]:
    return {} if gate.churn is None else {"churn": gate.churn}


def _budget_gives_way(was: ChurnParams, now: ChurnParams) -> bool:
    return now.max > was.max or _only_warns(was.severity, now.severity)


def _joined(changes: dict[str, ThresholdChange], num_levels: int) -> dict[str, ThresholdChange]:
    """`changes` with those of all levels under one key where they are the same."""
    joined = dict(changes)
    for key, change in changes.items():
        stem, _, level = key.rpartition("_")
        names = [f"{stem}_{number}" for number in range(1, num_levels + 1)]
        if num_levels > 1 and level == "1" and all(changes.get(each) == change for each in names):
            for each in names:
                del joined[each]
            joined[stem + LEVEL] = change
    return joined


def _rule_words(rule: RuleParams) -> str:
    bounds = (("min", rule.min), ("max", rule.max))
    parts = [f"{name} {value:g}" for name, value in bounds if value is not None]
    return ", ".join([*parts, rule.severity])


def _allowance_words(allowance: AllowanceParams) -> str:
    return f"may worsen by {allowance.may_worsen_by:g}, {allowance.severity}"


def _budget_words(budget: ChurnParams) -> str:
    return f"max {budget.max:g}, {budget.severity}"
