"""A champion rule whose difference has an interval: four outcomes, each with its words."""

from __future__ import annotations

import json
import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidmint.adapters.gx_gate import decide, judge
from sidmint.errors import BadInput
from sidmint.gate.rules import Champion, Measurements, Paired, Rule, rules_for
from sidmint.gate.thresholds import GateParams
from sidmint.gate.verdict import Verdict, result_of
from sidmint.json_text import dump_json

METRIC = "retention_at_100"
V3 = Champion("v0003", {METRIC: 0.8, "collision_rate": 0.1})
ENDS = {
    "better": (0.01, 0.05),
    "within": (-0.04, 0.02),
    "cannot tell": (-0.101, -0.019),
    "worse": (-0.16, -0.08),
}


def pair(
    low: float,
    high: float,
    metric: str = METRIC,
    cannot_tell: str = "warning",
    severity: str = "critical",
    allowed: float = 0.05,
) -> list[Rule]:
    """The rule that asks whether a loss is shown, and the one that asks whether it is ruled out."""
    thresholds = GateParams.model_validate(
        {
            "rules": {"num_items": {"min": 1}},
            "champion": {metric: {"may_worsen_by": allowed, "severity": severity}},
            "cannot_tell": cannot_tell,
        }
    )
    paired = {metric: Paired(low, high, num_cases=812)}
    return [rule for rule in rules_for(thresholds, 3, V3, paired) if rule.champion]


def verdict(rules: list[Rule], measurements: Measurements) -> Verdict:
    results = [result_of(rule, measurements, rule.holds(measurements)) for rule in rules]
    sound = Rule("num_items", "num_items", "critical", low=1)
    results.append(result_of(sound, {"num_items": 9}, True))
    return Verdict("t", "v0003", "0" * 64, "1" * 64, tuple(results))


@pytest.mark.parametrize(
    ("outcome", "held"),
    [
        ("better", [True, True]),
        ("within", [True, True]),
        ("cannot tell", [True, False]),
        ("worse", [False, False]),
    ],
)
def test_only_a_shown_loss_fails_the_rule_and_only_what_is_ruled_out_surely_holds(
    outcome: str, held: list[bool]
):
    rules = pair(*ENDS[outcome])
    assert [rule.name for rule in rules] == [f"champion.{METRIC}", f"champion.{METRIC}.surely"]
    assert [rule.holds({METRIC: 0.74}) for rule in rules] == held
    assert {rule.outcome({METRIC: 0.74}) for rule in rules} == {outcome}


def test_great_expectations_decides_the_four_outcomes_as_the_definition_does():
    for ends in ENDS.values():
        rules = pair(*ends)
        row = {rule.column: [rule.quantity({METRIC: 0.74})] for rule in rules}
        assert decide(rules, pd.DataFrame(row, dtype="float64")) == {
            rule.name: rule.holds({METRIC: 0.74}) for rule in rules
        }


def test_a_metric_of_which_less_is_better_is_worse_where_it_rose():
    rules = pair(0.08, 0.16, "collision_rate")
    assert [rule.outcome({"collision_rate": 0.2}) for rule in rules] == ["worse", "worse"]
    assert pair(-0.05, -0.01, "collision_rate")[0].outcome({"collision_rate": 0.07}) == "better"


def test_what_cannot_be_told_says_from_how_many_cases():
    judged = verdict(pair(*ENDS["cannot tell"]), {METRIC: 0.74})
    assert judged.passed
    assert judged.warnings == (
        "retention_at_100 0.800 -> 0.740 against champion v0003 (difference -0.1010 to -0.0190 "
        "by its 95 % interval): whether more than the 0.050 allowed was lost cannot be told "
        "from 812 cases",
    )


@pytest.mark.parametrize(
    ("cannot_tell", "severity", "passes"),
    [
        ("warning", "critical", True),
        ("block", "critical", False),
        ("warning", "warning", True),
        ("block", "warning", True),
    ],
)
def test_block_never_makes_a_refusal_of_a_rule_that_only_warns(
    cannot_tell: str, severity: str, passes: bool
):
    rules = pair(*ENDS["cannot tell"], cannot_tell=cannot_tell, severity=severity)
    assert verdict(rules, {METRIC: 0.74}).passed is passes


@pytest.mark.parametrize("cannot_tell", ["warning", "block"])
def test_a_loss_is_told_once(cannot_tell: str):
    judged = verdict(pair(*ENDS["worse"], cannot_tell=cannot_tell), {METRIC: 0.68})
    assert len(judged.blocked_by) == 1
    assert judged.warnings == ()
    assert judged.headline.count("worse by more than the 0.050 allowed") == 1


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_an_interval_does_not_save_a_metric_that_is_no_number(value: float | None):
    rules = pair(*ENDS["better"])
    assert not any(rule.holds({METRIC: value}) for rule in rules)
    assert not any(result.passed for result in judge(rules, {METRIC: value}))
    assert {rule.outcome({METRIC: value}) for rule in rules} == {None}


@pytest.mark.parametrize("ends", [(math.nan, 0.1), (0.01, math.nan), (-math.inf, 0.1)])
def test_an_interval_that_is_none_fails_both_rules(ends: tuple[float, float]):
    rules = pair(*ends)
    assert not any(rule.holds({METRIC: 0.8}) for rule in rules)
    assert all("no finite interval" in result_of(r, {METRIC: 0.8}, False).reason for r in rules)


def test_the_outcome_stands_in_the_verdict_and_only_where_there_is_one():
    judged = verdict(pair(*ENDS["within"]), {METRIC: 0.79})
    stored = json.loads(dump_json(judged.to_dict()))
    assert [rule.get("outcome") for rule in stored["rules"]] == ["within", "within", None]
    assert "outcome" not in stored["rules"][-1]
    assert Verdict.from_dict(stored, "verdict.json") == judged


def test_a_rule_that_passed_for_all_that_it_is_worse_is_not_believed():
    stored = json.loads(dump_json(verdict(pair(*ENDS["within"]), {METRIC: 0.79}).to_dict()))
    stored["rules"][0]["outcome"] = "worse"
    with pytest.raises(BadInput, match="contradicts its own rules"):
        Verdict.from_dict(stored, "verdict.json")


intervals = st.tuples(st.floats(-1, 1), st.floats(-1, 1)).map(sorted)


@given(intervals, st.floats(0, 1))
def test_rules_and_outcome_say_the_same(ends: list[float], allowed: float):
    shown, surely = pair(ends[0], ends[1], allowed=allowed)
    assert shown.holds({METRIC: 0.5}) == (shown.outcome({METRIC: 0.5}) != "worse")
    assert surely.holds({METRIC: 0.5}) == (surely.outcome({METRIC: 0.5}) in ("better", "within"))


@given(intervals, st.floats(0, 1), st.floats(0, 1))
def test_a_better_interval_never_turns_a_pass_into_a_fail(
    ends: list[float], allowed: float, gain: float
):
    moved = pair(ends[0] + gain, ends[1] + gain, allowed=allowed)
    for before, after in zip(pair(ends[0], ends[1], allowed=allowed), moved, strict=True):
        assert after.holds({METRIC: 0.5}) or not before.holds({METRIC: 0.5})
