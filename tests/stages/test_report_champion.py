"""The report beside a champion: intervals, differences over shared cases, and their words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from html_page import Page
from report_world import CUTOFFS, add_champion, beside_champion, make_run
from sidmint.artifacts import Artifacts
from sidmint.evaluation.hit_rate_intervals import (
    NO_DIFFERENCE,
    Answers,
    Certainty,
    hit_rate_differences,
    hit_rate_intervals,
)
from sidmint.reporting.against import Against, against
from sidmint.reporting.forest import difference_in_words
from sidmint.reporting.page import cutoffs, render
from sidmint.reporting.run import Run
from sidmint.reporting.tables import Cell, comparison
from sidmint.seeds import generator_for
from sidmint.stages.report import read_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two candidates that hit with chance .20 and .22 at 200; no champion yet."""
    return read_run(*make_run(tmp_path_factory.mktemp("champion")))


def certainty(run: Run) -> dict[str, Certainty]:
    """Of each candidate, drawn anew."""
    return {
        each.name: Certainty(
            hit_rate_intervals(each.answers, CUTOFFS, generator_for(1, "a")),
            run.champion_answers
            and hit_rate_differences(
                each.answers, run.champion_answers, CUTOFFS, generator_for(1, "b")
            ),
        )
        for each in run.candidates
    }


def compared(run: Run) -> Against:
    found = against(run, CUTOFFS, 100, certainty(run))
    assert found is not None
    return found


def cells(found: Against, metric: str) -> tuple[Cell, ...]:
    (row,) = (row for row in found.rows if row.metric == metric)
    return row.cells


def key_cells(run: Run, metric: str) -> tuple[Cell, ...]:
    """A row of the comparison that leads the page."""
    groups = comparison(run.candidates, run.champion, 100, certainty(run))
    (row,) = (row for _, group in groups for row in group if row.metric == metric)
    return row.cells


def test_hit_rates_have_intervals_and_counts_have_none(run: Run) -> None:
    low, high = map(float, key_cells(run, "hr_at_100")[0].interval.split(" to "))
    assert low < 0.2 * 0.5**0.5 < high
    assert key_cells(run, "collision_rate")[0].interval == ""
    assert key_cells(run, "perplexity_share_1")[0].interval == ""


def test_a_candidate_above_the_champion_is_better_and_one_below_is_worse(run: Run) -> None:
    found = compared(beside_champion(run, level=0.21))
    below, above = cells(found, "hr_at_200")
    assert (below.text, below.change, below.effect) == (
        "\N{MINUS SIGN}0.0100", "worse", "worse",
    )  # fmt: skip
    assert (above.text, above.change, above.effect) == ("+0.0100", "better", "better")
    assert [row.metric for row in found.at_cutoff] == ["hr_at_100", "prefix_hr_at_100"]
    assert "1,000 test cases of 750 users" in found.words[0]
    assert "version v0001" in found.words[0]


def test_where_the_interval_holds_zero_no_number_is_called_better(run: Run) -> None:
    level = beside_champion(run, level=0.2)
    found = compared(level)
    assert found.words[1:] == ("rq_kmeans answered all of them as the champion did.",)
    same = cells(found, "hr_at_100")[0]
    assert (same.text, same.interval, same.change, same.effect) == (
        "0", "0 to 0", NO_DIFFERENCE, "",
    )  # fmt: skip
    # The champion's own figure is over other cases than those it shares with the run.
    assert level.champion is not None
    elsewhere = replace(level, champion=replace(level.champion, metrics={"hr_at_100": 0.05}))
    first, second = key_cells(elsewhere, "hr_at_100")
    assert (first.change, first.effect) == ("+0.0914", "")
    assert second.effect == "better"


def test_the_picture_has_every_cutoff_and_says_what_it_shows(run: Run) -> None:
    forest = compared(beside_champion(run)).forest
    assert forest is not None
    assert [panel.title.split(": ")[1] for panel in forest.panels] == [
        "hr_at_K", "prefix_hr_at_K", "retention_at_K",
    ]  # fmt: skip
    drawn = " ".join(panel.svg for panel in forest.panels)
    assert drawn.count('role="img"') == 3
    assert "rq_kmeans +0.0100 (" in drawn
    assert all(drawn.count(f">{cutoff}<") == 3 for cutoff in CUTOFFS)
    assert any(NO_DIFFERENCE in key.label for key in forest.keys)


@pytest.mark.parametrize(
    ("difference", "text"),
    [
        (0.0, "0"), (0.00004, "0.0000"), (-0.00004, "0.0000"), (0.00094, "+0.0009"),
        (-0.0060, "\N{MINUS SIGN}0.0060"), (0.12345, "+0.1235"),
    ],
)  # fmt: skip
def test_differences_of_rates_have_four_decimals(difference: float, text: str) -> None:
    assert difference_in_words(difference) == text


def other_users(artifacts: Artifacts) -> None:
    path = artifacts.layout.champion_folder / "cases.parquet"
    facts = pl.read_parquet_metadata(path)
    cases = pl.read_parquet(path).with_columns(pl.col("user_id") + "x")
    cases.write_parquet(path, metadata={key: facts[key] for key in ("version", "num_items")})


def no_files(artifacts: Artifacts) -> None:
    for path in artifacts.layout.champion_folder.iterdir():
        path.unlink()


def no_cases(artifacts: Artifacts) -> None:
    (artifacts.layout.champion_folder / "cases.parquet").unlink()


def pulled(artifacts: Artifacts) -> None:
    """champion.json came by git; the folder still tells of the version before."""
    snapshot = json.loads(artifacts.layout.champion.read_text())
    artifacts.layout.champion.write_text(json.dumps(snapshot | {"version": "v0009"}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other_users, "Not one test case is shared with version v0001"),
        (no_files, "version v0001 .* not in this workspace.*`sidmint run` brings it"),
        (pulled, "version v0009 .* not in this workspace.*`sidmint run` brings it"),
        (no_cases, "Version v0001 was published without its test cases"),
    ],
)
def test_where_nothing_can_be_compared_the_page_says_why(
    tmp_path: Path, change: Callable[[Artifacts], None], said: str
) -> None:
    params, artifacts = make_run(tmp_path, tokenizers=("rq_kmeans",))
    add_champion(artifacts)
    change(artifacts)
    run = read_run(params, artifacts)
    found = compared(run)
    assert (found.rows, found.at_cutoff, found.forest) == ([], [], None)
    assert re.search(said, " ".join(found.words))
    # The plain differences to champion.json stand all the same.
    plain = key_cells(run, "hr_at_100")[0]
    assert (plain.change, plain.effect) == ("+0.0071", "better")


def test_without_a_champion_nothing_is_compared(run: Run) -> None:
    assert against(run, CUTOFFS, 100, certainty(run)) is None


def test_a_champion_that_searched_another_catalogue_size_is_told(run: Run) -> None:
    beside = beside_champion(run)
    assert beside.champion_answers is not None
    smaller = replace(beside, champion_answers=Answers(beside.champion_answers.table, 350))
    assert "The champion searched 350 items, this run 400" in compared(smaller).words[1]


def test_churn_is_told_as_written_and_under_the_champions_names(tmp_path: Path) -> None:
    params, artifacts = make_run(tmp_path, tokenizers=("rq_kmeans",))
    add_champion(artifacts)
    own = artifacts.table("assign", "sids", "rq_kmeans")
    # The champion's ids: the same codes, of which the first level's are numbered from the end.
    last = int(own["code_1"].max() or 0)  # type: ignore[arg-type]
    champion = own.with_columns(code_1=last - pl.col("code_1"))
    champion.write_parquet(artifacts.layout.champion_folder / "sids.parquet")
    kept = int((own["code_1"] * 2 == last).sum()) / own.height
    words = " ".join(compared(read_run(params, artifacts)).words)
    assert f"version v0001 has too, rq_kmeans gives other codes to {1 - kept:.1%}" in words
    assert "to 0.0% if its codes had the champion's names" in words
    page = Page(render(read_run(params, artifacts))).text
    assert "aligned_churn" in page


def test_what_is_read_is_what_was_written(tmp_path: Path, run: Run) -> None:
    params, artifacts = make_run(tmp_path)
    add_champion(artifacts, num_versions=3)
    read, expected = read_run(params, artifacts), beside_champion(run, num_versions=3)
    assert (read.champion, read.history) == (expected.champion, expected.history)
    assert read.champion_answers is not None
    assert expected.champion_answers is not None
    assert read.champion_answers.table.equals(expected.champion_answers.table)
    assert read.champion_answers.num_items == 400


def test_the_page_shows_intervals_differences_and_versions_and_is_the_same_twice(
    run: Run,
) -> None:
    lone = replace(run, candidates=run.candidates[:1])
    html = render(beside_champion(lone, num_versions=12))
    assert render(beside_champion(lone, num_versions=12)) == html
    page = Page(html)
    assert page.unbalanced == []
    assert "their 95 % interval over users" in page.text
    assert "no sampling error over items" in page.text
    assert "Candidate minus champion v0012, over the cases that both answered" in page.text
    assert re.search(r"hr_at_200 \+0\.0100 \+[0-9.]+ to \+[0-9.]+ better", page.text)
    assert "2 older versions" in page.text
    assert all(f"v{number:04d} rq_kmeans 2026-01-" in page.text for number in range(1, 13))


def test_another_seed_draws_other_users(run: Run) -> None:
    drawn = [
        hit_rate_intervals(run.candidates[0].answers, CUTOFFS, generator_for(seed, "report"))
        for seed in (1, 2, 1)
    ]
    assert drawn[0] == drawn[2]
    assert drawn[0]["hr_at_100"].estimate == drawn[1]["hr_at_100"].estimate
    assert drawn[0]["hr_at_100"].low != drawn[1]["hr_at_100"].low


def test_cutoffs_are_those_measured(run: Run) -> None:
    assert tuple(cutoffs(run)) == CUTOFFS
