"""A built workspace with everything in it that run history records, and a ready MLflow store."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from embed_world import write_embedding
from releases import Built, build_workspace
from sidmint.adapters.mlflow_runs import tracking_uri
from sidmint.tokenizers import make_tokenizer, storage

MLFLOW_S_OWN = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*type hint:UserWarning"),
]
"""Warnings of what MLflow uses of SQLAlchemy, and of the type hints of its modules."""


def recorded_world(root: Path, migrated_database: Path) -> Built:
    """The workspace of `releases` with data, curves and metrics of the stages before."""
    built = build_workspace(root)
    with built.artifacts.writing("ingest") as out:
        out.table("items", pl.DataFrame({"item_id": ["a", "b", "c", "d"]}))
        out.table("interactions", pl.DataFrame({"user_id": ["u"], "item_id": ["a"]}))
        out.metrics({"num_users": 1})
    write_embedding(built.artifacts, np.ones((4, 2)))
    with built.artifacts.writing("pairs") as out:
        out.table("pairs", pl.DataFrame({"trigger": ["a"], "target": ["b"], "score": [1.0]}))
    for tokenizer in ("one", "two"):
        trained = built.layout.stage("train", tokenizer)
        fitted = make_tokenizer(tokenizer, {"type": "random", "sizes": [4, 8]})
        fitted.fit(np.ones((4, 2), dtype=np.float32), seed=1, device="cpu")
        storage.save(fitted, trained, "all", 4)
        curve = {"step": [0, 1, 2], "metric": ["loss"] * 3, "value": [3.0, 2.0, 1.0]}
        pl.DataFrame(curve).write_parquet(trained / "curve.parquet")
    for tokenizer in ("one", "two"):
        built.judge(tokenizer)
    built.layout.local.mkdir()
    shutil.copyfile(migrated_database, built.layout.mlflow_database)
    return built


def with_two_versions(root: Path, migrated_database: Path) -> Built:
    """`recorded_world` with v0001, of `one`, and v0002, of `two`; MLflow knows neither."""
    built = recorded_world(root, migrated_database)
    built.publish("one")
    built.judge("two")
    built.publish("two")
    return built


def client_of(built: Built) -> Any:
    """A client of the workspace's store."""
    from mlflow import MlflowClient

    uri = tracking_uri(built.layout)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def runs_of(built: Built, experiment: str = "m") -> list[Any]:
    """Every run of an experiment that is not deleted."""
    client = client_of(built)
    known = client.get_experiment_by_name(experiment)
    return list(client.search_runs([known.experiment_id])) if known else []


def predict(built: Built, alias: str, items: list[str]) -> list[str | None]:
    """Semantic IDs from the model behind an alias, loaded as anybody would load it."""
    import mlflow
    import pandas as pd

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", tracking_uri(built.layout))
        model = mlflow.pyfunc.load_model(f"models:/m@{alias}")
        answers = model.predict(pd.DataFrame({"item_id": items}))
    return [None if pd.isna(answer) else str(answer) for answer in answers["semantic_id"]]
