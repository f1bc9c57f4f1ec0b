"""Whatever was changed behind the registry's back, `verify` finds it and names it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from releases import build_workspace, publish_bare
from sidmint.errors import BadInput, Refused
from sidmint.publishing.audit import seal, to_line
from sidmint.publishing.release import rollback
from sidmint.publishing.store import VersionStore
from sidmint.publishing.verify import verify

FILES = (
    "cases.parquet",
    "manifest.json",
    "metrics.json",
    "neighbours.faiss",
    "params.yaml",
    "report.html",
    "sids.parquet",
    "tokenizer/tokenizer.json",
    "tokenizer/tokenizer.safetensors",
    "verdict.json",
)


@pytest.fixture
def store(tmp_path: Path) -> VersionStore:
    """Two versions of a workspace; v0002 is champion."""
    built = build_workspace(tmp_path)
    built.publish("one")
    built.judge("two")
    built.publish("two")
    assert verify(built.store).problems == ()
    return built.store


def change(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    change(path, bytes(data))


def test_a_release_holds_these_files_and_no_other(store: VersionStore) -> None:
    folder = store.release().folder
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert found == set(FILES)


@pytest.mark.parametrize("version", ["v0001", "v0002"])
@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_in_any_file_is_found(store: VersionStore, version: str, name: str) -> None:
    path = store.release(version).file(name)
    flip(path, path.stat().st_size // 2)
    problems = verify(store).problems
    assert any(problem.startswith(f"{version}: {name}") for problem in problems)
    assert verify(store, version).problems
    other = {"v0001": "v0002", "v0002": "v0001"}[version]
    assert verify(store, other).problems == ()


def test_a_file_changed_together_with_its_manifest_is_found(store: VersionStore) -> None:
    release = store.release("v0001")
    flip(release.file("sids.parquet"), 0)
    manifest = release.manifest
    from sidmint.disk import digest

    manifest["files"]["sids.parquet"]["sha256"] = digest(release.file("sids.parquet"))
    change(release.file("manifest.json"), json.dumps(manifest).encode())
    assert verify(store).problems == (
        "v0001: manifest.json was changed: its sha256 is not the one in the log",
    )


@pytest.mark.parametrize(
    "place", ["versions/v0001/x", "versions/v0002/tokenizer/x", "versions/x", "x"]
)
def test_a_stray_file_is_found(store: VersionStore, place: str) -> None:
    (store.folder / place).write_text("?")
    assert any(place.rsplit("/", 1)[-1] in problem for problem in verify(store).problems)


def test_a_missing_file_and_a_missing_version_are_found(store: VersionStore) -> None:
    store.release("v0001").file("report.html").unlink()
    assert verify(store).problems == ("v0001: report.html is missing",)
    (store.folder / "versions" / "v0001").rename(store.folder.parent / "elsewhere")
    assert verify(store).problems == ("v0001 is in the log, but its folder is gone",)


def test_a_file_replaced_by_a_link_to_the_same_bytes_is_found(store: VersionStore) -> None:
    path = store.release("v0002").file("report.html")
    elsewhere = store.folder.parent / "elsewhere.html"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    problems = verify(store).problems
    assert "v0002: report.html is a link or a device, not a file" in problems


@pytest.mark.parametrize("line", [0, 1])
def test_an_edited_log_line_is_found(store: VersionStore, line: int) -> None:
    lines = store.log.path.read_bytes().splitlines(keepends=True)
    lines[line] = lines[line].replace(b'"by":"test"', b'"by":"nobody"')
    change(store.log.path, b"".join(lines))
    assert any(f"line {line + 1} was edited" in p for p in verify(store).problems)


def test_a_log_line_edited_with_its_hash_breaks_the_next_one(store: VersionStore) -> None:
    first, second = store.log.entries()
    forged = seal({**first, "by": "nobody"}, None)
    change(store.log.path, to_line(forged) + to_line(second))
    assert any("line 2 does not follow" in problem for problem in verify(store).problems)


def test_a_log_rewritten_to_the_end_disagrees_with_the_pointer(store: VersionStore) -> None:
    first, second = store.log.entries()
    forged = seal({**first, "by": "nobody"}, None)
    change(store.log.path, to_line(forged) + to_line(seal(second, forged)))
    assert verify(store).problems
    with pytest.raises(Refused, match="restore"):
        publish_bare(store)


def test_the_first_log_line_removed_is_found(store: VersionStore) -> None:
    change(store.log.path, store.log.path.read_bytes().split(b"\n", 1)[1])
    assert any("line 1" in problem for problem in verify(store).problems)
    with pytest.raises(Refused, match="nothing is added to a log"):
        publish_bare(store)


def test_the_last_log_line_removed_is_found_and_written_again(store: VersionStore) -> None:
    whole = store.log.path.read_bytes()
    change(store.log.path, to_line(store.log.entries()[0]))
    assert any("lacks line 2" in problem for problem in verify(store).problems)
    publish_bare(store)
    assert store.log.path.read_bytes().startswith(whole)


def test_an_empty_log_under_a_later_pointer_is_not_written_over(store: VersionStore) -> None:
    change(store.log.path, b"")
    assert any("at line 2" in problem for problem in verify(store).problems)
    with pytest.raises(Refused, match=r"restore champion\.json and log\.jsonl from one copy"):
        publish_bare(store)


def test_a_pointer_that_was_edited_or_removed_is_found(store: VersionStore) -> None:
    text = (store.folder / "champion.json").read_bytes()
    change((store.folder / "champion.json"), text.replace(b"v0002", b"v0001"))
    assert any("champion.json is damaged" in problem for problem in verify(store).problems)
    with pytest.raises(BadInput, match="damaged"):
        store.release()
    (store.folder / "champion.json").unlink()
    assert any("champion.json is gone" in problem for problem in verify(store).problems)
    with pytest.raises(Refused, match="gone"):
        publish_bare(store)


def test_nobody_rolls_back_to_a_damaged_version(tmp_path: Path) -> None:
    built = build_workspace(tmp_path)
    built.publish("one")
    built.judge("two")
    built.publish("two")
    flip(built.store.release("v0001").file("sids.parquet"), 3)
    with pytest.raises(Refused, match="v0001 is damaged"):
        rollback(built.params, built.layout)
    assert built.store.release().version == "v0002"


def test_a_link_never_becomes_part_of_a_release(tmp_path: Path) -> None:
    built = build_workspace(tmp_path / "w")
    secret = tmp_path / "secret"
    weights = built.layout.stage("train", "one") / "tokenizer.safetensors"
    shutil.copyfile(weights, secret)
    weights.unlink()
    weights.symlink_to(secret)
    with pytest.raises(BadInput, match=r"cache\.type"):
        built.publish("one")

    def assemble(folder: Path) -> dict[str, str]:
        (folder / "sids.parquet").symlink_to(secret)
        return {}

    with pytest.raises(BadInput, match="regular files only"):
        built.store.publish(assemble, None, {})
    assert built.store.versions() == []


def test_a_linked_folder_is_no_version(store: VersionStore) -> None:
    os.symlink(store.folder / "versions" / "v0001", store.folder / "versions" / "v0009")
    assert store.versions() == ["v0001", "v0002"]
    assert verify(store).problems == ("versions/v0009 does not belong in the registry",)
