"""`sidmint new`, and what a workspace knows of the sidmint that is installed."""

from __future__ import annotations

import importlib
import subprocess
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from sidmint.adapters.dvc_repo import read_plan
from sidmint.cli import app
from sidmint.cli.workspace import VARIABLE
from sidmint.errors import BadInput
from sidmint.layout import Layout, find_workspace
from sidmint.result_versions import (
    as_text,
    differing_versions,
    installed_versions,
    require_level,
    write_versions,
)
from sidmint.templates import demo_params, workspace_files
from workspaces import make_workspace, tree_digests

# DVC uses a part of pygtrie that is going away.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")


def new(folder: Path) -> None:
    result = CliRunner().invoke(app, ["new", str(folder)])
    if result.exception is not None:
        raise result.exception


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
    ).stdout


def test_new_makes_a_workspace_with_the_whole_graph_and_stages_its_files(tmp_path: Path) -> None:
    root = tmp_path / "shop"
    new(root)
    assert find_workspace(root / "data").root == root
    graph = read_plan(root).graph
    assert {"ingest", "train@rq_vae", "gate@rq_kmeans", "report"} <= set(graph.nodes)
    staged = git(root, "diff", "--cached", "--name-only").split()
    assert sorted(staged) == sorted([*workspace_files(), ".dvc/config", ".dvc/.gitignore"])
    assert git(root, "status", "--porcelain", "--untracked-files=all").count("??") == 0


def test_inside_a_repository_a_workspace_is_a_folder_of_it(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    root = tmp_path / "teams" / "shop"
    new(root)
    assert not (root / ".git").exists()
    assert "report" in read_plan(root).graph.nodes
    assert "teams/shop/dvc.yaml" in git(tmp_path, "diff", "--cached", "--name-only")


def test_a_clone_of_an_empty_repository_becomes_a_workspace(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "shop")
    new(tmp_path / "shop")
    assert "report" in read_plan(tmp_path / "shop").graph.nodes


def test_a_folder_that_holds_something_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    before = tree_digests(tmp_path)
    with pytest.raises(BadInput, match=r"not empty \(notes\.txt\)"):
        new(tmp_path)
    with pytest.raises(BadInput, match="is a file"):
        new(tmp_path / "notes.txt")
    assert tree_digests(tmp_path) == before


@pytest.mark.parametrize("exists", [True, False])
def test_what_cannot_be_finished_leaves_nothing(
    exists: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "shop"
    if exists:
        root.mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadInput, match="git cannot be called"):
        new(root)
    assert root.exists() is exists
    assert list(tmp_path.rglob("*")) == ([root] if exists else [])


def test_the_clone_is_a_workspace_as_new_makes_one(repository: Path) -> None:
    """But for data/champion.json, which names what the clone published."""
    files = workspace_files()
    for name in ("dvc.yaml", ".gitignore", ".dvcignore", "result_versions.yaml"):
        assert (repository / name).read_text(encoding="utf-8") == files[name]
    assert files["params.yaml"] == demo_params()


def test_result_versions_are_the_constants_of_the_stages(repository: Path) -> None:
    graph = yaml.safe_load((repository / "dvc.yaml").read_text())["stages"]
    assert set(installed_versions()) == set(graph) - {"recommend_champion"}
    for stage, version in installed_versions().items():
        assert version == importlib.import_module(f"sidmint.stages.{stage}").RESULT_VERSION


def test_every_stage_of_the_graph_depends_on_its_own_line(repository: Path) -> None:
    graph = yaml.safe_load((repository / "dvc.yaml").read_text())["stages"]
    for name, stage in graph.items():
        lines = [p["result_versions.yaml"] for p in stage["params"] if isinstance(p, dict)]
        assert lines == [[stage["cmd"].split()[1]]], name


def test_an_upgrade_makes_the_stages_stale_whose_results_change(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "w")
    layout = Layout(root)
    assert differing_versions(layout) == {}
    installed = installed_versions()
    older = {**installed, "train": installed["train"] - 1, "gone": 1}
    layout.result_versions.write_text(as_text(older), encoding="utf-8")
    assert differing_versions(layout) == {
        "gone": (1, None),
        "train": (installed["train"] - 1, installed["train"]),
    }
    write_versions(layout)
    assert differing_versions(layout) == {}


def test_a_stage_does_not_record_results_under_the_version_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_workspace(tmp_path / "w")
    layout = Layout(root)
    installed = installed_versions()
    layout.result_versions.write_text(as_text(installed | {"ingest": 99}), encoding="utf-8")
    monkeypatch.setenv(VARIABLE, str(root))
    result = CliRunner().invoke(app, ["ingest"])
    assert isinstance(result.exception, BadInput)
    assert f"says ingest: 99, but the installed sidmint makes ingest: {installed['ingest']}" in str(
        result.exception
    )
    assert not layout.stage("ingest").exists()
    require_level(layout, "embed")
    layout.result_versions.unlink()
    require_level(layout, "ingest")
