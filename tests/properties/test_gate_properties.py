"""Laws of the gate that hold for any thresholds and any measurements."""

from __future__ import annotations

import json
import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidmint.contracts import METRICS
from sidmint.errors import BadInput
from sidmint.gate.rules import Champion, Rule, rules_for
from sidmint.gate.thresholds import AllowanceParams, GateParams, RuleParams, Severity
from sidmint.gate.verdict import Verdict, complete, result_of
from sidmint.json_text import dump_json

DIRECTED = sorted(name for name, m in METRICS.items() if m.better and "{" not in name)
finite = st.floats(-1e6, 1e6)
any_number = st.one_of(st.none(), st.floats())
severities = st.sampled_from(["critical", "warning"])


def bound(metric: str, value: float) -> RuleParams:
    return RuleParams(max=value) if METRICS[metric].better == "lower" else RuleParams(min=value)


def verdict(rules: list[Rule], measurements: dict[str, float | None]) -> Verdict:
    results = [result_of(rule, measurements, rule.holds(measurements)) for rule in rules]
    return Verdict("t", None, "0" * 64, "1" * 64, complete(rules, measurements, results))


@settings(deadline=None)
@given(
    metric=st.sampled_from(DIRECTED),
    threshold=finite,
    allowed=st.floats(0, 1e6),
    before=finite,
    value=finite,
    gain=st.floats(0, 1e6),
)
def test_a_better_metric_never_turns_a_pass_into_a_fail(
    metric: str, threshold: float, allowed: float, before: float, value: float, gain: float
):
    thresholds = GateParams(
        rules={metric: bound(metric, threshold)},
        champion={metric: AllowanceParams(may_worsen_by=allowed)},
    )
    better = value - gain if METRICS[metric].better == "lower" else value + gain
    for rule in rules_for(thresholds, 1, Champion("v0001", {metric: before})):
        assert rule.holds({metric: better}) or not rule.holds({metric: value})


@settings(deadline=None)
@given(low=st.one_of(st.none(), finite), high=st.one_of(st.none(), finite), value=any_number)
def test_what_is_not_a_finite_number_never_passes(
    low: float | None, high: float | None, value: float | None
):
    if value is None or not math.isfinite(value):
        assert not Rule("r", "m", "critical", low=low, high=high).holds({"m": value})


measured_rules = st.lists(st.tuples(severities, any_number), min_size=1, max_size=6)


Drawn = list[tuple[Severity, float | None]]


def rules_and_values(drawn: Drawn) -> tuple[list[Rule], dict[str, float | None]]:
    """Rule m0, m1, ... wants the value drawn beside its severity to be at least 0."""
    rules = [Rule(f"m{i}", f"m{i}", severity, low=0.0) for i, (severity, _) in enumerate(drawn)]
    return rules, {f"m{i}": value for i, (_, value) in enumerate(drawn)}


def built(drawn: Drawn) -> Verdict:
    return verdict(*rules_and_values(drawn))


@settings(deadline=None)
@given(measured_rules)
def test_the_verdict_is_the_critical_rules_and_nothing_else(
    drawn: Drawn,
):
    judged = built(drawn)
    critical = [result for result in judged.rules if result.severity == "critical"]
    assert judged.passed == (bool(critical) and all(result.passed for result in critical))
    failed = sum(not result.passed for result in judged.rules)
    if critical:
        assert len(judged.blocked_by) + len(judged.warnings) == failed


@settings(deadline=None)
@given(measured_rules)
def test_writing_and_reading_a_verdict_changes_nothing(drawn: Drawn):
    judged = built(drawn)
    text = dump_json(judged.to_dict())
    again = Verdict.from_dict(json.loads(text), "verdict.json")
    assert again == judged
    assert dump_json(again.to_dict()) == text


@settings(deadline=None)
@given(measured_rules, st.randoms())
def test_the_verdict_does_not_depend_on_the_order_of_the_rules(drawn: Drawn, random: Random):
    rules, measurements = rules_and_values(drawn)
    shuffled = random.sample(rules, len(rules))
    assert verdict(shuffled, measurements) == verdict(rules, measurements)


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.update(passed=True),
        lambda v: v.update(passed=True, blocked_by=[]),
        lambda v: v["rules"].clear(),
        lambda v: v["rules"][0].update(severity="warning"),
        lambda v: v.pop("table_sha256"),
        lambda v: v.update(rules=None),
        lambda v: v.update(extra=1),
    ],
)
def test_a_verdict_that_was_tampered_with_is_not_believed(change):
    values = json.loads(dump_json(built([("critical", -1.0)]).to_dict()))
    change(values)
    with pytest.raises(BadInput, match=r"verdict\.json"):
        Verdict.from_dict(values, "verdict.json")


def test_the_digest_shows_a_loosened_gate_and_ignores_the_order_of_keys():
    rules = {"collision_rate": RuleParams(max=0.3), "n_eff_share": RuleParams(min=0.5)}
    gate = GateParams(rules=rules)
    assert GateParams(rules=dict(reversed(rules.items()))).digest() == gate.digest()
    loosened = [
        GateParams(rules=rules | {"collision_rate": RuleParams(max=0.31)}),
        GateParams(rules=rules | {"collision_rate": RuleParams(max=0.3, severity="warning")}),
        GateParams(rules={"collision_rate": RuleParams(max=0.3)}),
        GateParams(rules=rules, champion={}),
    ]
    digests = {gate.digest(), *(other.digest() for other in loosened)}
    assert len(digests) == 5
