"""Run history: everything of a build is there, once, whatever happened in between."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from recorded_world import MLFLOW_S_OWN, client_of, predict, recorded_world, runs_of
from releases import Built
from sidmint.adapters.mlflow_runs import RecordedBuild, is_recorded, record_build, tracking_uri
from sidmint.adapters.mlflow_store import flatten, metric_name
from sidmint.errors import BadInput

DIGEST = "d" * 64

pytestmark = MLFLOW_S_OWN


def record(built: Built, digest: str = DIGEST, candidate: str | None = "one") -> RecordedBuild:
    return record_build(built.layout, built.params, built.artifacts, digest, candidate)


def forget_marker(built: Built) -> None:
    (built.layout.local / "recorded.json").unlink()


@pytest.fixture
def world(tmp_path: Path, migrated_mlflow_database: Path, monkeypatch: pytest.MonkeyPatch) -> Built:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return recorded_world(tmp_path / "workspace", migrated_mlflow_database)


def test_a_build_is_a_parent_run_with_a_child_a_tokenizer(world: Built) -> None:
    recorded = record(world)
    runs = {run.info.run_id: run for run in runs_of(world)}
    assert set(runs) == {recorded.run_id, *recorded.children.values()}
    assert set(recorded.children) == {"one", "two"}
    parent, child = runs[recorded.run_id], runs[recorded.children["one"]]
    assert child.data.tags["mlflow.parentRunId"] == recorded.run_id
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert parent.data.params["gate.rules.retention_at_100.min"] == "0.5"
    assert parent.data.metrics == {"num_users": 1.0}
    assert child.data.metrics["retention_at_100"] == 0.8
    assert child.data.metrics["collision_rate"] == 0.25
    assert child.data.params["tokenizer.name"] == "one"
    assert child.data.tags["sidmint.verdict"] == "passed"


def test_curves_datasets_and_files_are_recorded(world: Built) -> None:
    recorded = record(world)
    client, child = client_of(world), recorded.children["one"]
    history = client.get_metric_history(child, "train/loss")
    assert [(point.step, point.value) for point in history] == [(0, 3.0), (1, 2.0), (2, 1.0)]
    inputs = client.get_run(recorded.run_id).inputs.dataset_inputs
    names = {"items", "interactions", "embeddings", "pairs"}
    assert {one.dataset.name for one in inputs} == names
    assert all(len(one.dataset.digest) == 32 for one in inputs)
    files = {file.path for file in client.list_artifacts(recorded.run_id)}
    assert files == {"report.html", "params.json"}
    assert "verdict.json" in {file.path for file in client.list_artifacts(child)}


def test_recording_twice_adds_nothing(world: Built) -> None:
    first = record(world)
    assert record(world) == first
    forget_marker(world)
    assert record(world) == first
    assert len(runs_of(world)) == 3
    assert len(client_of(world).search_model_versions("name = 'm'")) == 1


@pytest.mark.parametrize("broken_call", ["create_model_version", "set_tag", "log_inputs"])
def test_a_build_whose_writer_was_killed_is_written_anew(
    world: Built, monkeypatch: pytest.MonkeyPatch, broken_call: str
) -> None:
    from mlflow import MlflowClient

    def die(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, broken_call, die)
        with pytest.raises(KeyboardInterrupt):
            record(world)
    assert not is_recorded(world.layout, DIGEST)
    recorded = record(world)
    runs = runs_of(world)
    assert {run.info.run_id for run in runs} == {recorded.run_id, *recorded.children.values()}
    assert len(client_of(world).search_model_versions("name = 'm'")) == 1
    assert predict(world, "candidate", ["a"]) == ["0-1-0"]


def test_candidate_is_the_table_of_the_last_build_that_passed(world: Built) -> None:
    record(world, "first" * 8, "one")
    assert predict(world, "candidate", ["d", "unknown", "a"]) == ["3-3-0", None, "0-1-0"]
    record(world, "refused" * 8, None)
    assert predict(world, "candidate", ["d"]) == ["3-3-0"]
    record(world, "second" * 8, "two")
    assert predict(world, "candidate", ["d"]) == ["2-2-0"]
    record(world, "first" * 8, "one")
    assert predict(world, "candidate", ["d"]) == ["3-3-0"]


def test_the_marker_is_asked_without_importing_mlflow(world: Built) -> None:
    record(world)
    code = (
        "import sys; from pathlib import Path; from sidmint.layout import Layout;"
        "from sidmint.adapters.mlflow_runs import is_recorded;"
        "print(is_recorded(Layout(Path(sys.argv[1])), sys.argv[2]), 'mlflow' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(world.root), DIGEST]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "True False\n"


def test_the_marker_counts_for_this_store_and_this_build_only(
    world: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(world)
    assert is_recorded(world.layout, DIGEST)
    assert not is_recorded(world.layout, "e" * 64)
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@elsewhere:5000")
        assert not is_recorded(world.layout, DIGEST)
    marker = world.layout.local / "recorded.json"
    text = marker.read_text()
    marker.write_text("{ damaged")
    assert not is_recorded(world.layout, DIGEST)
    marker.write_text(text)
    world.layout.mlflow_database.unlink()
    assert not is_recorded(world.layout, DIGEST)


def test_no_address_of_a_store_is_written_down(world: Built) -> None:
    """A database's address holds its password."""
    record(world)
    marker = (world.layout.local / "recorded.json").read_text()
    assert "sqlite" not in marker
    assert str(world.root) not in marker


def test_the_default_store_has_an_absolute_address(world: Built) -> None:
    assert tracking_uri(world.layout) == f"sqlite:///{world.layout.mlflow_database}"
    assert world.layout.mlflow_database.is_absolute()


@pytest.mark.slow
def test_a_first_use_leaves_logging_as_it_was(tmp_path: Path, world: Built) -> None:
    """MLflow's migration sets the root logger to INFO; then httpx logs every request."""
    world.layout.mlflow_database.unlink()
    before = (logging.getLogger().level, logging.getLogger("httpx").level)
    record(world)
    assert (logging.getLogger().level, logging.getLogger("httpx").level) == before


def test_a_long_parameter_is_shortened_and_kept_in_full_beside(world: Built) -> None:
    from sidmint.adapters.mlflow_store import _shortened

    long, longer = ["x" * 10] * 1000, ["x" * 10] * 1001
    assert len(_shortened(long)) == 6000
    assert _shortened(long) != _shortened(longer)
    folder = Path(client_of(world).download_artifacts(record(world).run_id, "params.json"))
    assert json.loads(folder.read_text())["train"]["tokenizers"] == ["one", "two"]


def test_a_database_without_its_driver_is_named_without_its_password(
    world: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql+pg8000://me:hunter2@localhost/db")
    with pytest.raises(BadInput, match=r"pg8000.*postgresql\+psycopg2://") as caught:
        record(world)
    assert "hunter2" not in str(caught.value)


def test_names_are_made_fit_for_mlflow() -> None:
    assert metric_name("hr@20 (cold)") == "hr_20 _cold_"
    assert metric_name("perplexity_1") == "perplexity_1"
    assert list(flatten({"b": {"c": 1, "a": None}, "a": {}})) == [
        ("a", {}),
        ("b.a", None),
        ("b.c", 1),
    ]
