"""report: what the run measured, as one HTML page that a person can read and keep."""

from __future__ import annotations

import polars as pl

from sidmint.artifacts import Artifacts
from sidmint.contracts import TOKENIZER_STAGES, Items
from sidmint.errors import BadInput
from sidmint.evaluation.hit_rate_intervals import Answers
from sidmint.gate.rules import Champion
from sidmint.gate.verdict import Verdict
from sidmint.params import Params
from sidmint.progress import Track, silent
from sidmint.publishing.churn import churn_figures
from sidmint.publishing.snapshot import cases_by_id, read_cases, read_champion, read_history
from sidmint.reporting.page import render
from sidmint.reporting.run import Candidate, PastVersion, Run
from sidmint.types import Outcome

RESULT_VERSION = 4

PAGE = "report.html"


def report(params: Params, artifacts: Artifacts, track: Track = silent) -> Outcome:
    """Write report.html: one file, self-contained, the same bytes for the same run."""
    page = render(read_run(params, artifacts), track)
    with artifacts.writing("report") as out:
        out.text(PAGE, page)
    path = (artifacts.layout.stage("report") / PAGE).relative_to(artifacts.layout.root)
    return Outcome(f"{path} ({len(page.encode()) / 1e6:.1f} MB)")


def read_run(params: Params, artifacts: Artifacts) -> Run:
    """Everything the page shows. `BadInput` names the stage that has not run."""
    columns = (Items.ITEM_ID, Items.TITLE, Items.COLD, Items.STANDING)
    items, champion = artifacts.items(*columns), read_champion(artifacts.layout)
    return Run(
        title=params.report.title,
        seed=params.seed,
        select_by=params.gate.select_by,
        bucket_titles=params.report.bucket_titles,
        items=items,
        profile=artifacts.json("ingest", "profile"),
        checks=artifacts.json("ingest", "checks"),
        champion=champion,
        champion_answers=_champion_answers(artifacts, champion),
        history=_history(artifacts),
        candidates=tuple(_candidate(artifacts, name, items) for name in params.train.tokenizers),
        sources=_sources(artifacts),
    )


def _sources(artifacts: Artifacts) -> pl.DataFrame | None:
    """What embed measured of `embed.sources`, where it joined some."""
    there = (artifacts.layout.stage("embed") / "sources.parquet").is_file()
    return artifacts.table("embed", "sources") if there else None


def _candidate(artifacts: Artifacts, name: str, items: pl.DataFrame) -> Candidate:
    metrics: dict[str, float] = {}
    for stage in TOKENIZER_STAGES:
        if stage != "gate":
            metrics |= artifacts.metrics(stage, name)
    metrics |= churn_figures(artifacts, name)
    verdict = artifacts.json("gate", "verdict", name)
    return Candidate(
        name=name,
        verdict=Verdict.from_dict(verdict, f"verdict.json of {name}"),
        metrics=metrics,
        collisions=artifacts.json("assign", "collisions", name),
        curve=artifacts.table("train", "curve", name),
        usage=artifacts.table("diagnose", "usage", name),
        overlap=artifacts.table("diagnose", "overlap", name),
        levels=artifacts.table("diagnose", "levels", name),
        robustness=_robustness(artifacts, name),
        spectrum=artifacts.table("diagnose", "spectrum", name),
        buckets=artifacts.table("diagnose", "buckets", name),
        hit_rates=artifacts.table("evaluate", "hit_rates", name),
        answers=Answers(
            cases_by_id(artifacts.table("evaluate", "cases", name), items[Items.ITEM_ID]),
            len(items),
        ),
        segments=artifacts.table("segments", "segments", name),
        recommended=_optional(artifacts, "recommended", name),
        comparison=_optional(artifacts, "comparison", name),
        codes=artifacts.table("assign", "codes", name),
        sids=artifacts.table("assign", "sids", name),
    )


def _optional(artifacts: Artifacts, table: str, name: str) -> pl.DataFrame | None:
    """A table of segments that is there only where a recommender was trained."""
    if not (artifacts.folder("segments", name) / f"{table}.parquet").is_file():
        return None
    return artifacts.table("segments", table, name)


def _robustness(artifacts: Artifacts, name: str) -> pl.DataFrame | None:
    if not (artifacts.folder("diagnose", name) / "robustness.parquet").is_file():
        return None
    table = artifacts.table("diagnose", "robustness", name)
    return None if table.is_empty() else table


def _champion_answers(artifacts: Artifacts, champion: Champion | None) -> Answers | None:
    cases = read_cases(artifacts.layout, champion.version) if champion else None
    return Answers(cases.table, cases.num_items) if cases else None


def _history(artifacts: Artifacts) -> tuple[PastVersion, ...] | None:
    versions = read_history(artifacts.layout)
    if versions is None:
        return None
    try:
        return tuple(PastVersion(**version) for version in versions)
    except TypeError as error:
        raise BadInput(
            f"{artifacts.layout.champion_folder} holds a history of another form ({error}); "
            "`sidmint run` brings it from the registry"
        ) from error
