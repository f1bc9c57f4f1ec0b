"""MLflow's database held by another process: the registry goes on, and MLflow is told later."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from recorded_world import MLFLOW_S_OWN, client_of, with_two_versions
from releases import Built
from sidmint.adapters.mlflow_runs import reconcile
from sidmint.cli import app
from sidmint.errors import StorageFailed

pytestmark = [pytest.mark.slow, *MLFLOW_S_OWN]


@pytest.fixture
def world(tmp_path: Path, migrated_mlflow_database: Path, monkeypatch: pytest.MonkeyPatch) -> Built:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    built = with_two_versions(tmp_path / "workspace", migrated_mlflow_database)
    reconcile(built.layout, "m", built.store)
    monkeypatch.chdir(built.root)
    return built


@contextmanager
def held(database: Path) -> Iterator[None]:
    """Another connection writes, and does not end."""
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def champion_in_mlflow(built: Built) -> str:
    alias = client_of(built).get_model_version_by_alias("m", "champion")
    return str(alias.tags["sidmint.version"])


def run(*command: str) -> Result:
    return CliRunner().invoke(app, list(command), env={"COLUMNS": "200"})


def test_a_rollback_does_not_wait_for_ever_and_is_told_later(world: Built) -> None:
    with held(world.layout.mlflow_database):
        result, too_early = run("rollback", "--to", "v0001"), run("reconcile")
    assert result.exit_code == 0
    told = " ".join(result.stderr.split())
    assert "MLflow does not know it yet" in told
    assert "database is locked" in told
    assert told.endswith("`sidmint reconcile` tells it")
    assert "SELECT" not in told
    assert world.store.release().version == "v0001"
    assert isinstance(too_early.exception, StorageFailed)
    assert "SELECT" not in str(too_early.exception)
    assert champion_in_mlflow(world) == "v0002"
    assert run("reconcile").exit_code == 0
    assert champion_in_mlflow(world) == "v0001"
