"""The words, marks and samples of the report, on answers worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from report_world import make_run, verdict
from sidmint.errors import BadInput
from sidmint.gate.rules import Champion
from sidmint.reporting.page import json_for_html
from sidmint.reporting.run import Run
from sidmint.reporting.summary import headline, leader
from sidmint.reporting.svg import inline_svg
from sidmint.reporting.tables import comparison, number, worst_buckets
from sidmint.reporting.titles import one_line
from sidmint.reporting.tree import browser_data
from sidmint.stages.report import read_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    params, artifacts = make_run(tmp_path_factory.mktemp("words"), ("a", "b", "c"), ("b",))
    return read_run(params, artifacts)


def with_metric(run: Run, name: str, values: tuple[float, ...]) -> Run:
    changed = tuple(
        replace(candidate, metrics={**candidate.metrics, name: value})
        for candidate, value in zip(run.candidates, values, strict=True)
    )
    return replace(run, candidates=changed)


def test_the_best_of_the_passing_leads_even_if_a_refused_one_is_better(run: Run) -> None:
    changed = with_metric(run, "retention_at_100", (0.5, 0.9, 0.7))
    best = leader(changed.candidates, "retention_at_100")
    assert best is not None
    assert best.name == "c"
    assert headline(changed).sentence == "c would be published."
    assert "leads on retention_at_100 with 0.7000 (a 0.5000)" in headline(changed).details[0]


def test_where_lower_is_better_the_lowest_leads(run: Run) -> None:
    changed = with_metric(run, "collision_rate", (0.2, 0.0, 0.3))
    best = leader(changed.candidates, "collision_rate")
    assert best is not None
    assert best.name == "a"


def test_of_equals_the_first_by_name_leads(run: Run) -> None:
    changed = with_metric(run, "retention_at_100", (0.5, 0.5, 0.5))
    backwards = replace(changed, candidates=changed.candidates[::-1])
    best = leader(backwards.candidates, "retention_at_100")
    assert best is not None
    assert best.name == "a"


def test_where_none_passed_nothing_would_be_published(run: Run) -> None:
    refused = [replace(c, verdict=verdict(c.name, False, 0.4)) for c in run.candidates]
    said = headline(replace(run, candidates=tuple(refused)))
    assert not said.good
    assert said.sentence == "Nothing would be published."
    assert said.details[0] == "All 3 were refused by the gate, for the reasons below."


def test_a_metric_nobody_measured_cannot_choose(run: Run) -> None:
    with pytest.raises(BadInput, match=r"gate\.select_by is auc_exact, which was not measured"):
        leader(run.candidates, "auc_exact")


def test_best_is_marked_in_the_direction_of_the_metric(run: Run) -> None:
    changed = with_metric(run, "conflict_rate", (0.3, 0.1, 0.2))
    changed = with_metric(changed, "n_eff_share", (0.3, 0.1, 0.2))
    rows = {
        row.metric: row for _, group in comparison(changed.candidates, None, 100) for row in group
    }
    assert [cell.best for cell in rows["conflict_rate"].cells] == [False, True, False]
    assert [cell.best for cell in rows["n_eff_share"].cells] == [True, False, False]


def test_nothing_is_best_where_all_are_equal(run: Run) -> None:
    changed = with_metric(run, "conflict_rate", (0.1, 0.1, 0.1))
    rows = {
        row.metric: row for _, group in comparison(changed.candidates, None, 100) for row in group
    }
    assert not any(cell.best for cell in rows["conflict_rate"].cells)


@pytest.mark.parametrize(
    ("metric", "value", "change", "effect"),
    [
        ("conflict_rate", 0.25, "+0.0500", "worse"),
        ("conflict_rate", 0.15, "\N{MINUS SIGN}0.0500", "better"),
        ("n_eff_share", 0.25, "+0.0500", "better"),
        ("n_eff_share", 0.2, "±0", ""),
    ],
)
def test_a_change_is_better_or_worse_by_the_metric(
    run: Run, metric: str, value: float, change: str, effect: str
) -> None:
    changed = with_metric(run, metric, (value, value, value))
    champion = Champion("v0001", {metric: 0.2})
    rows = {
        row.metric: row
        for _, group in comparison(changed.candidates, champion, 100)
        for row in group
    }
    assert (rows[metric].cells[0].change, rows[metric].cells[0].effect) == (change, effect)
    assert rows[metric].champion == "0.2000"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12101, "12,101"), (12101.0, "12,101"), (87.26, "87.3"), (1.005, "1.00"),
        (0.0407, "0.0407"), (0.00003, "3.0e-05"), (0, "0"), (-0.5, "-0.5000"),
        (None, "\N{EN DASH}"),
    ],
)  # fmt: skip
def test_numbers_are_written_for_people(value: float | None, text: str) -> None:
    assert number(value) == text


def test_titles_keep_to_one_line_and_cannot_turn_the_text_around() -> None:
    assert one_line("a\n\tb\u202ec\x00d") == "a b c d"
    assert one_line("x" * 200, 10) == "x" * 9 + "…"
    assert one_line("日本語 é 😀") == "日本語 é 😀"


def test_a_bucket_shows_its_code_and_the_items_in_conflict_first() -> None:
    buckets = pl.DataFrame(
        {
            "bucket": [1, 1, 1],
            "item_id": ["x", "y", "z"],
            "title": ["X", "Y", "Z"],
            "kind": ["benign", "conflict", "benign"],
            "size": [7, 7, 7],
        }
    )
    codes = pl.DataFrame({"item_id": ["z", "y", "x"], "code_1": [3] * 3, "code_2": [9] * 3})
    (bucket,) = worst_buckets(buckets, codes, 2)
    assert bucket.code == "3-9"
    assert bucket.items == (("Y", "conflict"), ("X", "benign"))
    assert (bucket.kind, bucket.num_more) == ("conflict", 5)


def sids_of(codes: list[tuple[int, int]]) -> tuple[pl.DataFrame, pl.DataFrame]:
    names = [f"i{n:03d}" for n in range(len(codes))]
    items = pl.DataFrame({"item_id": names, "title": [f"item {name}" for name in names]})
    sids = pl.DataFrame(
        {
            "item_id": names,
            "code_1": [first for first, _ in codes],
            "code_2": [second for _, second in codes],
            "suffix": [0] * len(codes),
            "semantic_id": [f"{first}-{second}" for first, second in codes],
        }
    )
    return items, sids


def test_a_large_catalogue_is_sampled_by_whole_branches_with_counts_of_the_whole() -> None:
    items, sids = sids_of([(n // 4, n % 4) for n in range(400)])
    data = browser_data(items, {"t": sids}, most=100)
    (tokenizer,) = data["tokenizers"]
    assert data["numItems"] == 400
    assert len(data["ids"]) == 100
    first = tokenizer["levels"][0]
    assert all(first.count(code) == 4 for code in set(first))
    assert min(first) < 8
    assert max(first) > 92
    assert tokenizer["totals"][0] == [4] * 100
    assert tokenizer["totals"][1] == [1] * 100


def test_a_catalogue_that_fits_is_whole_and_ids_without_suffix_have_no_tail() -> None:
    items, sids = sids_of([(1, 2), (1, 3)])
    (tokenizer,) = browser_data(items, {"t": sids})["tokenizers"]
    assert tokenizer == {
        "name": "t", "levels": [[1, 1], [2, 3]], "tails": None, "totals": None,
    }  # fmt: skip


def test_a_drawing_in_a_colour_that_cannot_follow_the_page_is_refused() -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    figure.add_subplot().plot([1, 2], color="#ff0000")
    with pytest.raises(ValueError, match="no colour of PLACEHOLDERS"):
        inline_svg(figure, "x", "a red line")


def test_the_page_of_twelve_thousand_items_stays_under_five_megabytes(tmp_path: Path) -> None:
    params, artifacts = make_run(tmp_path, num_items=12_000)
    run = read_run(params, artifacts)
    long_titles = run.items.with_columns(pl.col("title") + " " + "wide " * 40)
    data = browser_data(long_titles, {c.name: c.sids for c in run.candidates})
    assert len(json_for_html(data).encode()) < 3_000_000
