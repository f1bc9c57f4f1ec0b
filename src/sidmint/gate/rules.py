"""Thresholds -> rules: each bounds one number that was measured, or how far it fell behind."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from sidmint.contracts import describe_metric
from sidmint.errors import BadInput
from sidmint.gate.thresholds import (
    LEVEL,
    AllowanceParams,
    GateParams,
    RuleParams,
    Severity,
    metric_at,
)

if TYPE_CHECKING:
    from sidmint.evaluation.outcomes import Outcome

P = TypeVar("P")

_CHURN = "champion.churn"
"""The rule on `gate.churn`. Churn is measured against the champion, so the bound is plain."""

Measurements = Mapping[str, float | None]
"""Metric -> value; None and a name that is not there both mean: not measured."""


@dataclass(frozen=True)
class Champion:
    """The published version that a candidate is compared with."""

    version: str
    metrics: Measurements

    @staticmethod
    def parse(snapshot: Any, where: str) -> Champion | None:
        """The champion in a parsed champion.json, None where nothing is published yet.

        Keys other than `version` and `metrics` are left alone. A metric that is no number
        is `BadInput`; one that is null or NaN is kept, and fails the rule that needs it.
        """
        try:
            version, metrics = snapshot["version"], snapshot["metrics"]
            if version is None:
                return None
            numbers = {str(name): _number(value) for name, value in metrics.items()}
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise BadInput(
                f'{where} is no champion snapshot ({{"version": ..., "metrics": {{...}}}}): '
                f"{error!r}; `sidmint publish` and `sidmint rollback` write it anew"
            ) from error
        return Champion(str(version), numbers)


@dataclass(frozen=True)
class Paired:
    """A figure of the champion's table over the cases that the candidate answered too.

    `low` and `high` are the ends of the interval of candidate - champion. `value` stands in
    for the champion's own metric where today's cases are others than those it was published
    with; None: compare with the published one. `num_cases` is how many both answered.
    """

    low: float
    high: float
    value: float | None = None
    num_cases: int | None = None


@dataclass(frozen=True)
class Comparison:
    """The champion's side of a relative rule."""

    version: str
    value: float | None
    better: Literal["higher", "lower"]
    paired: Paired | None = None
    """None where the metric has no sampling error that is known: estimates are compared then."""

    @property
    def losses(self) -> tuple[float, float] | None:
        """The least and the most that can have been lost, by the interval."""
        if self.paired is None:
            return None
        low, high = self.paired.low, self.paired.high
        return (-high, -low) if self.better == "higher" else (low, high)


@dataclass(frozen=True)
class Rule:
    """`low <= quantity <= high`, both ends allowed; a bound that is None is not asked for.

    The quantity is the metric itself or, beside a champion, by how much the metric is worse
    than the champion's: negative where it is better.
    """

    name: str
    metric: str
    severity: Severity
    low: float | None = None
    high: float | None = None
    champion: Comparison | None = None
    surely: bool = False
    """Of a relative rule with an interval: bound the most that can have been lost, not the
    least. It fails where the data cannot tell, and where the table is worse."""

    @property
    def column(self) -> str:
        """Name of the quantity: the metric's own, or `worsening_of_` the metric."""
        if self.champion is None:
            return self.metric
        if self.champion.paired is None:
            return f"worsening_of_{self.metric}"
        return f"{'most' if self.surely else 'least'}_worsening_of_{self.metric}"

    def quantity(self, measurements: Measurements) -> float | None:
        """What the bounds apply to; None where a number that it needs was not measured.

        Where the difference has an interval, the least loss that it allows: the rule then
        fails only where a loss beyond the allowance is shown, not where noise looks like one.
        Differences are rounded to nine decimals, so that .91 -> .86 is a fall by .05 and
        not by .05000000000000004.
        """
        value = measurements.get(self.metric)
        if self.champion is None or value is None:
            return value
        if self.champion.value is None:
            return None
        if self.champion.losses is not None and math.isfinite(value):
            if not all(map(math.isfinite, self.champion.losses)):
                return math.nan
            return round(self.champion.losses[1 if self.surely else 0], 9)
        worse = value - self.champion.value
        return round(-worse if self.champion.better == "higher" else worse, 9)

    def outcome(self, measurements: Measurements) -> Outcome | None:
        """What the difference to the champion says; None where it has no interval or no number."""
        quantity = self.quantity(measurements)
        if self.champion is None or self.champion.losses is None or self.high is None:
            return None
        if quantity is None or not math.isfinite(quantity):
            return None
        # Here and not above: its package brings torch, which reading a verdict does not need.
        from sidmint.evaluation.outcomes import outcome_of

        least, most = (round(loss, 9) for loss in self.champion.losses)
        return outcome_of(-most, -least, self.high)

    def holds(self, measurements: Measurements) -> bool:
        """Whether the quantity is there, finite and within the bounds. The definition of a pass."""
        quantity = self.quantity(measurements)
        if quantity is None or not math.isfinite(quantity):
            return False
        above = self.low is None or quantity >= self.low
        return above and (self.high is None or quantity <= self.high)


def rules_for(
    thresholds: GateParams,
    num_levels: int,
    champion: Champion | None,
    paired: Mapping[str, Paired] | None = None,
) -> tuple[Rule, ...]:
    """Every rule that a table of `num_levels` code levels must keep, sorted by name.

    Rules relative to the champion are called `champion.METRIC` and are made only where
    there is one; `unapplied` names the others. A metric in `paired` has four outcomes: worse
    fails `champion.METRIC`; cannot tell fails `champion.METRIC.surely`, which warns or, where
    `gate.cannot_tell` says block, is as severe as the rule itself; better and within the allowance
    fail neither.
    """
    rules = list(absolute_rules(thresholds.rules, num_levels))
    if champion is not None and thresholds.churn is not None:
        budget = thresholds.churn
        rules.append(Rule(_CHURN, "churn", budget.severity, high=budget.max))
    if champion is not None:
        for metric, params in by_metric(thresholds.champion, num_levels).items():
            rule = _relative(metric, params, champion, (paired or {}).get(metric))
            rules.append(rule)
            if rule.champion is not None and rule.champion.paired is not None:
                blocks = thresholds.cannot_tell == "block"
                severity: Severity = params.severity if blocks else "warning"
                name = f"{rule.name}.surely"
                rules.append(replace(rule, name=name, severity=severity, surely=True))
    return tuple(sorted(rules, key=lambda rule: rule.name))


def absolute_rules(bounds: Mapping[str, RuleParams], num_levels: int) -> tuple[Rule, ...]:
    """A rule for each bound on a metric of a table of `num_levels` code levels, sorted by name."""
    if num_levels < 1:
        raise BadInput(f"the gate wants a table with at least one code level, got {num_levels}")
    rules = (
        Rule(metric, metric, params.severity, low=params.min, high=params.max)
        for metric, params in by_metric(bounds, num_levels).items()
    )
    return tuple(sorted(rules, key=lambda rule: rule.name))


def unapplied(thresholds: GateParams, champion: Champion | None) -> tuple[str, ...]:
    """The relative rules that wait for a first champion, each with that reason; else none."""
    if champion is not None:
        return ()
    churn = [] if thresholds.churn is None else ["churn"]
    names = sorted([*thresholds.champion, *churn])
    return tuple(f"champion.{name}: no champion yet" for name in names)


def _relative(
    metric: str, params: AllowanceParams, champion: Champion, paired: Paired | None
) -> Rule:
    better = describe_metric(metric).better
    if better is None:
        raise BadInput(f"gate.champion.{metric}: neither more nor less of it is better")
    published = champion.metrics.get(metric)
    value = published if paired is None or paired.value is None else paired.value
    return Rule(
        name=f"champion.{metric}",
        metric=metric,
        severity=params.severity,
        high=params.may_worsen_by,
        champion=Comparison(champion.version, value, better, paired),
    )


def by_metric(params: Mapping[str, P], num_levels: int) -> dict[str, P]:
    """Keys written out by level; a key that names its level wins over a `_level` one."""
    written_out = {
        metric_at(name, level): bound
        for name, bound in params.items()
        if name.endswith(LEVEL)
        for level in range(1, num_levels + 1)
    }
    return written_out | {n: bound for n, bound in params.items() if not n.endswith(LEVEL)}


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is no number")
    try:
        float(value)
    except OverflowError as error:  # 10^400 is an integer of JSON and of Python
        raise ValueError("a number beyond what a float can hold") from error
    return value
