"""Judge a tokenizer's table by the thresholds in params.yaml and against the champion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from sidmint.artifacts import Artifacts
from sidmint.gate.rules import Measurements, Rule
from sidmint.gate.verdict import RuleResult, Verdict, complete, json_numbers
from sidmint.params import Params
from sidmint.progress import Track, silent
from sidmint.publishing.judged import fingerprints
from sidmint.publishing.judging import basis
from sidmint.publishing.snapshot import champion_sha256
from sidmint.types import Outcome

RESULT_VERSION = 5


class Judge(Protocol):
    """Decides each rule, e.g. `sidmint.adapters.gx_gate.judge`; `docs` takes its display."""

    def __call__(
        self, rules: Sequence[Rule], measurements: Measurements, docs: Path | None, suite: str
    ) -> list[RuleResult]:
        """One result a rule."""
        ...


def gate(
    params: Params, artifacts: Artifacts, tokenizer: str, judge: Judge, track: Track = silent
) -> Outcome:
    """Write measurements.json and verdict.json. A refusal is a result, not an error.

    Publishing refuses on it; a stage that failed would leave no trace of the refused table. The
    verdict names the SHA-256 of every file that it is about.
    """
    of = basis(params, artifacts, tokenizer, track)
    results = judge(of.rules, of.measurements, artifacts.layout.data_docs, f"gate_{tokenizer}")
    judged = fingerprints(artifacts, tokenizer)
    verdict = Verdict(
        tokenizer=tokenizer,
        champion=of.champion.version if of.champion else None,
        champion_sha256=champion_sha256(artifacts.layout) if of.champion else None,
        thresholds_sha256=params.gate.digest(),
        table_sha256=judged["assign/sids.parquet"],
        artifacts=judged,
        rules=complete(of.rules, of.measurements, results),
        not_applied=of.not_applied,
    )
    with artifacts.writing("gate", tokenizer) as out:
        out.json("measurements", json_numbers(of.measurements))
        out.json("verdict", verdict.to_dict())
    return Outcome(headline=verdict.headline)
