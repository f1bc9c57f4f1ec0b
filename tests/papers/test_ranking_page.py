"""docs/RANKING.md: nothing on it that its rows do not say."""

from __future__ import annotations

import pytest
import ranking_page
import ranking_probe

from sidmint.evaluation import SEGMENTS
from sidmint.ranking import AGES


def a_row(name: str, seed: int, auc: float) -> dict:
    reading = {"auc": auc, "normalised_entropy": 1 - auc, "num_examples": 9, "num_clicks": 3}
    return {
        "representation": name,
        "seed": seed,
        "score": {
            "overall": reading,
            "by_age": dict.fromkeys(AGES, reading),
            "by_frequency": dict.fromkeys(SEGMENTS, reading),
            "copy_gap": 1 - auc,
            "stranger_gap": 1.0,
        },
    }


@pytest.mark.parametrize(
    ("subwords", "word"),
    [
        ((0.8, 0.9), "holds** (+0.2500)"),
        ((0.5, 0.4), "does not hold** (-0.1500)"),
        ((0.5, 0.8), "seeds differ** (+0.0500)"),
    ],
)
def test_a_finding_holds_where_every_seed_says_so(subwords, word):
    rows = [a_row("hashed_id", seed, 0.6) for seed in (7, 8)]
    rows += [a_row("subwords", seed, auc) for seed, auc in zip((7, 8), subwords, strict=True)]
    said = " ".join(ranking_page._claims(ranking_page._by_name(rows)))
    assert f"better than hashed ids (AUC, unseen): **{word}" in " ".join(said.split())


def test_lower_entropy_is_the_better_one():
    rows = [a_row("hashed_id", 7, 0.6), a_row("prefix_ngrams", 7, 0.7)]
    said = " ".join(ranking_page._claims(ranking_page._by_name(rows)))
    assert "normalised entropy of hashed ids: **holds** (+0.1000)" in " ".join(said.split())


def test_the_page_is_what_its_rows_say(tmp_path):
    ranking_page.write_page(ranking_probe.read_rows(), tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text() == ranking_probe.PAGE.read_text()


def test_rows_name_all_that_they_depend_on():
    for row in ranking_probe.read_rows():
        assert row["score"]["num_parameters"] <= row["facts"]["num_parameters"]
        assert row["settings"]["num_parameters"] == row["facts"]["num_parameters"]
        assert {"seed", "tokenizer", "result_version", "tokenizer_version"} <= set(row)
