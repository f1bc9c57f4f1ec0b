"""A publisher killed at any moment leaves a registry that reads well and takes the next publish."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from releases import FACTS, Built, build_workspace, publish_bare, refresh_bare
from sidmint.disk import digest
from sidmint.errors import StorageFailed
from sidmint.publishing.acts import moves
from sidmint.publishing.audit import AuditLog
from sidmint.publishing.snapshot import sync_champion
from sidmint.publishing.store import VersionStore
from sidmint.publishing.verify import verify
from small_disk import small_disk

TESTS = Path(__file__).resolve().parents[1]


def kill_at_every_step(move: str, template: Path, work: Path, how: str = "kill") -> list[Path]:
    """The registries that `publish_killer.py` left behind; the last one was not killed."""
    script = str(TESTS / "faults" / "publish_killer.py")
    path = os.pathsep.join([str(TESTS), str(TESTS.parent / "src")])
    subprocess.run(
        [sys.executable, "-W", "ignore", script, move, str(template), str(work), how],
        env={**os.environ, "PYTHONPATH": path},
        check=True,
        timeout=300,
    )
    return sorted(work.iterdir())


def check_readable(store: VersionStore, allowed: set[str | None]) -> str | None:
    """The champion, after proving that what a reader sees is whole."""
    champion = store.champion()
    version = champion.version if champion else None
    assert version in allowed
    if champion:
        assert digest(store.release().file("manifest.json")) == champion.manifest_sha256
    elif not store.versions():
        return None
    problems = verify(store).problems
    assert all("lacks line" in problem for problem in problems)
    return version


def check_next_publish(store: VersionStore, before: str | None) -> None:
    known = store.versions()
    version = publish_bare(store, b"the next one")
    assert version not in known
    assert store.release().version == version
    assert verify(store).problems == ()
    assert not (store.folder / "staging").exists()
    log = store.log.entries()
    assert log[-1]["previous"] == before
    if before:
        assert [entry["version"] for entry in log if moves(entry)][-2] == before


@pytest.mark.parametrize("published", [0, 1], ids=["first", "second"])
def test_a_publish_killed_before_any_call_leaves_all_readable(
    tmp_path: Path, published: int
) -> None:
    template, work = tmp_path / "template", tmp_path / "work"
    template.mkdir()
    work.mkdir()
    for _ in range(published):
        publish_bare(VersionStore(template))
    before = "v0001" if published else None
    after = f"v{published + 1:04d}"
    registries = kill_at_every_step("publish", template, work)
    assert len(registries) > 15
    champions = []
    for registry in registries:
        store = VersionStore(registry)
        champions.append(check_readable(store, {before, after}))
        check_next_publish(store, champions[-1])
    # The move happens at one moment: before it always the old champion, from it on the new one.
    moved_at = champions.index(after)
    assert champions == [before] * moved_at + [after] * (len(champions) - moved_at)
    assert moved_at < len(champions) - 1


def test_a_rollback_killed_before_any_call_leaves_all_readable(tmp_path: Path) -> None:
    template, work = tmp_path / "template", tmp_path / "work"
    work.mkdir()
    publish_bare(VersionStore(template))
    publish_bare(VersionStore(template))
    champions = []
    for registry in kill_at_every_step("rollback", template, work):
        store = VersionStore(registry)
        champions.append(check_readable(store, {"v0001", "v0002"}))
        check_next_publish(store, champions[-1])
    assert champions[0] == "v0002"
    assert champions[-1] == "v0001"


@pytest.mark.parametrize("act", ["propose", "retire"])
def test_an_act_that_moves_nothing_killed_before_any_call_moves_nothing(
    tmp_path: Path, act: str
) -> None:
    template, work = tmp_path / "template", tmp_path / "work"
    work.mkdir()
    for _ in range(2):
        publish_bare(VersionStore(template))
    told = []
    for registry in kill_at_every_step(act, template, work):
        store = VersionStore(registry)
        assert check_readable(store, {"v0002"}) == "v0002"
        told.append([entry["action"] for entry in store.entries()])
        check_next_publish(store, "v0002")
        assert told[-1] == [entry["action"] for entry in store.log.entries()][:-1]
    # The act happens at one moment too: before it there is no line of it, from then on one.
    happened_at = told.index(["publish", "publish", act])
    assert told[:happened_at] == [["publish", "publish"]] * happened_at
    assert len({len(each) for each in told[happened_at:]}) == 1
    assert 0 < happened_at < len(told) - 1


@pytest.mark.parametrize("act", ["propose", "retire"])
def test_a_full_disk_in_an_act_that_moves_nothing_is_told(tmp_path: Path, act: str) -> None:
    template = VersionStore(tmp_path / "template")
    publish_bare(template, b"one")
    publish_bare(template, b"two")
    left = kill_at_every_step(act, template.folder, tmp_path / "work", "full")
    assert len(left) > 5
    for folder in left:
        store = VersionStore(folder)
        assert check_readable(store, {"v0002"}) == "v0002"
        check_next_publish(store, "v0002")


def test_a_refresh_killed_before_any_call_leaves_all_readable(tmp_path: Path) -> None:
    template, work = tmp_path / "template", tmp_path / "work"
    work.mkdir()
    publish_bare(VersionStore(template))
    champions = []
    for registry in kill_at_every_step("refresh", template, work):
        store = VersionStore(registry)
        champions.append(check_readable(store, {"v0001", "v0001.1"}))
        # Whatever was left behind, a number is not given twice.
        known = store.versions()
        assert refresh_bare(store, b"once more") not in known
        check_next_publish(store, store.release().version)
    moved_at = champions.index("v0001.1")
    assert champions == ["v0001"] * moved_at + ["v0001.1"] * (len(champions) - moved_at)


@pytest.mark.parametrize("written", [0, 1, 100, -1])
def test_a_half_written_log_line_is_completed(tmp_path: Path, written: int) -> None:
    store = VersionStore(tmp_path)
    publish_bare(store)
    first = store.log.path.read_bytes()
    publish_bare(store)
    whole = store.log.path.read_bytes()
    store.log.path.write_bytes(first + whole[len(first) :][:written])
    assert any("lacks line 2" in problem for problem in verify(store).problems)
    assert store.recover()
    assert store.log.path.read_bytes() == whole
    assert verify(store).problems == ()
    assert not store.recover()


@pytest.mark.parametrize("move", ["publish", "rollback", "refresh"])
def test_a_full_disk_at_any_step_is_told_and_loses_nothing(tmp_path: Path, move: str) -> None:
    template = VersionStore(tmp_path / "template")
    publish_bare(template, b"one")
    publish_bare(template, b"two")
    moved = {"publish": "v0003", "rollback": "v0001", "refresh": "v0002.1"}[move]
    left = kill_at_every_step(move, template.folder, tmp_path / "work", "full")
    assert len(left) > 5
    for folder in left:
        store = VersionStore(folder)
        before = check_readable(store, {"v0002", moved})
        check_next_publish(store, before)


def test_a_small_disk_is_told_as_a_user_meets_it(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "64k") as disk:
        store = VersionStore(disk / "registry")
        publish_bare(store, b"small")
        with pytest.raises(StorageFailed, match=r"No space left on device.*the command again"):
            publish_bare(store, b"x" * 100_000)
        assert check_readable(store, {"v0001"}) == "v0001"
        check_next_publish(store, "v0001")


def test_an_assembly_that_fails_leaves_nothing(tmp_path: Path) -> None:
    store = VersionStore(tmp_path)
    publish_bare(store)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def assemble(folder: Path) -> dict[str, str]:
        (folder / "sids.parquet").write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(StorageFailed, match="cannot be written: disk full"):
        store.publish(assemble, "v0001", FACTS)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert publish_bare(store) == "v0002"


def test_a_publish_stopped_before_the_snapshot_is_brought_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: Built = build_workspace(tmp_path)

    def stopped(*_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr("sidmint.publishing.release.sync_champion", stopped)
    with pytest.raises(KeyboardInterrupt):
        built.publish("one")
    assert '"version": null' in built.layout.champion.read_text()
    assert sync_champion(built.layout, built.store)
    assert '"version": "v0001"' in built.layout.champion.read_text()
    assert not sync_champion(built.layout, built.store)


def test_a_log_line_that_finds_no_room_says_that_the_champion_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store = VersionStore(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(AuditLog, "append", full)
        with pytest.raises(StorageFailed, match="v0001 is champion, and the next") as failed:
            publish_bare(store)
    assert "stays as it was" not in str(failed.value)
    assert store.release().version == "v0001"
    assert store.recover()
