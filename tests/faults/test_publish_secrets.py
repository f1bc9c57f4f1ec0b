"""What a process knows and nobody should read later: none of it is written down."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from recorded_world import MLFLOW_S_OWN, recorded_world
from releases import Built
from sidmint.adapters.mlflow_runs import record_build, register_version, set_champion

SECRET = "hunter2-4f1c"
PLANTED = {
    "AWS_ACCESS_KEY_ID": f"AKIA{SECRET}",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "MLFLOW_TRACKING_PASSWORD": SECRET,
    "PREFECT_API_KEY": SECRET,
    "DATABASE_URL": f"postgresql://ana:{SECRET}@db/mlflow",
}

pytestmark = MLFLOW_S_OWN


def holding(folder: Path, but: tuple[str, ...]) -> list[str]:
    """Files below `folder` that hold the secret, those of `but` aside."""
    return [
        path.relative_to(folder).as_posix()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.relative_to(folder).as_posix() not in but
        and SECRET.encode() in path.read_bytes()
    ]


def test_planted_secrets_reach_no_file_of_a_release_and_no_run(
    tmp_path: Path, migrated_mlflow_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    built: Built = recorded_world(tmp_path / "workspace", migrated_mlflow_database)
    git = ["git", "-C", str(built.root), "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (
        ["init", "-q"],
        ["remote", "add", "origin", f"https://ana:{SECRET}@forge/shop.git"],
        ["add", "params.yaml"],
        ["commit", "-q", "-m", "one"],
    ):
        subprocess.run([*git, *command], check=True)
    record_build(built.layout, built.params, built.artifacts, "d" * 64, "one")
    published = built.publish("one")
    register_version(built.layout, "m", published.path)
    set_champion(built.layout, "m", published.version)
    assert published.manifest["git_commit"]
    assert holding(tmp_path, ("workspace/.git/config",)) == []


def test_the_search_finds_a_secret_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "log.jsonl").write_text(f"x{SECRET}x")
    assert holding(tmp_path, ()) == ["a/b/log.jsonl"]
