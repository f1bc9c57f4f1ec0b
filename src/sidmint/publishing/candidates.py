"""Which table may be published, and which of several: the gate's verdict decides, read strictly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sidmint.artifacts import Artifacts
from sidmint.contracts import TOKENIZER_STAGES, describe_metric
from sidmint.errors import BadInput, Refused
from sidmint.execution.engine import Engine, InThisProcess
from sidmint.gate.verdict import Verdict
from sidmint.params import Params
from sidmint.progress import Track, silent
from sidmint.publishing.bundle import Contents, collect_metrics, contents
from sidmint.publishing.judged import changes, table_of
from sidmint.publishing.judging import basis, contradictions
from sidmint.publishing.opening import open_registry
from sidmint.publishing.snapshot import champion_sha256, release_sha256
from sidmint.yaml_files import parse_yaml

_HERE = InThisProcess()
_BUILDING = tuple(stage for stage in TOKENIZER_STAGES if stage != "gate")
"""The gate is left out: whether it judged by today's thresholds, the verdict itself says."""


@dataclass(frozen=True)
class Candidate:
    """One tokenizer's table as it lies in data/build, and why it may not be published."""

    contents: Contents
    judged_against: str | None
    """The champion that the verdict compared with."""
    refusals: tuple[str, ...]
    """What the gate has against it; an override publishes all the same."""
    broken: tuple[str, ...]
    """Why the verdict is not about what is there. No override helps: it must be judged first."""

    @property
    def tokenizer(self) -> str:
        """Its name."""
        return self.contents.tokenizer

    @property
    def table_sha256(self) -> str:
        """Digest of its table."""
        return table_of(self.contents.fingerprints)

    @property
    def verdict_sha256(self) -> str:
        """Digest of the verdict on it."""
        return self.contents.beside["verdict.json"]

    @property
    def params_sha256(self) -> str:
        """Digest of the params.yaml that it would be published with."""
        return self.contents.beside["params.yaml"]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Everything against it; empty: it may be published."""
        return (*self.refusals, *self.broken)


def examine(
    params: Params,
    artifacts: Artifacts,
    tokenizer: str,
    engine: Engine = _HERE,
    track: Track = silent,
) -> Candidate:
    """The candidate of `tokenizer`; `engine` checks the parts of tables that lie in parts.

    `BadInput` if a file that the verdict rests on is missing, or if the verdict contradicts
    itself.
    """
    path = artifacts.layout.stage("gate", tokenizer) / "verdict.json"
    verdict = Verdict.from_dict(artifacts.json("gate", "verdict", tokenizer), str(path))
    found = contents(artifacts, tokenizer, engine, track)
    return Candidate(
        contents=found,
        judged_against=verdict.champion,
        refusals=verdict.blocked_by,
        broken=tuple(_broken(params, artifacts, verdict, found, engine)),
    )


def _broken(
    params: Params, artifacts: Artifacts, verdict: Verdict, found: Contents, engine: Engine
) -> list[str]:
    """Why `verdict` is not one on what is there, under today's parameters and champion."""
    tokenizer = found.tokenizer
    reasons = _outdated(artifacts, tokenizer)
    if verdict.tokenizer != tokenizer:
        reasons.append(
            f"stale verdict: it is on {verdict.tokenizer}; `sidmint run` judges {tokenizer}"
        )
    if verdict.thresholds_sha256 != params.gate.digest():
        reasons.append(
            "stale verdict: the gate section of params.yaml was changed after it; `sidmint run` "
            "judges again"
        )
    if verdict.table_sha256 != table_of(found.fingerprints):
        reasons.append("stale verdict: it judged another table; `sidmint run` judges this one")
    reasons += changes(verdict.artifacts, found.fingerprints)
    store = open_registry(artifacts.layout, params.registry.path)
    champion = store.champion()
    if (champion.version if champion else None) != verdict.champion:
        # Somebody published since, which the store says when the pointer is to move.
        return reasons
    if champion is not None:
        known = release_sha256(store.release(champion.version), champion, engine)
        if known != verdict.champion_sha256 or known != champion_sha256(artifacts.layout, engine):
            reasons.append(
                f"stale verdict: what data/champion.json and data/champion say of "
                f"{champion.version} is not what the registry holds; `sidmint run` brings it from "
                "there and judges again"
            )
    # Without the same files the rules would say the same once more, in numbers.
    return reasons or contradictions(verdict, basis(params, artifacts, tokenizer))


def choose(
    params: Params, artifacts: Artifacts, tokenizer: str | None, overriding: bool
) -> Candidate:
    """`lead` among `examine_asked`: the candidate to publish."""
    return lead(examine_asked(params, artifacts, tokenizer), params, artifacts, overriding)


def examine_asked(
    params: Params,
    artifacts: Artifacts,
    tokenizer: str | None,
    engine: Engine = _HERE,
    track: Track = silent,
) -> tuple[Candidate, ...]:
    """The named tokenizer's candidate, else every one's, sorted by name."""
    known = params.train.tokenizers
    if tokenizer is not None and tokenizer not in known:
        raise BadInput(
            f"unknown tokenizer {tokenizer!r}; train.tokenizers in params.yaml has "
            f"{', '.join(known)}"
        )
    names = sorted(known) if tokenizer is None else [tokenizer]
    return tuple(examine(params, artifacts, name, engine, track) for name in names)


def lead(
    candidates: Sequence[Candidate], params: Params, artifacts: Artifacts, overriding: bool
) -> Candidate:
    """Of `candidates` the passing one that leads on `gate.select_by`.

    Ties go to the name that sorts first. Where none passes, `Refused` with every reason of
    every candidate; when `overriding`, the leader is returned all the same. `Refused` too while
    the verdict on any of them is broken: nobody knows then which of them leads.
    """
    passing = [candidate for candidate in candidates if not candidate.reasons]
    pool = passing or (list(candidates) if overriding else [])
    if not pool or any(candidate.broken for candidate in candidates):
        raise Refused(_explain(candidates))
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


def _outdated(artifacts: Artifacts, tokenizer: str) -> list[str]:
    """Parameters that changed since the stages ran, by dvc.lock.

    Published with them, the release would say that it was made in a way it was not.
    """
    lock_file = artifacts.layout.root / "dvc.lock"
    if not lock_file.is_file():
        return []
    current, lock = (
        parse_yaml(path.read_bytes(), str(path)) for path in (artifacts.layout.params, lock_file)
    )
    stages = lock.get("stages") or {}
    wanted = {"ingest", "embed", "pairs", *(f"{stage}@{tokenizer}" for stage in _BUILDING)}
    reasons = []
    for stage in sorted(wanted & stages.keys()):
        for key, built_with in (_at(stages, stage, "params", "params.yaml") or {}).items():
            if _at(current, *key.split(".")) != built_with:
                reasons.append(
                    f"{key} in params.yaml was changed after {stage} had run; `sidmint run` brings "
                    "it up to date"
                )
    return reasons


def _at(values: Any, *keys: str) -> Any:
    for key in keys:
        values = values.get(key) if isinstance(values, dict) else None
    return values


def _explain(candidates: Sequence[Candidate]) -> str:
    lines = []
    for candidate in candidates:
        if candidate.reasons:
            lines.append(f"{candidate.tokenizer} may not be published:")
            lines += [f"  - {reason}" for reason in candidate.reasons]
    if not all(candidate.reasons for candidate in candidates):
        lines.append("`sidmint publish --tokenizer NAME` publishes the table of another one")
    elif any(not candidate.broken for candidate in candidates):
        lines.append(
            "`sidmint publish --tokenizer NAME --override --reason TEXT --by NAME` publishes all "
            "the same, and says so in the log for ever"
        )
    return "\n".join(lines)
