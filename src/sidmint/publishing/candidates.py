"""Which table may be published, and which of several: the gate's verdict decides, read strictly."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import yaml

from sidmint.artifacts import Artifacts
from sidmint.contracts import TOKENIZER_STAGES, describe_metric
from sidmint.errors import BadInput, Refused
from sidmint.gate.verdict import Verdict
from sidmint.params import Params
from sidmint.publishing.bundle import collect_metrics
from sidmint.publishing.files import digest

_BUILDING = tuple(stage for stage in TOKENIZER_STAGES if stage != "gate")
"""The gate is left out: whether it judged by today's thresholds, the verdict itself says."""


@dataclass(frozen=True)
class Candidate:
    """One tokenizer's table as it lies in data/build, and why it may not be published."""

    tokenizer: str
    table_sha256: str
    verdict_sha256: str
    judged_against: str | None
    """The champion that the verdict compared with."""
    refusals: tuple[str, ...]
    """Empty: it may be published."""


def examine(params: Params, artifacts: Artifacts, tokenizer: str) -> Candidate:
    """The candidate of `tokenizer`.

    `BadInput` if its table or its verdict is missing, or if the verdict contradicts itself.
    """
    table = artifacts.folder("assign", tokenizer) / "sids.parquet"
    if not table.is_file():
        raise BadInput(f"{table} is not there; `sidmint run` brings every stage up to date")
    path = artifacts.folder("gate", tokenizer) / "verdict.json"
    verdict = Verdict.from_dict(artifacts.json("gate", "verdict", tokenizer), str(path))
    table_sha256 = digest(table)
    stale = _outdated(artifacts, tokenizer)
    if verdict.table_sha256 != table_sha256 or verdict.tokenizer != tokenizer:
        stale.append("stale verdict: it judged another table; `sidmint run` judges this one")
    if verdict.thresholds_sha256 != params.gate.digest():
        stale.append(
            "stale verdict: the gate section of params.yaml was changed after it; `sidmint run` "
            "judges again"
        )
    return Candidate(
        tokenizer=tokenizer,
        table_sha256=table_sha256,
        verdict_sha256=digest(path),
        judged_against=verdict.champion,
        refusals=(*verdict.blocked_by, *_not_computed(verdict), *stale),
    )


def choose(
    params: Params, artifacts: Artifacts, tokenizer: str | None, overriding: bool
) -> Candidate:
    """The named tokenizer's candidate, else the passing one that leads on `gate.select_by`.

    Ties go to the name that sorts first. Where none passes, `Refused` with every reason of
    every candidate; when `overriding`, the leader is returned all the same.
    """
    known = params.train.tokenizers
    if tokenizer is not None and tokenizer not in known:
        raise BadInput(
            f"unknown tokenizer {tokenizer!r}; train.tokenizers in params.yaml has "
            f"{', '.join(known)}"
        )
    if tokenizer is not None:
        candidates = [examine(params, artifacts, tokenizer)]
    else:
        candidates = [examine(params, artifacts, name) for name in sorted(known)]
    passing = [candidate for candidate in candidates if not candidate.refusals]
    if not passing and not overriding:
        raise Refused(_explain(candidates))
    pool = passing or candidates
    if len(pool) == 1:
        return pool[0]
    return _leader(pool, artifacts, params.gate.select_by)


def _leader(pool: list[Candidate], artifacts: Artifacts, select_by: str) -> Candidate:
    better = describe_metric(select_by).better
    if better is None:
        raise BadInput(
            f"gate.select_by is {select_by}, of which neither more nor less is better; name "
            "another, or publish with --tokenizer"
        )
    values = {}
    for candidate in pool:
        metrics = collect_metrics(artifacts, candidate.tokenizer)
        if select_by not in metrics:
            raise BadInput(
                f"gate.select_by is {select_by}, which was not measured for {candidate.tokenizer}; "
                "name another, or publish with --tokenizer"
            )
        values[candidate.tokenizer] = metrics[select_by]
    sign = -1.0 if better == "higher" else 1.0
    return min(
        pool, key=lambda candidate: (sign * values[candidate.tokenizer], candidate.tokenizer)
    )


def _not_computed(verdict: Verdict) -> list[str]:
    """Critical rules said to hold of what is no finite number: such a metric never passes."""
    return [
        f"{rule.name} is said to hold, but its value is {rule.value!r}"
        for rule in verdict.rules
        if rule.severity == "critical" and rule.passed and not _is_finite(rule.value)
    ]


def _is_finite(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)  # type: ignore[arg-type]


def _outdated(artifacts: Artifacts, tokenizer: str) -> list[str]:
    """Parameters that changed since the stages ran, by dvc.lock.

    Published with them, the release would say that it was made in a way it was not.
    """
    lock_file = artifacts.layout.root / "dvc.lock"
    if not lock_file.is_file():
        return []
    current = yaml.safe_load(artifacts.layout.params.read_text(encoding="utf-8")) or {}
    stages = (yaml.safe_load(lock_file.read_text(encoding="utf-8")) or {}).get("stages", {})
    wanted = {"ingest", "embed", "pairs", *(f"{stage}@{tokenizer}" for stage in _BUILDING)}
    reasons = []
    for stage in sorted(wanted & stages.keys()):
        for key, built_with in stages[stage].get("params", {}).get("params.yaml", {}).items():
            if _at(current, key) != built_with:
                reasons.append(
                    f"{key} in params.yaml was changed after {stage} had run; `sidmint run` brings "
                    "it up to date"
                )
    return reasons


def _at(values: Any, dotted: str) -> Any:
    for part in dotted.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def _explain(candidates: list[Candidate]) -> str:
    lines = []
    for candidate in candidates:
        lines.append(f"{candidate.tokenizer} may not be published:")
        lines += [f"  - {reason}" for reason in candidate.refusals]
    lines.append(
        "`sidmint publish --tokenizer NAME --override --reason TEXT --by NAME` publishes all the "
        "same, and says so in the log for ever"
    )
    return "\n".join(lines)
