"""What the page says of a split: how it fell, what it found, what it could not have seen."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from sidmint.contracts import describe_metric
from sidmint.evaluation.recommended import recommended_by_segment
from sidmint.reporting.recommended import recommended_view


def answers(seed: int, rate: float, users: int = 500) -> pl.DataFrame:
    found = (np.random.default_rng(seed).random((2, users)) < rate).astype(np.int32)
    return pl.DataFrame(
        {
            "seed": np.repeat(np.arange(2, dtype=np.int32), users),
            "user_id": [f"u{n:03}" for n in range(users)] * 2,
            "position": np.zeros(2 * users, dtype=np.int32),
            "item_id": ["i0"] * (2 * users),
            "place": found.ravel(),
        }
    )


def words(broken: bool = False) -> str:
    members = pl.DataFrame({"item_id": ["i0"], "segment": ["head"], "few_shot": [False]})
    found = recommended_by_segment(answers(1, 0.5), answers(2, 0.4), members, 0.02, seed=7)
    compared = found.comparison
    assert compared is not None
    if broken:
        compared = compared.with_columns(sample_ratio_p_value=pl.lit(1e-9))
    metrics = {"recommend_hr_at_10": 0.5, "num_recommend_cases": 500, "recommend_ndcg_at_10": 0.5}
    candidate = SimpleNamespace(recommended=found.by_segment, comparison=compared, metrics=metrics)
    view = recommended_view(candidate, "one")  # type: ignore[arg-type]
    assert view is not None
    return " ".join(view.words)


def test_the_page_says_what_a_split_can_see_and_how_it_fell():
    said = words()
    assert "A split of these 500 users in two halves can see a change of" in said
    assert "and found a change of +" in said
    assert "its sides are even (chi-square, p = " in said
    assert said.endswith("Intervals hold the variance of users and seeds.")


def test_a_broken_split_is_called_broken():
    assert "differ in number by more than chance, which breaks it" in words(broken=True)


def test_changes_are_metrics_that_history_and_rules_can_read():
    members = pl.DataFrame({"item_id": ["i0"], "segment": ["head"], "few_shot": [False]})
    found = recommended_by_segment(answers(1, 0.5), answers(2, 0.4), members, 0.02, seed=7)
    rate = recommended_by_segment(answers(2, 0.4), None, members, 0.02, seed=7).metrics
    ndcg = "recommend_ndcg_at_10_head"
    change = found.metrics[f"change_{ndcg}"]
    assert change == pytest.approx(found.metrics[ndcg] - rate[ndcg])
    low, high = found.metrics[f"change_low_{ndcg}"], found.metrics[f"change_high_{ndcg}"]
    assert 0 < low < change < high
    for name in found.metrics:
        assert describe_metric(name).meaning
    assert not any(name.startswith("change_") for name in rate)
    assert not any(name.endswith("_cold") and name.startswith("change_") for name in found.metrics)
