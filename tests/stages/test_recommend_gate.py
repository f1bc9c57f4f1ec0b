"""From the recommender's answers to the gate: who harms cold items alone is refused."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from gate_world import by_definition, verdict, workspace
from sidmint.evaluation.recommended import recommended_by_segment
from sidmint.params import Params, parse_params
from sidmint.stages.gate import gate

NUM_USERS = 600
SEGMENTS = ("head", "torso", "tail", "cold")


def members() -> pl.DataFrame:
    names = [segment for segment in SEGMENTS for _ in range(10)]
    return pl.DataFrame(
        {
            "item_id": [f"i{n:02}" for n in range(40)],
            "segment": names,
            "few_shot": [name == "tail" for name in names],
        }
    )


def answers(seed: int, rates: dict[str, float], num_seeds: int = 3) -> pl.DataFrame:
    """Every user is asked once a segment; targets are found first with the segment's rate."""
    drawn = np.random.default_rng(seed)
    frames = []
    for number in range(num_seeds):
        for place, segment in enumerate(SEGMENTS):
            found = drawn.random(NUM_USERS) < rates[segment]
            frames.append(
                pl.DataFrame(
                    {
                        "seed": np.full(NUM_USERS, number, dtype=np.int32),
                        "user_id": [f"u{u:04}" for u in range(NUM_USERS)],
                        "position": np.full(NUM_USERS, place, dtype=np.int32),
                        "item_id": [f"i{10 * place + u % 10:02}" for u in range(NUM_USERS)],
                        "place": found.astype(np.int32),
                    }
                )
            )
    return pl.concat(frames)


FAIR = {"head": 0.3, "torso": 0.2, "tail": 0.1, "cold": 0.1}


def judged(tmp_path, candidate: dict[str, float], **gate_settings):
    """The verdict on a candidate whose recommender answers at these rates."""
    recommended = recommended_by_segment(
        answers(1, candidate), answers(2, FAIR), members(), 0.02, seed=7
    )
    champion = {"version": "v0001", "tokenizer": "t", "metrics": {}}
    artifacts = workspace(tmp_path, champion)
    with artifacts.writing("segments", "t") as out:
        out.table("comparison", recommended.comparison)
        out.metrics({"cold_coverage": 1.0, **recommended.metrics})
    with artifacts.writing("recommend", "t") as out:
        out.metrics({"recommend_ndcg_at_10": recommended.by_segment["ndcg_at_10"][0]})
    rules = {
        "recommend_ndcg_at_10": {"may_worsen_by": 0.03},
        "recommend_ndcg_at_10_cold": {"may_worsen_by": 0.02},
    }
    params = parse_params({"recommend": {}, "gate": {"champion": rules, **gate_settings}}, "test")
    gate(params, artifacts, "t", by_definition)
    return verdict(artifacts), recommended.comparison


def test_a_candidate_that_harms_only_cold_items_is_refused(tmp_path):
    harmful = {**FAIR, "head": 0.33, "cold": 0.01}
    said, compared = judged(tmp_path, harmful)
    assert len(said.blocked_by) == 1
    assert "recommend_ndcg_at_10_cold" in said.blocked_by[0]
    assert "worse by more than the 0.020 allowed" in said.blocked_by[0]
    outcomes = dict(compared.filter(metric="ndcg_at_10").select("segment", "outcome").iter_rows())
    assert outcomes["cold"] == "worse"
    assert outcomes["all"] != "worse"


def test_a_candidate_that_is_as_good_passes(tmp_path):
    said, _ = judged(tmp_path, FAIR)
    assert said.passed


def test_what_cannot_be_told_warns_or_blocks_as_asked(tmp_path):
    a_little = {**FAIR, "cold": 0.085}
    said, _ = judged(tmp_path / "warns", a_little)
    assert said.passed
    assert any("cannot be told" in warning for warning in said.warnings)
    said, _ = judged(tmp_path / "blocks", a_little, cannot_tell="block")
    assert not said.passed


def test_a_better_candidate_is_called_better(tmp_path):
    said, _ = judged(tmp_path, dict.fromkeys(SEGMENTS, 0.6))
    assert all("better" in rule.reason for rule in said.rules if rule.name.startswith("champion."))


def test_empty_segments_stand_in_the_table_with_n_0():
    rows = answers(1, FAIR).filter(pl.col("position") < 3)
    found = recommended_by_segment(rows, None, members(), 0.02, seed=7)
    cold = found.by_segment.row(by_predicate=pl.col("segment") == "cold", named=True)
    assert (cold["num_items"], cold["num_cases"], cold["ndcg_at_10"]) == (10, 0, None)
    assert found.comparison is None
    assert "recommend_ndcg_at_10_cold" not in found.metrics
    assert found.metrics["num_recommend_cases_cold"] == 0


def test_bounds_on_a_recommender_that_nobody_trained_are_named_as_left_out(tmp_path):
    artifacts = workspace(tmp_path)
    bounds = {"num_items": {"min": 1}, "recommend_distinct_items": {"min": 50}}
    params = parse_params({"recommend": None, "gate": {"rules": bounds}}, "test")
    gate(params, artifacts, "t", by_definition)
    said = verdict(artifacts)
    assert said.passed
    assert "recommend_distinct_items: recommend is null" in said.not_applied
    gate(
        parse_params({"recommend": {}, "gate": {"rules": bounds}}, "test"),
        artifacts,
        "t",
        by_definition,
    )
    assert verdict(artifacts).blocked_by == ("recommend_distinct_items is missing",)


def test_segment_bounds_that_overlap_are_refused():
    from sidmint.errors import BadInput

    with pytest.raises(BadInput, match="two rising bounds"):
        parse_params({"segments": {"counts": [600, 100]}}, "test")
    assert Params().recommend is None
    assert json.loads(Params().model_dump_json())["segments"]["counts"] is None
