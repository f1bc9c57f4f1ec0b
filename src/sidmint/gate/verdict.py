"""The verdict on one table: every rule with its reason. Publishing believes nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from sidmint.errors import BadInput
from sidmint.gate.reasons import bound_in_words, reason
from sidmint.gate.rules import Measurements, Rule
from sidmint.gate.thresholds import Severity


@dataclass(frozen=True)
class RuleResult:
    """What became of one rule. `value` is None where the metric is missing."""

    name: str
    metric: str
    value: float | str | None
    """A number; "nan", "inf" or "-inf" as text, since JSON has no such numbers."""
    bound: str
    severity: Severity
    passed: bool
    reason: str
    outcome: str | None = None
    """Of a rule with an interval: better, within, worse or cannot tell. Else None, and not in
    the file, so that verdicts of older releases read as they were written."""

    def to_dict(self) -> dict[str, Any]:
        """The result for JSON."""
        values = asdict(self)
        if self.outcome is None:
            del values["outcome"]
        return values


@dataclass(frozen=True)
class Verdict:
    """The results of every rule on one table. Without a critical rule among them, no pass."""

    tokenizer: str
    champion: str | None
    """Version compared with; None where nothing was published yet."""
    thresholds_sha256: str
    """Digest of the gate section of params.yaml: a loosened gate shows."""
    table_sha256: str
    """Digest of the sids.parquet that was judged: the verdict is on these bytes alone."""
    rules: tuple[RuleResult, ...]
    """Sorted by name."""
    not_applied: tuple[str, ...] = ()
    """Relative rules that wait for a champion: neither passed nor failed."""
    champion_sha256: str | None = None
    """Digest of what was known of the champion; None where nothing was published yet."""
    artifacts: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of every file that it rests on, by "stage/file"; none of a table that no run made."""

    @property
    def passed(self) -> bool:
        """Whether the table may be published."""
        return not self.blocked_by

    @property
    def blocked_by(self) -> tuple[str, ...]:
        """Reasons of the critical rules that failed. Warnings never block."""
        if not any(result.severity == "critical" for result in self.rules):
            return ("no critical rule was judged",)
        return self._failed("critical")

    @property
    def warnings(self) -> tuple[str, ...]:
        """Reasons of the other rules that failed, those left out that block already."""
        blocking = self.blocked_by
        return tuple(reason for reason in self._failed("warning") if reason not in blocking)

    @property
    def headline(self) -> str:
        """The verdict in a line: PASSED or REFUSED, and the reasons."""
        if not self.passed:
            text = f"{self.tokenizer} REFUSED: " + "; ".join(self.blocked_by)
        else:
            held = sum(result.passed for result in self.rules)
            text = f"{self.tokenizer} PASSED: {held} of {len(self.rules)} rules hold"
        if self.warnings:
            text += ". Warnings: " + "; ".join(self.warnings)
        return text

    def to_dict(self) -> dict[str, Any]:
        """The verdict for JSON; derived keys (`passed`, `blocked_by`, `warnings`) included."""
        stored = asdict(self)
        stored["rules"] = [result.to_dict() for result in self.rules]
        derived = ("passed", "blocked_by", "warnings")
        values = stored | {name: getattr(self, name) for name in derived}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    def _failed(self, severity: Severity) -> tuple[str, ...]:
        failed = (rule for rule in self.rules if not rule.passed and rule.severity == severity)
        # A loss fails both rules of its metric, with one reason.
        return tuple(dict.fromkeys(rule.reason for rule in failed))

    @staticmethod
    def from_dict(values: Any, where: str) -> Verdict:
        """The verdict that `to_dict` gave. `BadInput` if it is none, or contradicts itself.

        `passed`, `blocked_by` and `warnings` are worked out again from the rules and must
        agree: a file in which somebody changed `passed` alone is not believed.
        """
        try:
            stored = {each.name: values[each.name] for each in fields(Verdict)}
            stored["rules"] = tuple(RuleResult(**result) for result in values["rules"])
            stored["not_applied"] = tuple(stored["not_applied"])
            names = [rule.name for rule in stored["rules"]]
            digests = stored["artifacts"].values()
            if not all(isinstance(text, str) for text in (*names, *digests)):
                raise TypeError("a rule wants a name, and a file its sha256")
            verdict = Verdict(**stored)
            agrees = verdict.to_dict() == values and not any(
                rule.passed and rule.outcome == "worse" for rule in verdict.rules
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise BadInput(f"{where} is no verdict: {error!r}; run the gate again") from error
        if not agrees:
            raise BadInput(f"{where} contradicts its own rules; run the gate again")
        return verdict


def result_of(rule: Rule, measurements: Measurements, confirmed: bool | None) -> RuleResult:
    """The result of `rule`, which passes if it holds by definition and the judge confirms it.

    `confirmed` is what the judge said, None where it said nothing. Two must agree, so that
    neither a defect of ours nor a tool that lets NaN through can publish a table.
    """
    holds = rule.holds(measurements)
    text = reason(rule, measurements)
    if confirmed is None:
        text = f"{text}, but the judge returned no result for this rule"
    elif confirmed != holds:
        text = f"{text}, but the judge says that the rule {'holds' if confirmed else 'fails'}"
    return RuleResult(
        name=rule.name,
        metric=rule.metric,
        value=json_number(measurements.get(rule.metric)),
        bound=bound_in_words(rule),
        severity=rule.severity,
        passed=holds and confirmed is True,
        reason=text,
        outcome=rule.outcome(measurements),
    )


def complete(
    rules: Iterable[Rule], measurements: Measurements, results: Iterable[RuleResult]
) -> tuple[RuleResult, ...]:
    """One result a rule, sorted by name: a rule that the judge left out has failed."""
    given = {result.name: result for result in results}
    return tuple(
        given.get(rule.name) or result_of(rule, measurements, None)
        for rule in sorted(rules, key=lambda rule: rule.name)
    )


def json_number(value: float | None) -> float | str | None:
    """`value` as JSON can hold it: NaN and infinities become "nan", "inf" and "-inf"."""
    return value if value is None or math.isfinite(value) else str(value)


def json_numbers(measurements: Mapping[str, float | None]) -> dict[str, float | str | None]:
    """All measurements as JSON can hold them."""
    return {name: json_number(value) for name, value in measurements.items()}
