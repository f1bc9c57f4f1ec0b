"""What is published outlives DVC's housekeeping, and its inputs are where others can get them."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from releases import Built, build_workspace
from s3 import S3, keys
from small_graph import run_dvc
from version_commands import app, stub_mlflow


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Built:
    """A workspace under DVC with one input, and no MLflow."""
    monkeypatch.setenv("SIDMINT_WORKSPACE", str(tmp_path / "shop"))
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    stub_mlflow(monkeypatch)
    built = build_workspace(tmp_path / "shop")
    run_dvc(built.root, "init", "-q", "--no-scm")
    add(built, "the first catalogue")
    return built


def add(built: Built, text: str) -> None:
    built.layout.raw.mkdir(parents=True, exist_ok=True)
    (built.layout.raw / "items.csv").write_text(text)
    run_dvc(built.root, "add", "-q", "data/raw")


def say(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})
    if result.exception is not None:
        raise result.exception
    return result.output


def files_below(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


@pytest.mark.slow
@pytest.mark.parametrize("place", ["folder", "bucket"])
def test_publish_pushes_and_a_version_outlives_the_collection_of_what_is_old(
    built: Built, tmp_path: Path, s3: S3, place: str
) -> None:
    remote = tmp_path / "remote"
    url = str(remote) if place == "folder" else "s3://tables/dvc"
    run_dvc(built.root, "remote", "add", "--default", "store", url)
    run_dvc(built.root, "remote", "modify", "store", "verify", "true")
    if place == "bucket":
        run_dvc(built.root, "remote", "modify", "store", "endpointurl", s3.url)

    def sent() -> int:
        return files_below(remote) if place == "folder" else len(keys())

    assert "DVC's remote store" in say("publish", "--tokenizer", "one")
    assert sent() == 2  # the file, and the list of the folder's files
    add(built, "another catalogue")
    run_dvc(built.root, "push", "-q")
    assert sent() == 4
    run_dvc(built.root, "gc", "-q", "--workspace", "--cloud", "--force")
    assert sent() == 2
    assert "intact" in say("verify")
    assert "0-1" in say("lookup", "a")


def test_a_proposal_pushes_what_it_was_made_of_and_its_promotion_nothing(
    built: Built, tmp_path: Path
) -> None:
    remote = tmp_path / "remote"
    run_dvc(built.root, "remote", "add", "--default", "store", str(remote))
    assert "DVC's remote store" in say("propose", "--tokenizer", "one")
    assert files_below(remote) == 2
    add(built, "what came while people were deciding")
    assert "DVC's remote" not in say("promote", "v0001")
    assert files_below(remote) == 2


def test_a_remote_that_is_gone_is_a_warning_after_the_pointer_moved(
    built: Built, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    run_dvc(built.root, "remote", "add", "--default", "store", str(tmp_path / "file" / "remote"))
    said = say("publish", "--tokenizer", "one")
    assert "published v0001" in said
    assert "`dvc push` sends them" in said


def test_without_a_remote_nothing_is_said_of_one(built: Built) -> None:
    assert "DVC's remote" not in say("publish", "--tokenizer", "one")
