"""Judge a tokenizer's table by the thresholds in params.yaml and against the champion."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from sidmint.artifacts import Artifacts
from sidmint.contracts import Items, SemanticIds
from sidmint.errors import BadInput
from sidmint.evaluation.arms import FEWEST_USERS
from sidmint.gate.rules import Champion, Measurements, Paired, Rule, rules_for, unapplied
from sidmint.gate.thresholds import GateParams
from sidmint.gate.verdict import RuleResult, Verdict, complete, json_numbers
from sidmint.params import Params
from sidmint.progress import Track, silent
from sidmint.publishing.files import digest
from sidmint.publishing.snapshot import cases_by_id, read_cases
from sidmint.reporting.intervals import Answers, hit_rate_differences
from sidmint.seeds import generator_for
from sidmint.types import Outcome

RESULT_VERSION = 3

_ALL_OF_IT = (-1.0, 1.0)
"""The difference of two figures within [0, 1], as HR and NDCG are, when nothing else is known."""

MEASURED_BY = ("assign", "diagnose", "evaluate", "recommend", "segments")


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

    Publishing refuses on it; a stage that failed would leave no trace of the refused table.
    """
    measurements = _measurements(artifacts, tokenizer, track)
    champion = _champion(artifacts.layout.champion)
    paired = _paired(params, artifacts, tokenizer, champion) if champion else {}
    thresholds: GateParams = params.gate
    left_out: tuple[str, ...] = ()
    if params.recommend is None:
        thresholds, left_out = params.gate.without_recommender()
    rules = rules_for(thresholds, _num_levels(artifacts, tokenizer), champion, paired)
    results = judge(rules, measurements, artifacts.layout.data_docs, f"gate_{tokenizer}")
    verdict = Verdict(
        tokenizer=tokenizer,
        champion=champion.version if champion else None,
        thresholds_sha256=params.gate.digest(),
        table_sha256=digest(artifacts.folder("assign", tokenizer) / "sids.parquet"),
        rules=complete(rules, measurements, results),
        not_applied=(*unapplied(thresholds, champion), *left_out),
    )
    with artifacts.writing("gate", tokenizer) as out:
        out.json("measurements", json_numbers(measurements))
        out.json("verdict", verdict.to_dict())
    return Outcome(headline=verdict.headline)


def _measurements(artifacts: Artifacts, tokenizer: str, track: Track) -> dict[str, float | None]:
    """The metrics of every stage that measures. One name for two values is an error."""
    found: dict[str, float | None] = {}
    origin: dict[str, str] = {}
    for stage in track(MEASURED_BY, "measurements"):
        for name, value in artifacts.metrics(stage, tokenizer).items():
            if name in found and found[name] != value:
                raise BadInput(
                    f"{name} of {tokenizer} is {found[name]} by {origin[name]} and {value} by "
                    f"{stage}; `sidmint run` brings every stage up to date"
                )
            found[name] = value
            origin[name] = stage
    return found


def _paired(
    params: Params, artifacts: Artifacts, tokenizer: str, champion: Champion
) -> dict[str, Paired]:
    """Differences to the champion that have an interval, by metric.

    Hit rates and retention over the held-out cases that both answered; the recommender's figures
    from the champion's table under today's settings, seeds and cases. Figures of the whole
    table (collisions, N_eff, utilization) count every item there is: they have no sampling
    error, and are compared as they stand. To draw items with replacement would make copies,
    and copies collide.

    Fewer than `FEWEST_USERS` bound nothing: published hit rates and retention are then
    compared as they stand, and of the recommender's figures nothing can be told.
    """
    found: dict[str, Paired] = {}
    answers = read_cases(artifacts.layout, champion.version)
    if answers is not None:
        item_ids = artifacts.items()[Items.ITEM_ID]
        cases = cases_by_id(artifacts.table("evaluate", "cases", tokenizer), item_ids)
        differences = hit_rate_differences(
            Answers(cases, len(item_ids)),
            Answers(answers.table, answers.num_items),
            params.evaluate.cutoffs,
            generator_for(params.seed, "gate", "hit rates"),
        )
        believed = differences.num_users >= FEWEST_USERS
        for name, difference in differences.by_metric.items() if believed else ():
            found[name] = Paired(difference.low, difference.high, num_cases=differences.num_shared)
    if (artifacts.folder("segments", tokenizer) / "comparison.parquet").is_file():
        compared = artifacts.table("segments", "comparison", tokenizer)
        for row in compared.filter(compared["num_users"] > 0).iter_rows(named=True):
            suffix = "" if row["segment"] == "all" else f"_{row['segment']}"
            believed = row["num_users"] >= FEWEST_USERS
            low, high = (row["low"], row["high"]) if believed else _ALL_OF_IT
            found[f"recommend_{row['metric']}{suffix}"] = Paired(
                low, high, row["champion"], row["num_cases"]
            )
    return found


def _champion(path: Path) -> Champion | None:
    try:
        snapshot: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInput(f"{path} is not there; `sidmint run` writes it from the registry") from error
    except ValueError as error:
        raise BadInput(f"{path} is not valid JSON: {error}") from error
    return Champion.parse(snapshot, str(path))


def _num_levels(artifacts: Artifacts, tokenizer: str) -> int:
    columns = artifacts.table("assign", "sids", tokenizer).columns
    level = 0
    while SemanticIds.code(level + 1) in columns:
        level += 1
    return level
