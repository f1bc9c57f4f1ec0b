"""Run history in PostgreSQL, as a team would keep it. Starts a server of Debian's package."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from recorded_world import client_of, predict, recorded_world, runs_of
from releases import Built
from sidmint.adapters.mlflow_runs import reconcile, record_build

# MLflow's own: what it uses of SQLAlchemy, and the type hints of its modules.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*type hint:UserWarning"),
]


def find_programs() -> Path:
    """The folder with initdb and pg_ctl; Debian does not put it on PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    if not found and not on_path:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    return found[-1].parent if found else Path(str(on_path)).parent


def as_server_user() -> list[str]:
    """What to put before a command so that it does not run as root, which PostgreSQL refuses."""
    if os.geteuid() != 0:
        return []
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("PostgreSQL refuses to run as root, and there is no user `postgres`")
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    programs, prefix = find_programs(), as_server_user()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Not pytest's folder: that one is closed to other users.
    folder = Path(tempfile.mkdtemp(prefix="sidmint-postgres-"))
    if prefix:
        shutil.chown(folder, "postgres", "postgres")

    def run(program: str, *arguments: str) -> None:
        command = [*prefix, str(programs / program), "-D", str(folder / "data"), *arguments]
        log = folder.with_suffix(".log")
        with log.open("ab") as output:
            ended = subprocess.run(command, cwd="/", stdout=output, stderr=output)
        assert ended.returncode == 0, log.read_text()

    try:
        run("initdb", "-A", "trust", "-U", "postgres", "--no-sync")
        options = f"-F -h 127.0.0.1 -p {port} -k {folder}"
        run("pg_ctl", "-w", "-o", options, "-l", str(folder / "server.log"), "start")
        try:
            yield f"postgresql+psycopg2://postgres@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        folder.with_suffix(".log").unlink(missing_ok=True)


def test_a_team_database_holds_the_same_history(
    database: str,
    tmp_path: Path,
    migrated_mlflow_database: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    world: Built = recorded_world(tmp_path / "workspace", migrated_mlflow_database)
    arguments = (world.layout, world.params, world.artifacts, "d" * 64, "one")
    recorded = record_build(*arguments)
    (world.layout.local / "recorded.json").unlink()
    assert record_build(*arguments) == recorded
    assert len(runs_of(world)) == 3
    assert client_of(world).get_run(recorded.children["one"]).data.metrics["n_eff"] == 2.5
    world.publish("one")
    assert reconcile(world.layout, "m", world.store)[-1] == "champion now points at v0001"
    assert predict(world, "champion", ["a"]) == predict(world, "candidate", ["a"]) == ["0-1-0"]
