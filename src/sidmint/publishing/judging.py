"""What a verdict follows from: the rules of a table, and the numbers that they bound.

The gate asks a judge about them; publish works them out again and believes no verdict that
does not follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sidmint.artifacts import Artifacts
from sidmint.contracts import SemanticIds
from sidmint.errors import BadInput
from sidmint.evaluation.arms import FEWEST_USERS
from sidmint.evaluation.hit_rate_intervals import Answers, hit_rate_differences
from sidmint.gate.rules import Champion, Measurements, Paired, Rule, rules_for, unapplied
from sidmint.gate.thresholds import GateParams
from sidmint.gate.verdict import Verdict, result_of
from sidmint.params import Params
from sidmint.progress import Track, silent
from sidmint.publishing.churn import churn_figures
from sidmint.publishing.judged import MEASURING_STAGES
from sidmint.publishing.snapshot import cases_named, read_cases, read_champion
from sidmint.seeds import generator_for

_ALL_OF_IT = (-1.0, 1.0)
"""The difference of two figures within [0, 1], as HR and NDCG are, when nothing else is known."""


@dataclass(frozen=True)
class Basis:
    """Of one table: every rule that it must keep, and every number that was measured of it."""

    champion: Champion | None
    measurements: Measurements
    rules: tuple[Rule, ...]
    not_applied: tuple[str, ...]
    """Rules that wait for a champion, a recommender, or an interaction log."""


def basis(params: Params, artifacts: Artifacts, tokenizer: str, track: Track = silent) -> Basis:
    """The basis of a verdict on the table of `tokenizer`, by today's params and champion."""
    measurements = measured(artifacts, tokenizer, track)
    champion = read_champion(artifacts.layout)
    paired = _paired(params, artifacts, tokenizer, champion) if champion else {}
    has_no_log = _has_no_log(artifacts, measurements)
    thresholds, left_out = _applicable(params, has_no_log, champion, paired)
    return Basis(
        champion=champion,
        measurements=measurements,
        rules=rules_for(thresholds, _num_levels(artifacts, tokenizer), champion, paired),
        not_applied=(*unapplied(thresholds, champion), *left_out),
    )


def _applicable(
    params: Params, has_no_log: bool, champion: Champion | None, paired: Mapping[str, Paired]
) -> tuple[GateParams, tuple[str, ...]]:
    """The thresholds that this run and this champion can be held to, and those left out, named."""
    thresholds, left_out = params.gate, list[str]()
    if params.recommend is None:
        thresholds, reasons = thresholds.without_recommender()
        left_out += reasons
    if has_no_log:
        thresholds, reasons = thresholds.without_log(champion.metrics if champion else ())
        left_out += reasons
    elif champion is not None and _is_of_content_alone(champion):
        thresholds, reasons = thresholds.beside_champion_without_log(paired)
        left_out += reasons
    return thresholds, tuple(left_out)


def _is_of_content_alone(champion: Champion) -> bool:
    """Whether all of its items were cold: a log, where there is one, leaves some to train on."""
    num_items = champion.metrics.get("num_items")
    return num_items is not None and champion.metrics.get("num_cold_items") == num_items


def _has_no_log(artifacts: Artifacts, measurements: Measurements) -> bool:
    """Whether ingest read a catalogue without interactions; profile.json is among what is judged.

    Without that file, or where somebody was asked all the same, rules on events stay.
    """
    if "num_cases" in measurements or not (artifacts.folder("ingest") / "profile.json").is_file():
        return False
    return bool(artifacts.json("ingest", "profile").get("interactions") == 0)


def contradictions(verdict: Verdict, of: Basis) -> list[str]:
    """Where `verdict` does not follow from `of`, a reason each; empty: it does.

    A result is believed if it is what some answer of a judge makes of the rule: a judge may
    refuse what holds, and can pass nothing that does not.
    """
    stored = {result.name: result for result in verdict.rules}
    wanted = {rule.name: rule for rule in of.rules}
    reasons = [f"the verdict lacks the rule {name}" for name in sorted(wanted.keys() - stored)]
    reasons += [
        f"the verdict has a rule {name}, which params.yaml does not ask for"
        for name in sorted(stored.keys() - wanted)
    ]
    for name in sorted(stored.keys() & wanted):
        possible = [result_of(wanted[name], of.measurements, said) for said in (True, False, None)]
        if stored[name] not in possible:
            reasons.append(
                f'the verdict says of {name}: "{stored[name].reason}"; the measurements give: '
                f'"{possible[0].reason}"'
            )
    if len(stored) != len(verdict.rules) or verdict.not_applied != of.not_applied:
        reasons.append("the verdict does not list each rule once, judged or waiting")
    return [f"{reason}; `sidmint run` judges again" for reason in reasons]


def measured(artifacts: Artifacts, tokenizer: str, track: Track = silent) -> Measurements:
    """The metrics of every stage that measures, and churn where there is a champion.

    One name for two values is `BadInput`.
    """
    found: dict[str, float | None] = {}
    origin: dict[str, str] = {}
    for stage in track(MEASURING_STAGES, "measurements"):
        for name, value in artifacts.metrics(stage, tokenizer).items():
            if name in found and found[name] != value:
                raise BadInput(
                    f"{name} of {tokenizer} is {found[name]} by {origin[name]} and {value} by "
                    f"{stage}; `sidmint run` brings every stage up to date"
                )
            found[name] = value
            origin[name] = stage
    return found | churn_figures(artifacts, tokenizer)


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
        answered = artifacts.table("evaluate", "cases", tokenizer)
        num_items = artifacts.num_items()
        cases = cases_named(answered, num_items, artifacts.item_ids_in)
        differences = hit_rate_differences(
            Answers(cases, num_items),
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


def _num_levels(artifacts: Artifacts, tokenizer: str) -> int:
    columns = artifacts.scan("assign", "sids", tokenizer).collect_schema().names()
    level = 0
    while SemanticIds.code(level + 1) in columns:
        level += 1
    return level
