"""What the gate would say to a try, as far as its figures go."""

from __future__ import annotations

from collections.abc import Mapping

from sidmint.gate.reasons import reason
from sidmint.gate.rules import Champion, rules_for
from sidmint.gate.thresholds import GateParams


def objections(
    thresholds: GateParams,
    metrics: Mapping[str, float],
    num_levels: int,
    champion: Champion | None = None,
) -> tuple[str, ...]:
    """Reasons of the critical rules that a table with `metrics` fails, in the order of their names.

    Rules on what a try does not measure (cold items, a recommender) are left out: they may refuse
    the table all the same. So are comparisons with the champion's retention, whose cases are
    others.
    """
    asked = [
        rule
        for rule in rules_for(thresholds, num_levels, champion)
        if rule.severity == "critical"
        and rule.metric in metrics
        and not (rule.champion is not None and rule.metric.startswith("retention"))
    ]
    return tuple(reason(rule, metrics) for rule in asked if not rule.holds(metrics))
