"""Metrics over versions, noise, and what each level adds: the figures of one page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from html_page import Page
from report_world import beside_champion, make_run
from sidmint.artifacts import Artifacts
from sidmint.params import Params
from sidmint.reporting.history import history
from sidmint.reporting.level_figures import robustness_curves, what_levels_add
from sidmint.reporting.page import render
from sidmint.reporting.run import Run
from sidmint.reporting.tables import NOTHING
from sidmint.stages.report import read_run


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Params, Artifacts]:
    return make_run(tmp_path_factory.mktemp("history"))


@pytest.fixture(scope="module")
def run(world: tuple[Params, Artifacts]) -> Run:
    return read_run(*world)


def test_before_the_first_release_the_history_is_empty(run: Run) -> None:
    told = history(run, 100)
    assert told.chart is None
    assert told.table.rows == []
    assert told.words.startswith("Nothing is published yet")


def test_a_clone_without_the_file_says_where_it_comes_from(run: Run) -> None:
    clone = replace(beside_champion(run), history=None)
    assert "`sidmint run` brings it" in history(clone, 100).words


@pytest.mark.parametrize("number", [1, 2, 30])
def test_every_version_has_a_row_newest_first_and_a_mark_in_each_panel(
    run: Run, number: int
) -> None:
    told = history(beside_champion(run, num_versions=number), 100)
    versions = [f"v{n:04d}" for n in range(number, 0, -1)]
    assert [row[0] for row in told.table.rows] == versions
    assert told.chart is not None
    assert [panel.title for panel in told.chart.panels] == [
        "collision_rate ↓", "conflict_rate ↓", "n_eff_share ↑", "lowest perplexity_share ↑",
        "retention_at_100 ↑", "cold_coverage ↑",
    ]  # fmt: skip
    for panel in told.chart.panels:
        values = panel.svg.partition("version by version: ")[2].partition(";")[0]
        assert len(values.split(", ")) == number
        assert ">v0001</text>" in panel.svg
        assert ">this run</text>" in panel.svg
        assert "var(--series-1)" in panel.svg
        assert "var(--series-2)" in panel.svg
    assert told.words.startswith(f"{number} version{'s' if number > 1 else ''} so far")


def test_overrides_and_rollbacks_are_marked(run: Run) -> None:
    told = history(beside_champion(run, num_versions=5), 100)
    assert [row[3] for row in told.table.rows] == [
        "champion", "replaced", "rolled back", "by override", "replaced",
    ]  # fmt: skip
    assert told.chart is not None
    assert {key.mark for key in told.chart.keys} == {"●", "○", "◆"}
    plain = history(beside_champion(run, num_versions=1), 100)
    assert plain.chart is not None
    assert {key.mark for key in plain.chart.keys} == {"●"}


def test_the_lowest_share_is_that_of_the_weakest_level(run: Run) -> None:
    told = history(beside_champion(run, num_versions=2), 100)
    place = told.table.heads.index("lowest perplexity share")
    assert {row[place] for row in told.table.rows} == {"0.6000"}


def test_a_version_that_lacks_a_metric_leaves_a_gap(run: Run) -> None:
    told = history(beside_champion(run, num_versions=3), 100)
    place = told.table.heads.index("conflict rate")
    assert [row[place] for row in told.table.rows] == ["0.0500", "0.0500", NOTHING]
    lone = replace(run.candidates[0], metrics={"collision_rate": 0.1})
    nobody = replace(beside_champion(run), candidates=(lone,))
    assert "conflict rate" not in history(nobody, 100).table.heads


def test_noise_has_a_panel_a_level(run: Run) -> None:
    measured = run.candidates[0].robustness
    assert measured is not None
    panels = robustness_curves(measured, "t").panels
    assert [panel.title for panel in panels] == ["Level 1", "Level 2", "Level 3"]
    # 1 - exp(-kappa / 4) of the items at level 1, for kappa .1 and 2.
    assert "changes for 2.5% of the items at kappa 0.1 and for 39.3% at kappa 2" in panels[0].svg


@pytest.mark.parametrize("how", ["absent", "empty"])
def test_noise_that_was_not_measured_is_left_out(tmp_path: Path, how: str) -> None:
    params, artifacts = make_run(tmp_path, tokenizers=("rq_kmeans",))
    path = artifacts.layout.stage("diagnose", "rq_kmeans") / "robustness.parquet"
    if how == "absent":
        path.unlink()
    else:
        pl.read_parquet(path).head(0).write_parquet(path)
    run = read_run(params, artifacts)
    assert run.candidates[0].robustness is None
    assert "The same noise, measured" not in render(run)


def test_errors_and_prefixes_are_shown_level_by_level() -> None:
    levels = pl.DataFrame(
        {
            "level": [1, 2],
            "num_prefixes": [4, 10],
            "branching": [3.0, 2.5],
            "relative_mse": [0.6, 0.25],
            "latent_relative_mse": [0.5, 0.2],
            "cosine": [0.7, 0.9],
            "latent_cosine": [0.8, 0.95],
        }
    )
    errors, prefixes = what_levels_add(levels, 12, "t")
    assert "input vectors 0.600, 0.250" in errors.panels[0].svg
    assert "input vectors 0.700, 0.900" in errors.panels[1].svg
    assert "of 12 items: 4, 10" in prefixes.panels[0].svg


def test_a_page_tells_every_stage_of_a_vector_and_every_level(run: Run) -> None:
    lone = replace(run, candidates=run.candidates[:1])
    text = Page(render(lone)).text
    assert "The same noise, measured" in text
    assert "raw latent quantized effective rank" in text
    heads = "level num prefixes branching information possible information relative mse cosine"
    assert heads in text
    assert "raw vectors latent vectors quantized vectors" in text
