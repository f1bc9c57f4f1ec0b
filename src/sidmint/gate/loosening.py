"""What two gates ask for, beside each other: which bound became looser, which tighter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sidmint.gate.rules import by_metric
from sidmint.gate.thresholds import LEVEL, AllowanceParams, GateParams, RuleParams

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
    rules = _of_rules(before.rules, after.rules, num_levels)
    allowances = _of_allowances(before.champion, after.champion, num_levels)
    found = {f"rules.{name}": change for name, change in rules.items()}
    found |= {f"champion.{name}": change for name, change in allowances.items()}
    if before.cannot_tell != after.cannot_tell:
        looser = after.cannot_tell == "warning"
        found["cannot_tell"] = ThresholdChange(
            before.cannot_tell, after.cannot_tell, "looser" if looser else "tighter"
        )
    if before.select_by != after.select_by:
        found["select_by"] = ThresholdChange(before.select_by, after.select_by, "other")
    return dict(sorted(_joined(found, num_levels).items()))


def _of_rules(
    before: Mapping[str, RuleParams], after: Mapping[str, RuleParams], num_levels: int
) -> dict[str, ThresholdChange]:
    old, new = by_metric(before, num_levels), by_metric(after, num_levels)
    changes = {}
    for name in old.keys() | new.keys():
        was, now = old.get(name), new.get(name)
        if was != now:
            looser = now is None or (was is not None and _gives_way(was, now))
            changes[name] = ThresholdChange(
                _rule_words(was), _rule_words(now), "looser" if looser else "tighter"
            )
    return changes


def _gives_way(was: RuleParams, now: RuleParams) -> bool:
    """Whether `now` lets a value pass, or only warns of one, that `was` stopped."""
    lower = was.min is not None and (now.min is None or now.min < was.min)
    higher = was.max is not None and (now.max is None or now.max > was.max)
    return lower or higher or (was.severity, now.severity) == ("critical", "warning")


def _of_allowances(
    before: Mapping[str, AllowanceParams], after: Mapping[str, AllowanceParams], num_levels: int
) -> dict[str, ThresholdChange]:
    old, new = by_metric(before, num_levels), by_metric(after, num_levels)
    changes = {}
    for name in old.keys() | new.keys():
        was, now = old.get(name), new.get(name)
        if was != now:
            looser = now is None or (
                was is not None
                and (
                    now.may_worsen_by > was.may_worsen_by
                    or (was.severity, now.severity) == ("critical", "warning")
                )
            )
            changes[name] = ThresholdChange(
                _allowance_words(was), _allowance_words(now), "looser" if looser else "tighter"
            )
    return changes


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


def _rule_words(rule: RuleParams | None) -> str | None:
    if rule is None:
        return None
    bounds = (("min", rule.min), ("max", rule.max))
    parts = [f"{name} {value:g}" for name, value in bounds if value is not None]
    return ", ".join([*parts, rule.severity])


def _allowance_words(allowance: AllowanceParams | None) -> str | None:
    if allowance is None:
        return None
    return f"may worsen by {allowance.may_worsen_by:g}, {allowance.severity}"
