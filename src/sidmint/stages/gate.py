"""Judge a tokenizer's table by the thresholds in params.yaml and against the champion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from sidmint.artifacts import Artifacts
from sidmint.execution.engine import Engine, InThisProcess
from sidmint.gate.rules import Measurements, Rule
from sidmint.gate.verdict import RuleResult, Verdict, complete, json_numbers
from sidmint.params import Params
from sidmint.progress import Track, silent
from sidmint.publishing.judged import fingerprints, table_of
from sidmint.publishing.judging import basis
from sidmint.publishing.snapshot import champion_sha256
from sidmint.types import Outcome

RESULT_VERSION = 5

_HERE = InThisProcess()


class Judge(Protocol):
    """Decides each rule, e.g. `sidmint.adapters.gx_gate.judge`; `docs` takes its display."""

    def __call__(
        self, rules: Sequence[Rule], measurements: Measurements, docs: Path | None, suite: str
    ) -> list[RuleResult]:
        """One result a rule."""
        ...


def gate(
    params: Params,
    artifacts: Artifacts,
    tokenizer: str,
    judge: Judge,
    track: Track = silent,
    engine: Engine = _HERE,
) -> Outcome:
    """Write measurements.json and verdict.json. A refusal is a result, not an error.

    Publishing refuses on it; a stage that failed would leave no trace of the refused table. The
    verdict names the SHA-256 of every file that it is about; `engine` checks parts of tables.
    """
    of = basis(params, artifacts, tokenizer, track)
    results = judge(of.rules, of.measurements, artifacts.layout.data_docs, f"gate_{tokenizer}")
    judged = fingerprints(artifacts, tokenizer, engine, track)
    layout = artifacts.layout
    verdict = Verdict(
        tokenizer=tokenizer,
        champion=of.champion.version if of.champion else None,
        champion_sha256=champion_sha256(layout, engine) if of.champion else None,
        thresholds_sha256=params.gate.digest(),
        table_sha256=table_of(judged),
        artifacts=judged,
        rules=complete(of.rules, of.measurements, results),
        not_applied=of.not_applied,
    )
    with artifacts.writing("gate", tokenizer) as out:
        out.json("measurements", json_numbers(of.measurements))
        out.json("verdict", verdict.to_dict())
    return Outcome(headline=verdict.headline)
