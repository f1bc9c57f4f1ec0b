"""Tries in MLflow: a run each, once, whatever happened in between."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from recorded_world import MLFLOW_S_OWN
from sidmint.adapters.mlflow_store import tracking_uri
from sidmint.adapters.mlflow_tries import record_tries
from sidmint.layout import Layout

pytestmark = MLFLOW_S_OWN


def row(key: str, **more: Any) -> dict[str, Any]:
    known = {
        "key": key,
        "name": "rq_kmeans",
        "sizes": [16, 16, 16],
        "settings": {"sizes": [16, 16, 16]},
        "share": 1.0,
        "seed": 0,
        "num_fitted": 400,
        "fit_seconds": 1.5,
        "measure_seconds": 0.5,
        "quality": 0.8,
        "metrics": {"collision_rate": 0.1},
        "failed": None,
    }
    return known | more


@pytest.fixture
def layout(
    tmp_path: Path, migrated_mlflow_database: Path, monkeypatch: pytest.MonkeyPatch
) -> Layout:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    found = Layout(tmp_path)
    found.local.mkdir()
    shutil.copyfile(migrated_mlflow_database, found.mlflow_database)
    return found


def test_every_try_is_one_run_however_often_it_is_told(layout: Layout):
    from mlflow import MlflowClient

    failed = row("b" * 32, quality=None, metrics={}, failed="too few items")
    assert record_tries(layout, "shop", [row("a" * 32), failed]) == 2
    client = MlflowClient(tracking_uri=tracking_uri(layout))
    experiment = client.get_experiment_by_name("shop-choose").experiment_id
    half = client.create_run(experiment, run_name="killed before its tag")
    assert record_tries(layout, "shop", [row("a" * 32), failed, row("c" * 32, seed=1)]) == 1
    runs = {run.data.tags["sidmint.try"]: run for run in client.search_runs([experiment])}
    assert sorted(key[0] for key in runs) == ["a", "b", "c"]
    assert half.info.run_id not in {run.info.run_id for run in runs.values()}
    good, bad = runs["a" * 32], runs["b" * 32]
    assert good.info.status == "FINISHED"
    assert bad.info.status == "FAILED"
    assert good.data.metrics == {
        "collision_rate": 0.1,
        "quality": 0.8,
        "fit_seconds": 1.5,
        "measure_seconds": 0.5,
    }
    assert good.data.params["settings.sizes"] == "[ 16, 16, 16 ]"
    assert bad.data.params["failed"] == "too few items"


def test_no_try_opens_no_store(tmp_path: Path):
    assert record_tries(Layout(tmp_path), "shop", []) == 0
    assert not list(tmp_path.iterdir())
