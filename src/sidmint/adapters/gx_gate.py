"""Great Expectations as the judge of the gate: one row of measurements, one column a quantity."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sidmint.adapters.gx_suites import Claim, ask
from sidmint.gate.rules import Measurements, Rule
from sidmint.gate.verdict import RuleResult, result_of

if TYPE_CHECKING:
    import pandas as pd

_FINITE = 1e300
"""Guard on the side that a rule leaves open: infinity lies beyond it, no measurement does."""

_ONE_ROW = "one row of measurements"


def judge(
    rules: Sequence[Rule],
    measurements: Measurements,
    docs: Path | None = None,
    suite: str = "gate",
) -> list[RuleResult]:
    """One result a rule, in the order of `rules`; `docs` is where Data Docs go, if anywhere.

    A rule whose metric is missing, None, NaN or infinite fails, whatever it bounds.
    """
    import pandas as pd

    row = {rule.column: [rule.quantity(measurements)] for rule in rules}
    table = pd.DataFrame(row, index=[0], dtype="float64")
    decided = decide(rules, table, docs, suite)
    return [result_of(rule, measurements, decided[rule.name]) for rule in rules]


def decide(
    rules: Sequence[Rule], table: pd.DataFrame, docs: Path | None = None, suite: str = "gate"
) -> dict[str, bool]:
    """Which rules Great Expectations confirms on `table`, by name: on any but one row, none.

    ExpectColumnValuesToBeBetween must not be used here: it passes on NaN, on None and on a
    table without rows. The aggregates (maximum, minimum) fail on all three.
    """
    claims = [Claim(_ONE_ROW, "ExpectTableRowCountToEqual", {"value": 1})]
    for rule in rules:
        claims += _claims(rule)
    answers = ask(suite, table, claims, docs)
    return {rule.name: answers[_ONE_ROW].holds and answers[rule.name].holds for rule in rules}


def _claims(rule: Rule) -> list[Claim]:
    """Present, and within finite bounds on both sides.

    The bounds alone would fail a missing value too; asked apart, the Data Docs say which it was.
    """
    low = -_FINITE if rule.low is None else rule.low
    high = _FINITE if rule.high is None else rule.high
    bounded = {"column": rule.column, "min_value": low, "max_value": high}
    present = Claim(
        rule.name, "ExpectColumnValuesToNotBeNull", {"column": rule.column}, rule.severity
    )
    claims = [present]
    if rule.low is not None:
        claims.append(Claim(rule.name, "ExpectColumnMinToBeBetween", bounded, rule.severity))
    if rule.high is not None or rule.low is None:
        claims.append(Claim(rule.name, "ExpectColumnMaxToBeBetween", bounded, rule.severity))
    return claims
