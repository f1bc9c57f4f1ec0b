"""The flow `refresh`: read, judge, publish, announce."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recorded_world import MLFLOW_S_OWN, client_of, predict
from refresh_world import Refreshing, names, refreshing_world, vectors_of_world

pytestmark = MLFLOW_S_OWN


@pytest.fixture
def world(
    prefect_server: None,
    tmp_path: Path,
    migrated_mlflow_database: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Refreshing:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    made = refreshing_world(tmp_path / "w")
    made.built.layout.local.mkdir()
    shutil.copyfile(migrated_mlflow_database, made.built.layout.mlflow_database)
    return made


def given(folder: Path, num: int, seed: int, shift: float = 0.0) -> list[str]:
    pl.DataFrame({"item_id": names(num, "new")}).write_csv(folder / "new.csv")
    np.save(folder / "new.npy", vectors_of_world(num, seed, shift))
    return [str(folder / "new.csv"), "--vectors", str(folder / "new.npy")]


def test_new_items_are_published_and_everybody_hears_of_it(
    world: Refreshing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from flows.refresh import main

    root = ["--workspace", str(world.built.root)]
    assert main([*given(tmp_path, 9, 2), *root, "--by", "ada"]) == 0
    message = json.loads(capsys.readouterr().out)
    assert (message["event"], message["version"]) == ("refreshed", "v0001.1")
    assert (message["num_new"], message["num_moved"]) == (9, 0)
    entry = world.built.store.log.entries()[-1]
    assert (entry["action"], entry["by"], entry["override"]) == ("refresh", "ada", False)
    assert predict(world.built, "champion", ["new-0003"]) == [world.ids()["new-0003"]]
    (made,) = client_of(world.built).search_model_versions("name = 'm'")
    assert made.tags["sidmint.version"] == "v0001.1"

    assert main([*given(tmp_path, 9, 2), *root]) == 0
    assert json.loads(capsys.readouterr().out)["event"] == "nothing to do"

    assert main([*given(tmp_path, 60, 6, 3.0), *root]) == 1
    assert "v0001.1 cannot take these items as it is: retrain" in capsys.readouterr().err
    assert main([str(tmp_path / "none.csv"), *root]) == 2
    assert world.built.store.versions() == ["v0001", "v0001.1"]
