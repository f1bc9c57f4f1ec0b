"""The gate section of params.yaml: the bounds that a table must keep to be published."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from sidmint.contracts import METRICS, Metric, describe_metric
from sidmint.errors import BadInput, did_you_mean
from sidmint.information import LEAST_SHARE
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
    # Every later level refines the first: sound runs use .75 to .9 of it, a collapsed one
    # .11 behind a collision rate of .215 that looks well.
    "perplexity_share_1": RuleParams(min=0.4),
    # Later levels of sound residual k-means fall to .05 where sizes are large for the
    # catalogue: worth a word, and what it costs is in collision_rate and n_eff_share.
    "perplexity_share_level": RuleParams(min=0.2, severity="warning"),
    "dead_code_share_level": RuleParams(max=0.2),
    # A level may use every code and add nothing. Of 52 tables of Beauty and Toys (26 tokenizers,
    # 3 x 256) the least share is .19, of pq's third level; the control category has .00.
    "information_share_level": RuleParams(min=LEAST_SHARE),
    "retention_at_100": RuleParams(min=0.5),
    "cold_coverage": RuleParams(min=0.9, severity="warning"),
}
_DEFAULT_ALLOWANCES = {
    "collision_rate": AllowanceParams(may_worsen_by=0.05),
    "n_eff_share": AllowanceParams(may_worsen_by=0.05),
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
    its codes anew (.99 and more on Beauty), and who trains the readers of ids too loses nothing.
    Whoever keeps a recommender over several tables sets it."""
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

    def without_recommender(self) -> tuple[GateParams, tuple[str, ...]]:
        """The section without bounds on a recommender's figures, and what was left out, named.

        For a run in which `recommend` is null: nobody measured them, and somebody said so.
        """
        rules = {name: rule for name, rule in self.rules.items() if not _of_recommender(name)}
        champion = {name: rule for name, rule in self.champion.items() if not _of_recommender(name)}
        left_out = [*(self.rules.keys() - rules.keys())]
        left_out += [f"champion.{name}" for name in self.champion.keys() - champion.keys()]
        kept = self.model_copy(update={"rules": rules, "champion": champion})
        return kept, tuple(f"{name}: recommend is null" for name in sorted(left_out))

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
