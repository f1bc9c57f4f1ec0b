"""The gate section of params.yaml: the bounds that a table must keep to be published."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from sidmint.contracts import METRICS, NO_LOG, Metric, describe_metric
from sidmint.errors import BadInput, did_you_mean
from sidmint.information import (
    DEAD_CODE_SHARE,
    FIRST_PERPLEXITY_SHARE,
    LATER_PERPLEXITY_SHARE,
    LEAST_SHARE,
)
from sidmint.settings import Settings

Severity = Literal["critical", "warning"]
Finite = Annotated[float, Field(allow_inf_nan=False)]

LEVEL = "_level"
"""`dead_code_share_level` in params.yaml stands for dead_code_share_1 .. dead_code_share_L."""


class RuleParams(Settings):
    """An absolute bound: `min`, `max` or both, inclusive, in the metric's own units."""

    min: Finite | None = None
    max: Finite | None = None
    severity: Severity = "critical"

    @model_validator(mode="after")
    def _can_hold_and_can_fail(self) -> RuleParams:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both: a rule without a bound cannot fail")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min lies above max: no value could hold")
        return self


class AllowanceParams(Settings):
    """How much worse than the champion a metric may be, in the metric's own units."""

    may_worsen_by: Finite = Field(ge=0)
    severity: Severity = "critical"


# Collision, conflict and N_eff bounds draw one line together: residual k-means on two real
# catalogues (3 and 4 levels of 64 to 256) puts a collision rate of .30 beside a conflict rate
# of .39 and an N_eff share of .57. Tables with every code in use have been seen with 65 % and
# with 94 % distinct ids: the first stays above the line by collision_rate alone.
_DEFAULT_RULES = {
    "num_items": RuleParams(min=100),
    "num_null_ids": RuleParams(max=0),
    "collision_rate": RuleParams(max=0.3),
    "conflict_rate": RuleParams(max=0.4),
    "resolved_collision_rate": RuleParams(max=0),
    "n_eff_share": RuleParams(min=0.55),
    # Every later level refines the first: a collapsed one had .11 of it behind a collision rate
    # of .215 that looks well. A later level far below sound ones spent its codes on single items.
    "perplexity_share_1": RuleParams(min=FIRST_PERPLEXITY_SHARE),
    "perplexity_share_level": RuleParams(min=LATER_PERPLEXITY_SHARE),
    "dead_code_share_level": RuleParams(max=DEAD_CODE_SHARE),
    # A level may use every code and add nothing. Of 52 tables of Beauty and Toys (26 tokenizers,
    # 3 x 256) the least share is .19, of pq's third level; the control category has .00.
    "information_share_level": RuleParams(min=LEAST_SHARE),
    "retention_at_100": RuleParams(min=0.5),
    "cold_coverage": RuleParams(min=0.9, severity="warning"),
}
_DEFAULT_ALLOWANCES = {
    "collision_rate": AllowanceParams(may_worsen_by=0.05),
    # Over 23 tables of Beauty and Toys the error foretold what a recommender makes of the ids (rho
    # -.77 with NDCG@10), and entropy pointed, if anywhere, the other way (-.48; decisions/0031).
    "relative_mse": AllowanceParams(may_worsen_by=0.05),
    "n_eff_share": AllowanceParams(may_worsen_by=0.05, severity="warning"),
    "retention_at_100": AllowanceParams(may_worsen_by=0.05),
}


class ChurnParams(Settings):
    """How many items may get other codes than the champion gave them."""

    max: float = Field(ge=0, le=1)
    """Share of the items that both tables have, codes as they are written."""
    severity: Severity = "critical"


class GateParams(Settings):
    """When a table may be published.

    A key of `rules` or `champion` is a metric, or a metric of every level written with a bare
    `_level`. A key that names one level (`perplexity_share_1`) takes that level out of the
    `_level` rule.
    """

    select_by: str = "retention_at_100"
    """Of several that pass, the one that leads on this metric is published."""
    rules: dict[str, RuleParams] = _DEFAULT_RULES
    champion: dict[str, AllowanceParams] = _DEFAULT_ALLOWANCES
    churn: ChurnParams | None = None
    """Bounds `churn`; null asks nothing. Off by default: a tokenizer that is trained again numbers
    its codes anew (.99 and more on Beauty), and who trains the readers of ids with it loses
    nothing. Whoever keeps a recommender over several tables sets it."""
    cannot_tell: Literal["warning", "block"] = "warning"
    """Where the interval of a difference allows a loss beyond the allowance without showing
    one: say so, or refuse. Blocking on a small catalogue refuses nearly every candidate."""

    @field_validator("select_by")
    @classmethod
    def _has_a_direction(cls, name: str) -> str:
        _require_direction(name, "gate.select_by")
        return name

    @field_validator("rules")
    @classmethod
    def _bounds_make_sense(cls, rules: dict[str, RuleParams]) -> dict[str, RuleParams]:
        require_sense(rules, "gate.rules")
        return rules

    @field_validator("champion")
    @classmethod
    def _have_directions(cls, rules: dict[str, AllowanceParams]) -> dict[str, AllowanceParams]:
        for name in rules:
            _require_direction(name, f"gate.champion.{name}")
        return rules

    def without_recommender(self) -> Trimmed:
        """The section without bounds on a recommender's figures, and what was left out, named.

        For a run in which `recommend` is null: nobody measured them, and somebody said so.
        """
        return self._without(_of_recommender, _of_recommender, "recommend is null")

    def without_log(self, known: Collection[str]) -> Trimmed:
        """The section without bounds on what only events can measure, and what was left out, named.

        For a catalogue without an interaction log. `known` are the metrics of the champion: what
        events told of it, a table without events may not leave unanswered, so rules on these stay
        and fail for want of a measurement.
        """

        def is_unanswered(name: str) -> bool:
            return needs_events(name) and metric_at(name, 1) not in known

        return self._without(needs_events, is_unanswered, NO_LOG)

    def beside_champion_without_log(self, compared: Collection[str]) -> Trimmed:
        """The section without comparisons that a champion made of content alone cannot answer.

        Metrics in `compared` have the champion's side of today, and their rules stay.
        """

        def is_unanswered(name: str) -> bool:
            return needs_events(name) and metric_at(name, 1) not in compared

        reason = "the champion was published without an interaction log"
        return self._without(lambda _: False, is_unanswered, reason)

    def _without(
        self, leaves: Callable[[str], bool], leaves_of_champion: Callable[[str], bool], why: str
    ) -> Trimmed:
        rules = {name: rule for name, rule in self.rules.items() if not leaves(name)}
        champion = {n: rule for n, rule in self.champion.items() if not leaves_of_champion(n)}
        left_out = [*(self.rules.keys() - rules.keys())]
        left_out += [f"champion.{name}" for name in self.champion.keys() - champion.keys()]
        kept = self.model_copy(update={"rules": rules, "champion": champion})
        return kept, tuple(f"{name}: {why}" for name in sorted(left_out))

    def digest(self) -> str:
        """SHA-256 of the section's meaning: the same whatever the order or layout of the YAML."""
        return digest_of(self)


def require_sense(rules: Mapping[str, RuleParams], section: str) -> None:
    """`BadInput` where a rule of `section` bounds a metric on its good side, or none can refuse."""
    for name, rule in rules.items():
        better = _metric_of(name, f"{section}.{name}").better
        wrong_way = {"lower": rule.max is None, "higher": rule.min is None}
        if better and wrong_way[better]:
            wanted = "max" if better == "lower" else "min"
            raise BadInput(
                f"{section}.{name}: {better} is better, so the rule wants a {wanted}; "
                "as it is, a better table would fail it"
            )
    if not any(rule.severity == "critical" for rule in rules.values()):
        raise BadInput(
            f"{section} holds no critical rule, so it could refuse nothing; "
            "leave the key out to have the default rules"
        )


def digest_of(section: Settings) -> str:
    """SHA-256 of a section's meaning: the same whatever the order or layout of the YAML."""
    canonical = json.dumps(section.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


Trimmed = tuple[GateParams, tuple[str, ...]]
"""A gate section with rules taken out, and those rules, each with the reason."""


def needs_events(name: str) -> bool:
    """Whether a metric is measured on interactions, so that a catalogue without any has none.

    Figures of cold items too: they set items without interactions beside those with some.
    """
    measured_on_events = ("hr_", "prefix_hr_", "retention_", "auc_", "num_cases", "cold_")
    return _of_recommender(name) or name.startswith((*measured_on_events, "decodable_"))


def _of_recommender(name: str) -> bool:
    return name.startswith(("recommend_", "num_recommend_", "change_"))


def _require_direction(name: str, key: str) -> None:
    if _metric_of(name, key).better is None:
        raise BadInput(
            f"{key}: of {name} neither more nor less is better, so it cannot be compared; "
            "bound it under gate.rules with min and max"
        )


def _metric_of(name: str, key: str) -> Metric:
    try:
        return describe_metric(metric_at(name, 1))
    except BadInput as error:
        known = [pattern.replace("{level}", "level") for pattern in METRICS]
        raise BadInput(f"{key}: {error}{did_you_mean(name, known)}") from error


def metric_at(name: str, level: int) -> str:
    """The metric that the key `name` means at `level` (from 1): `gini_level` -> `gini_2`."""
    return f"{name.removesuffix(LEVEL)}_{level}" if name.endswith(LEVEL) else name
