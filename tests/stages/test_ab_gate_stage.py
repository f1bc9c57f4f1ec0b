"""The gate stage and intervals: shared cases bound the loss; a handful of users bounds nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from gate_world import by_definition, verdict, workspace
from sidmint.evaluation.recommended import recommended_by_segment
from sidmint.gate.verdict import Verdict
from sidmint.params import parse_params
from sidmint.publishing.snapshot import cases_by_id
from sidmint.stages.gate import gate

NUM_ITEMS = 1000


def cases(kept: float, num_users: int, seed: int) -> pl.DataFrame:
    """Vectors find four targets of five among the first 100; ids find `kept` of those."""
    drawn = np.random.default_rng(seed)
    by_vectors = np.random.default_rng(0).random(num_users) < 0.8
    by_ids = by_vectors & (drawn.random(num_users) < kept)
    columns: dict[str, object] = {
        "user_id": [f"u{n:05}" for n in range(num_users)],
        "query_row": np.arange(num_users) % NUM_ITEMS,
        "target_row": (np.arange(num_users) + 1) % NUM_ITEMS,
    }
    spaces = {"original": by_vectors, "reconstructed": by_ids, "prefix": by_ids}
    for space, found in spaces.items():
        columns[f"{space}_better"] = np.where(found, 0, 500).astype(np.int32)
        columns[f"{space}_tied"] = np.zeros(num_users, dtype=np.int32)
    return pl.DataFrame(columns)


def judged(root: Path, kept: float, num_users: int, measured: float = 0.8) -> Verdict:
    """A candidate beside a champion that keeps .9 of the hits and was published with .9."""
    metrics = {"retention_at_100": 0.9, "collision_rate": 0.1, "n_eff_share": 0.9}
    metrics["relative_mse"] = 0.4
    champion = {"version": "v0003", "tokenizer": "t", "metrics": metrics}
    artifacts = workspace(root, champion)
    items = pl.DataFrame({"item_id": [f"i{n:05}" for n in range(NUM_ITEMS)]})
    with artifacts.writing("ingest") as out:
        out.table("items", items)
    with artifacts.writing("evaluate", "t") as out:
        out.metrics({"retention_at_100": measured})
        out.table("cases", cases(kept, num_users, seed=1))
    folder = artifacts.layout.champion_folder
    folder.mkdir(parents=True, exist_ok=True)
    cases_by_id(cases(0.9, num_users, seed=2), items["item_id"]).write_parquet(
        folder / "cases.parquet", metadata={"version": "v0003", "num_items": str(NUM_ITEMS)}
    )
    gate(parse_params({"recommend": None}, "test"), artifacts, "t", by_definition)
    return verdict(artifacts)


def outcome(said: Verdict, metric: str) -> str | None:
    (rule,) = (rule for rule in said.rules if rule.name == f"champion.{metric}")
    return rule.outcome


@pytest.mark.parametrize(
    ("kept", "num_users", "wanted", "passes"),
    [
        (1.0, 3000, "better", True),
        (0.9, 3000, "within", True),
        (0.87, 300, "cannot tell", True),
        (0.7, 3000, "worse", False),
    ],
)
def test_retention_has_four_outcomes(
    tmp_path: Path, kept: float, num_users: int, wanted: str, passes: bool
):
    said = judged(tmp_path, kept, num_users)
    assert outcome(said, "retention_at_100") == wanted
    assert said.passed is passes
    assert outcome(said, "collision_rate") is None  # of the whole table: no sampling error
    if wanted == "cannot tell":
        assert any("cannot be told from 300 cases" in warning for warning in said.warnings)


def test_a_handful_of_shared_users_does_not_open_the_gate(tmp_path: Path):
    """Three users answered alike have an interval without width; retention fell by .3."""
    said = judged(tmp_path, kept=0.9, num_users=3, measured=0.6)
    assert outcome(said, "retention_at_100") is None
    assert said.blocked_by == (
        "retention_at_100 fell by 0.300 against champion v0003 (0.900 -> 0.600); "
        "at most 0.050 is allowed",
    )


def test_one_cold_user_neither_refuses_nor_clears_a_recommender(tmp_path: Path):
    members = pl.DataFrame({"item_id": ["i0"], "segment": ["cold"], "few_shot": [False]})
    asked = {"seed": 0, "user_id": "u", "position": 0, "item_id": "i0"}
    ours, theirs = (pl.DataFrame([{**asked, "place": place}]) for place in (0, 1))
    found = recommended_by_segment(ours, theirs, members, 0.02, seed=7)
    artifacts = workspace(tmp_path, {"version": "v0001", "tokenizer": "t", "metrics": {}})
    assert found.comparison is not None
    with artifacts.writing("segments", "t") as out:
        out.table("comparison", found.comparison)
        out.metrics({"cold_coverage": 1.0, **found.metrics})
    rules = {"recommend_ndcg_at_10_cold": {"may_worsen_by": 0.02}}
    params = parse_params({"recommend": {}, "gate": {"champion": rules}}, "test")
    gate(params, artifacts, "t", by_definition)
    said = verdict(artifacts)
    assert outcome(said, "recommend_ndcg_at_10_cold") == "cannot tell"
    assert said.passed
    assert any("cannot be told from 1 case" in warning for warning in said.warnings)
