"""What the report does when an artefact is missing, broken, or not of this catalogue."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from report_world import add_champion, forget, make_run
from sidmint.errors import BadInput
from sidmint.reporting.tree import browser_data
from sidmint.stages.report import report


@pytest.mark.parametrize(
    ("stage", "filename"),
    [
        ("diagnose", "usage.parquet"),
        ("evaluate", "hit_rates.parquet"),
        ("evaluate", "cases.parquet"),
        ("segments", "segments.parquet"),
        ("gate", "verdict.json"),
        ("assign", "sids.parquet"),
        ("train", "curve.parquet"),
    ],
)
def test_a_missing_artefact_names_its_stage(tmp_path: Path, stage: str, filename: str) -> None:
    params, artifacts = make_run(tmp_path, tokenizers=("rq_kmeans",))
    forget(artifacts, stage, filename, "rq_kmeans")
    with pytest.raises(BadInput, match=rf"{filename} is not there: stage '{stage}' has not run"):
        report(params, artifacts)


def test_a_failed_report_leaves_the_last_one_in_place(tmp_path: Path) -> None:
    params, artifacts = make_run(tmp_path, tokenizers=("rq_kmeans",))
    page = artifacts.layout.stage("report") / "report.html"
    page.parent.mkdir(parents=True)
    page.write_text("the last report")
    sids = artifacts.table("assign", "sids", "rq_kmeans")
    with artifacts.writing("assign", "rq_kmeans") as out:
        out.table("sids", sids.reverse())
        out.table("codes", sids.select("item_id", "code_1"))
        out.json("collisions", {"before": {}, "after": {}, "policy": "suffix"})
        out.metrics({"collision_rate": 0.1, "collided_item_rate": 0.1})
    with pytest.raises(BadInput, match="does not list the items of the catalogue in their order"):
        report(params, artifacts)
    assert page.read_text() == "the last report"
    assert [path.name for path in page.parent.parent.glob(".*")] == []


def test_a_semantic_id_that_is_not_made_of_its_codes_is_refused(tmp_path: Path) -> None:
    _, artifacts = make_run(tmp_path, tokenizers=("rq_kmeans",))
    sids = artifacts.table("assign", "sids", "rq_kmeans")
    broken = sids.with_columns(("x" + pl.col("semantic_id")).alias("semantic_id"))
    with pytest.raises(BadInput, match="wanted to begin with its codes"):
        browser_data(artifacts.items(), {"rq_kmeans": broken})


@pytest.mark.parametrize(
    "text", ["", "[1]", '{"version": "v1"}', '{"version": "v1", "metrics": 3}']
)
def test_a_broken_champion_snapshot_is_named(tmp_path: Path, text: str) -> None:
    params, artifacts = make_run(tmp_path, tokenizers=("rq_kmeans",))
    artifacts.layout.champion.write_text(text)
    with pytest.raises(BadInput, match=r"champion\.json is"):
        report(params, artifacts)


def test_cases_of_an_evaluation_that_did_not_write_users_are_refused(tmp_path: Path) -> None:
    params, artifacts = make_run(tmp_path, tokenizers=("rq_kmeans",))
    path = artifacts.layout.stage("evaluate", "rq_kmeans") / "cases.parquet"
    pl.read_parquet(path).drop("user_id").write_parquet(path)
    with pytest.raises(BadInput, match=r"wants a column user_id .* `sidmint run` evaluates again"):
        report(params, artifacts)


def test_a_history_of_another_form_is_named(tmp_path: Path) -> None:
    params, artifacts = make_run(tmp_path, tokenizers=("rq_kmeans",))
    add_champion(artifacts)
    path = artifacts.layout.champion_folder / "history.json"
    path.write_text('[{"version": "v0001"}]')
    with pytest.raises(BadInput, match="history of another form"):
        report(params, artifacts)


def test_a_run_without_a_cutoff_cannot_be_reported(tmp_path: Path) -> None:
    params, artifacts = make_run(tmp_path, tokenizers=("rq_kmeans",))
    path = artifacts.layout.stage("evaluate", "rq_kmeans") / "hit_rates.parquet"
    pl.read_parquet(path).head(0).write_parquet(path)
    with pytest.raises(BadInput, match=r"evaluate\.cutoffs"):
        report(params, artifacts)


def test_a_verdict_whose_answer_was_changed_by_hand_is_not_believed(tmp_path: Path) -> None:
    params, artifacts = make_run(tmp_path, tokenizers=("rq_vae",))
    path = artifacts.layout.stage("gate", "rq_vae") / "verdict.json"
    path.write_text(
        path.read_text().replace('"passed": false,\n  "rules"', '"passed": true,\n  "rules"')
    )
    with pytest.raises(BadInput, match="contradicts its own rules"):
        report(params, artifacts)
