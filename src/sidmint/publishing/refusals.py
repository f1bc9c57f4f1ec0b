"""Candidates that the gate refused: a line of the log each, without a version.

The line says who asked, every reason, and by which thresholds and parameters: against the
champion's parameters, what was changed. No table is kept: of a refused one its digest is enough
to know it again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import yaml

from sidmint.artifacts import Artifacts
from sidmint.errors import BadInput, Refused, SidmintError
from sidmint.execution.engine import Engine, InThisProcess
from sidmint.gate.thresholds import GateParams
from sidmint.params import Params
from sidmint.progress import Track, silent
from sidmint.publishing.audit import Entry
from sidmint.publishing.candidates import Candidate, examine_asked, lead
from sidmint.publishing.difference import param_changes, published_params
from sidmint.publishing.store import VersionStore

_HERE = InThisProcess()


def consider(
    params: Params,
    artifacts: Artifacts,
    store: VersionStore,
    tokenizer: str | None,
    overriding: bool,
    by: str,
    engine: Engine = _HERE,
    track: Track = silent,
) -> Candidate:
    """As `candidates.choose`, and writes down every candidate that the gate refused.

    The one that an override takes all the same is not refused: its own line tells. A verdict that
    is not about what is there is no refusal either.
    """
    candidates = examine_asked(params, artifacts, tokenizer, engine, track)
    try:
        chosen = lead(candidates, params, artifacts, overriding)
    except Refused as refused:
        try:
            _write_down(candidates, params, artifacts, store, by)
        except SidmintError as error:  # the reasons matter more than that they were not kept
            raise Refused(f"{refused}\nThe log does not tell of it: {error}") from error
        raise
    _write_down([each for each in candidates if each != chosen], params, artifacts, store, by)
    return chosen


def _write_down(
    candidates: Sequence[Candidate],
    params: Params,
    artifacts: Artifacts,
    store: VersionStore,
    by: str,
) -> None:
    for candidate in candidates:
        if not candidate.refusals or candidate.broken:
            continue
        facts = {
            "action": "refuse",
            "by": by,
            "reason": None,
            "tokenizer": candidate.tokenizer,
            "reasons": list(candidate.refusals),
            "judged_against": candidate.judged_against,
            "table_sha256": candidate.table_sha256,
            "verdict_sha256": candidate.verdict_sha256,
            "params_sha256": candidate.params_sha256,
            "thresholds_sha256": params.gate.digest(),
            "thresholds": _plain(_asked(params).model_dump(mode="json")),
            "changed_params": _plain(_changed_params(candidate, artifacts, store)),
        }
        if not _is_known(facts, store.entries()):
            store.note(facts)


def _asked(params: Params) -> GateParams:
    """The thresholds that were applied."""
    return params.gate if params.recommend is not None else params.gate.without_recommender()[0]


def _is_known(facts: dict[str, Any], entries: Sequence[Entry]) -> bool:
    """Whether the same verdict was refused before: asking again is no second refusal."""
    keys = ("tokenizer", "verdict_sha256", "params_sha256", "reasons")
    return any(
        entry["action"] == "refuse" and all(entry.get(key) == facts[key] for key in keys)
        for entry in entries
    )


def _changed_params(
    candidate: Candidate, artifacts: Artifacts, store: VersionStore
) -> dict[str, tuple[Any, Any]]:
    """Parameters that differ from the champion's; without one, all of them."""
    before: Any = {}
    if candidate.judged_against is not None:
        try:
            before = published_params(store.release(candidate.judged_against))
        except BadInput:
            before = {}  # `sidmint verify` says what is damaged; a refusal is told all the same
    return param_changes(before, yaml.safe_load(artifacts.layout.params.read_bytes()) or {})


def _plain(value: Any) -> Any:
    """`value` as the canonical JSON of a log line can hold it: YAML has dates and infinities."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    return value if isinstance(value, float) and math.isfinite(value) else str(value)
