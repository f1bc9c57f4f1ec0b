"""A version is made again from its own commit, data and knowledge of the champion, or it is told.

The stages are one command that copies a finished build, so that what they should make is known.
Its report holds what was known of the champion, and an input under DVC.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from releases import CODES, Built, build_workspace
from sidmint.adapters.git_worktree import worktree
from sidmint.errors import BadInput, Refused
from sidmint.publishing.reproduction import caveats, commit_of, inputs_of
from workspaces import edit_params, environment, make_workspace, sidmint, tree_digests

MAKE = (
    "rm -rf data/build && cp -r saved data/build && "
    "cat data/champion.json data/raw/items.csv > data/build/report/report.html"
)


def run(root: Path, *command: str) -> None:
    subprocess.run(command, cwd=root, env=environment(root), check=True, capture_output=True)


def dvc(root: Path, *arguments: str) -> None:
    run(root, sys.executable, "-m", "dvc", *arguments)


def commit(root: Path) -> None:
    run(root, "git", "add", "--all")
    run(root, "git", "commit", "--quiet", "--message", "work", "--allow-empty")


def make(built: Built, items: str, tokenizer: str, command: str = MAKE) -> None:
    """Bring everything up to date as `sidmint run` would, commit it, and publish `tokenizer`."""
    root = built.root
    shutil.rmtree(root / "saved", ignore_errors=True)
    built.layout.build.rename(root / "saved")
    (root / "data/raw/items.csv").write_text(items)
    dvc(root, "add", "--quiet", "data/raw/items.csv")
    deps = ["saved", "data/raw/items.csv", "data/champion.json"]
    stage = {"cmd": command, "deps": deps, "outs": ["data/build"]}
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"build": stage}}))
    dvc(root, "repro", "--quiet")
    commit(root)
    built.publish(tokenizer)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """v0001 and v0002, of other tables, inputs and commits."""
    built = build_workspace(tmp_path_factory.mktemp("again") / "w")
    root = built.root
    (root / "data/raw").mkdir()
    (root / ".gitignore").write_text("/registry/\n/.home/\n/.sidmint/\n/data/champion/\n")
    run(root, "git", "init", "--quiet", ".")
    run(root, "git", "config", "user.email", "test@example.org")
    run(root, "git", "config", "user.name", "test")
    dvc(root, "init", "--quiet")
    make(built, "first", "one")
    built.set_params(seed=8)
    built.build("two", codes=CODES | {"a": (1, 1)})
    make(built, "second", "two")
    return built


def again(built: Built, version: str, *options: str, code: int = 0) -> dict[str, Any]:
    said = sidmint(built.root, "reproduce", version, "--json", *options, code=code)
    return dict(json.JSONDecoder().raw_decode(said)[0])


@pytest.mark.slow
def test_an_older_version_is_made_again_while_all_has_moved_on(built: Built) -> None:
    before = tree_digests(built.layout.build), (built.root / "params.yaml").read_bytes()
    found = again(built, "v0001")
    listed = built.store.release("v0001").manifest["files"]
    assert [file["name"] for file in found["files"]] == sorted(listed)
    assert {file["name"]: file["again"] for file in found["files"]} == {
        name: file["sha256"] for name, file in listed.items()
    }
    assert found["same"] is True
    assert found["notes"] == []
    after = tree_digests(built.layout.build), (built.root / "params.yaml").read_bytes()
    assert after == before
    listing = subprocess.run(
        ["git", "worktree", "list"], cwd=built.root, capture_output=True, text=True, check=True
    )
    assert len(listing.stdout.splitlines()) == 1


@pytest.mark.slow
def test_a_later_version_is_made_again_beside_the_champion_of_its_time(built: Built) -> None:
    assert again(built, "v0002")["same"] is True
    report = built.store.release("v0002").file("report.html").read_text()
    assert '"version": "v0001"' in report
    assert report.endswith("second")


@pytest.mark.slow
def test_what_is_not_made_again_is_named_and_kept(built: Built, tmp_path: Path) -> None:
    other = Built(shutil.copytree(built.root, tmp_path / "w", symlinks=True))
    other.build("one", codes=CODES | {"a": (2, 2)})
    make(other, "third", "one", f"{MAKE} && date +%s%N >> data/build/report/report.html")
    found = again(other, "v0003", "--keep", code=1)
    differing = [file["name"] for file in found["files"] if not file["same"]]
    assert differing == ["dvc.lock", "report.html"]
    kept = Path(found["folder"])
    assert "third" in (kept / "data/build/report/report.html").read_text()
    shutil.rmtree(kept.parent)
    said = sidmint(other.root, "reproduce", "v0003", code=1)
    assert "v0003 was not made again: 2 of" in said
    assert "dvc.lock, report.html" in said


def test_what_git_or_the_registry_does_not_have_is_told(tmp_path: Path) -> None:
    built = build_workspace(tmp_path)
    (built.root / ".git").write_text("gitdir: nowhere")  # the folder above may be a clone
    built.publish("one")
    release = built.store.release()
    with pytest.raises(BadInput, match="made outside of git"):
        commit_of(built.store, release)
    table = release.file("sids.parquet")
    table.chmod(0o644)
    table.write_bytes(b"another")
    with pytest.raises(Refused, match=r"v0001 is damaged:\n  - sids\.parquet was changed"):
        commit_of(built.store, release)
    with pytest.raises(BadInput, match="there is no version 'v0009'"):
        built.store.release("v0009")


def test_a_worktree_is_the_folder_at_the_commit_and_leaves_nothing(tmp_path: Path) -> None:
    shop = tmp_path / "repository" / "shops" / "one"
    shop.mkdir(parents=True)
    repository = tmp_path / "repository"
    (shop / "params.yaml").write_text("then")
    for command in (("init", "--quiet"), ("config", "user.email", "t@example.org")):
        run(repository, "git", *command)
    run(repository, "git", "config", "user.name", "test")
    (repository / ".gitignore").write_text(".home/\n")
    commit(repository)
    asked = ["git", "rev-parse", "HEAD"]
    head = subprocess.run(asked, cwd=shop, capture_output=True, text=True, check=True)
    hook = repository / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    (shop / "params.yaml").write_text("now")
    with worktree(shop, head.stdout.strip()) as folder:
        assert (folder / "params.yaml").read_text() == "then"
        assert folder.parts[-2:] == ("shops", "one")
    assert not folder.exists()
    assert (shop / "params.yaml").read_text() == "now"
    listed = subprocess.run(
        ["git", "worktree", "list"], cwd=shop, capture_output=True, text=True, check=True
    )
    assert len(listed.stdout.splitlines()) == 1
    with pytest.raises(BadInput, match="git fetch"), worktree(shop, "0" * 40):
        pass


@pytest.mark.parametrize("path", ["data/raw/../../x", "/etc/x", "data/build/x", "../data/raw/x"])
def test_an_input_is_restored_below_data_raw_alone(tmp_path: Path, path: str) -> None:
    built = build_workspace(tmp_path)
    built.publish("one")
    manifest = built.store.release().file("manifest.json")
    manifest.chmod(0o644)
    told = json.loads(manifest.read_text()) | {"raw": {path: {"md5": "0"}}}
    manifest.write_text(json.dumps(told))
    with pytest.raises(BadInput, match=r"outside of data/raw"):
        inputs_of(built.store.release())


def test_uncommitted_changes_are_told_but_for_what_the_release_holds(tmp_path: Path) -> None:
    built = build_workspace(tmp_path)
    built.publish("one")
    path = built.store.release().file("manifest.json")
    path.chmod(0o644)
    told = {
        "git_changed": True,
        "git_changed_files": ["dvc.lock", "data/raw/x.csv.dvc", "src/sidmint/pairs.py"],
        "raw": {"data/raw/x.csv": {"md5": "0"}},
        "sidmint_version": "0.0.1",
    }
    path.write_text(json.dumps(json.loads(path.read_text()) | told))
    release = built.store.release()
    first, second = caveats(release, has_own_code=False)
    assert first == "src/sidmint/pairs.py had uncommitted changes, of which git knows nothing"
    assert second.startswith("sidmint 0.0.1 made it")
    assert caveats(release, has_own_code=True) == (first,)


@pytest.mark.slow
@pytest.mark.timeout(1800)  # every stage twice
def test_the_demo_on_a_small_catalogue_is_made_again(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "demo")
    small = {
        "ingest.synthetic": {"num_items": 200, "num_users": 300},
        "train.tokenizers": ["rq_kmeans"],
        "tokenizers": {"rq_kmeans": {"sizes": [8, 8]}},
        "recommend": None,
        "evaluate.cutoffs": [20, 100],
        "gate.rules": {"num_items": {"min": 1}},
        "gate.champion": {},
    }
    edit_params(root, **small)
    commit(root)
    dvc(root, "repro", "--quiet")
    commit(root)
    sidmint(root, "publish")
    found = json.loads(sidmint(root, "reproduce", "v0001", "--json"))
    assert found["same"] is True
    assert {"sids.parquet", "tokenizer/tokenizer.safetensors", "report.html", "dvc.lock"} <= {
        file["name"] for file in found["files"]
    }
