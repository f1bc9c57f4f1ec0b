"""Great Expectations as judge: whatever is not a number in bounds fails, for every kind of rule.

One validation of Great Expectations serves all cases: each case is a rule on a column of
its own.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import pandas as pd
import pytest

from sidmint.adapters import gx_gate
from sidmint.adapters.gx_gate import decide, judge
from sidmint.gate.rules import Comparison, Rule
from sidmint.gate.verdict import complete

KINDS = {
    "min": {"low": 0.2},
    "max": {"high": 0.4},
    "min and max": {"low": 0.2, "high": 0.4},
    "champion, higher is better": {"high": 0.05, "champion": Comparison("v0001", 0.3, "higher")},
    "champion, lower is better": {"high": 0.05, "champion": Comparison("v0001", 0.3, "lower")},
}
NUMBERS = {
    "within": 0.3,
    "too low": -5.0,
    "too high": 5.0,
    "at 0.2": 0.2,
    "at 0.4": 0.4,
    "at 0.35": 0.35,
    "at 0.25": 0.25,
}
BAD = {"NaN": math.nan, "inf": math.inf, "-inf": -math.inf, "None": None, "absent": None}


def rule(kind: str, metric: str, severity: str = "critical") -> Rule:
    return Rule(metric, metric, severity, **KINDS[kind])  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def judged() -> dict[tuple[str, str], bool]:
    """What Great Expectations alone says to each kind of rule on each value."""
    cases = {(kind, word): f"{kind}: {word}" for kind in KINDS for word in NUMBERS | BAD}
    rules = [rule(kind, metric) for (kind, _), metric in cases.items()]
    values = {metric: (NUMBERS | BAD)[word] for (_, word), metric in cases.items()}
    row = {r.column: [r.quantity(values)] for r in rules if not r.metric.endswith(": absent")}
    decided = decide(rules, pd.DataFrame(row, dtype="float64"))
    return {case: decided[metric] for case, metric in cases.items()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("word", BAD)
def test_what_is_no_finite_number_fails(judged, kind: str, word: str):
    assert judged[kind, word] is False


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("word", NUMBERS)
def test_great_expectations_agrees_with_the_definition_of_a_rule(judged, kind: str, word: str):
    assert judged[kind, word] is rule(kind, "m").holds({"m": NUMBERS[word]})
    assert judged[kind, "within"] is True


@pytest.mark.parametrize("better", ["higher", "lower"])
@pytest.mark.parametrize(
    "before", [math.nan, math.inf, -math.inf, None], ids=["NaN", "inf", "-inf", "None"]
)
def test_a_champion_without_a_finite_number_fails(
    better: Literal["higher", "lower"], before: float | None
):
    compared = Rule("r", "m", "critical", high=0.05, champion=Comparison("v1", before, better))
    row = {compared.column: [compared.quantity({"m": 0.3})]}
    assert decide([compared], pd.DataFrame(row, dtype="float64")) == {"r": False}


@pytest.mark.parametrize("num_rows", [0, 2])
def test_any_but_one_row_of_measurements_fails_every_rule(num_rows: int):
    rules = [rule(kind, kind) for kind in KINDS]
    table = pd.DataFrame({r.column: [0.3] * num_rows for r in rules}, dtype="float64")
    assert decide(rules, table) == dict.fromkeys(KINDS, False)


def test_nothing_measured_fails_every_rule_and_says_what_is_missing():
    results = judge([rule(kind, kind) for kind in KINDS], {})
    assert [r.passed for r in results] == [False] * len(KINDS)
    assert [r.reason for r in results] == [f"{kind} is missing" for kind in KINDS]
    assert [r.value for r in results] == [None] * len(KINDS)


def test_severity_does_not_change_the_answer():
    results = judge([rule("min", "m", "warning")], {"m": 0.1})
    assert [(r.passed, r.severity) for r in results] == [(False, "warning")]


def test_a_judge_that_lets_nan_through_does_not_pass_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gx_gate, "decide", lambda rules, *_: {r.name: True for r in rules})
    (result,) = judge([rule("min", "m")], {"m": math.nan})
    assert not result.passed
    assert (result.value, "but the judge says" in result.reason) == ("nan", True)


def test_a_rule_that_the_judge_left_out_has_failed():
    rules = [rule("min", "a"), rule("min", "b")]
    measurements = {"a": 0.3, "b": 0.3}
    from_a = judge(rules[:1], measurements)
    results = complete(rules, measurements, from_a)
    assert [(r.name, r.passed) for r in results] == [("a", True), ("b", False)]
    assert "no result" in results[1].reason


def test_data_docs_are_static_html_and_do_not_grow_when_nothing_changed(tmp_path: Path):
    docs = tmp_path / "great_expectations"
    rules = [rule("min", "m")]
    for _ in range(2):
        judge(rules, {"m": 0.3}, docs, "gate_a")
    (page,) = docs.rglob("validations/gate_a/**/*.html")
    assert "expect" in page.read_text(encoding="utf-8").lower()
    assert len(list(docs.rglob("index.html"))) == 1
    judge(rules, {"m": 0.1}, docs, "gate_a")
    assert len(list(docs.rglob("validations/gate_a/**/*.html"))) == 2
