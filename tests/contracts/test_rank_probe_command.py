"""`sidmint rank-probe`: reads a workspace, writes nothing, and says what it cannot do."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from ranking_world import topic_world
from sidmint.artifacts import Artifacts
from sidmint.cli import app
from sidmint.errors import BadInput
from sidmint.layout import Layout
from sidmint.semantic_ids import resolve_by_suffix

NAME = "rq_kmeans"


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """The planted world as ingest, embed and assign would have left it."""
    codes, vectors, log = topic_world(num_users=80)
    item_ids = [f"i{row:03}" for row in range(len(vectors))]
    artifacts = Artifacts(Layout(tmp_path))
    (tmp_path / "params.yaml").write_text(f"train: {{tokenizers: [{NAME}]}}\n")
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    events = pl.DataFrame(
        {
            "user_id": [f"u{user:03}" for user in log.users],
            "item_id": [item_ids[row] for row in log.items],
            "timestamp": log.times,
        }
    )
    with artifacts.writing("ingest") as out:
        out.table("items", pl.DataFrame({"item_id": item_ids}))
        out.table("interactions", events)
    with artifacts.writing("embed") as out:
        out.array("embeddings", vectors.astype(np.float16))
    resolved = resolve_by_suffix(codes, item_ids)
    columns = {f"code_{level + 1}": resolved.codes.values[:, level] for level in range(3)}
    with artifacts.writing("assign", NAME) as out:
        out.table("sids", pl.DataFrame({"item_id": item_ids, **columns}))
    monkeypatch.chdir(tmp_path)
    return artifacts


def run(*arguments: str):
    return CliRunner().invoke(app, ["rank-probe", *arguments], env={"COLUMNS": "200"})


def test_json_holds_every_figure_of_every_representation(workspace):
    result = run("--tokenizer", NAME, "--seed", "3", "--parameters", "3000", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["tokenizer"] == NAME
    assert found["num_copies"] == 200
    scores = {score["name"]: score for score in found["scores"]}
    assert len(scores) == 6
    assert scores["level_sum"]["copy_gap"] == 0
    assert scores["level_sum"]["by_age"]["unseen"]["auc"] > 0.7
    assert all(score["num_parameters"] <= 3000 for score in scores.values())


def test_people_get_a_row_a_representation_and_a_column_a_group(workspace):
    result = run("--tokenizer", NAME)
    assert result.exit_code == 0, result.output
    lines = [line.strip() for line in result.stdout.splitlines()]
    heads = [line.split() for line in lines if line.startswith("AUC")]
    assert heads[0][-7:] == ["all", "old", "new", "unseen", "head", "torso", "tail"]
    for name in ("hashed_id", "subwords", "id_and_semantic_id"):
        assert sum(line.startswith(name) for line in lines) == 3


def test_a_log_without_times_is_refused_with_the_way_out(workspace):
    events = workspace.interactions().with_columns(pl.lit(None, pl.Int64).alias("timestamp"))
    items = workspace.items()
    with workspace.writing("ingest") as out:
        out.table("items", items)
        out.table("interactions", events)
    result = run("--tokenizer", NAME)
    assert isinstance(result.exception, BadInput)
    assert "ingest.columns.timestamp" in str(result.exception)


def test_a_tokenizer_that_has_not_been_assigned_is_refused(workspace):
    result = run("--tokenizer", "rq_vae")
    assert isinstance(result.exception, BadInput)
    assert "stage 'assign' has not run" in str(result.exception)
