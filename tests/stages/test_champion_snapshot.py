"""What a workspace keeps of its registry for the report: cases of the champion, and a history."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from releases import CODES, Built, build_workspace
from sidmint.errors import BadInput
from sidmint.layout import Layout
from sidmint.publishing.release import Override, rollback
from sidmint.publishing.snapshot import (
    CASES,
    CHAMPION_TABLE,
    HISTORY,
    cases_by_id,
    read_cases,
    read_history,
    sync_champion,
    version_history,
)
from sidmint.publishing.verify import verify


@pytest.fixture
def built(tmp_path: Path) -> Built:
    return build_workspace(tmp_path / "w")


def publish_without_cases(built: Built) -> None:
    """Publish `two` as a sidmint did that kept no cases in a release."""
    champion = built.store.champion()
    whole = built.store.release()

    def assemble(folder: Path) -> dict[str, Any]:
        shutil.copytree(whole.folder, folder, dirs_exist_ok=True)
        for name in (CASES, "manifest.json"):
            (folder / name).unlink()
        for file in folder.rglob("*"):
            file.chmod(0o755 if file.is_dir() else 0o644)
        return {**whole.manifest, "tokenizer": "two"}

    facts = {"action": "publish", "tokenizer": "two", "by": "test", "reason": None}
    built.store.publish(assemble, champion.version if champion else None, facts)
    sync_champion(built.layout, built.store)


def files_of(built: Built) -> list[str]:
    return sorted(path.name for path in built.layout.champion_folder.iterdir())


def test_a_release_keeps_how_each_case_was_answered(built: Built) -> None:
    release = built.store.release(built.publish("one").version)
    written = built.layout.stage("evaluate", "one") / "cases.parquet"
    assert release.file(CASES).read_bytes() == written.read_bytes()
    assert CASES in release.manifest["files"]
    assert verify(built.store).problems == ()


def test_the_workspace_gets_the_champion_s_cases_with_items_by_their_ids(built: Built) -> None:
    built.publish("one")
    kept = read_cases(built.layout, "v0001")
    assert kept is not None
    assert kept.num_items == len(CODES)
    assert kept.table.select("user_id", "query_id", "target_id").rows() == [
        ("u0", "a", "b"), ("u1", "b", "c"), ("u2", "c", "d"),
    ]  # fmt: skip
    figures = {f"{s}_{k}" for s in ("original", "reconstructed", "prefix")
               for k in ("better", "tied")}  # fmt: skip
    assert set(kept.table.columns) == {"user_id", "query_id", "target_id"} | figures


def test_without_a_champion_the_folder_is_as_git_has_it(built: Built) -> None:
    sync_champion(built.layout, built.store)
    assert files_of(built) == []
    assert read_history(built.layout) is None
    assert json.loads(built.layout.champion.read_text())["version"] is None


def test_what_is_level_is_not_written_again(built: Built) -> None:
    built.publish("one")
    before = {path: path.stat().st_mtime_ns for path in built.layout.champion_folder.iterdir()}
    assert sorted(path.name for path in before) == [CASES, HISTORY, CHAMPION_TABLE]
    assert not sync_champion(built.layout, built.store)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert [path.name for path in built.layout.champion.parent.glob(".*")] == []


def test_each_lost_file_is_brought_back(built: Built) -> None:
    built.publish("one")
    for name in (CASES, HISTORY):
        path = built.layout.champion_folder / name
        whole = path.read_bytes()
        path.unlink()
        assert sync_champion(built.layout, built.store)
        assert path.read_bytes() == whole


def test_history_tells_overrides_rollbacks_and_the_champion(built: Built) -> None:
    built.publish("one")
    built.judge("two", refused=True)
    built.publish("two", Override(by="Ada", reason="a demo tonight"))
    rollback(built.params, built.layout)
    told = read_history(built.layout)
    assert told == version_history(built.store)
    assert told is not None
    marks = ("version", "tokenizer", "champion", "override", "rolled_back")
    assert [tuple(each[mark] for mark in marks) for each in told] == [
        ("v0001", "one", True, False, False),
        ("v0002", "two", False, True, True),
    ]
    assert told[1]["metrics"] == built.store.release("v0002").metrics
    assert told[1]["created_at"] == built.store.release("v0002").manifest["created_at"]


def test_a_version_that_is_champion_again_counts_as_rolled_back_no_more(built: Built) -> None:
    built.publish("one")
    built.judge("two")
    built.publish("two")
    rollback(built.params, built.layout)
    rollback(built.params, built.layout, to="v0002")
    told = version_history(built.store)
    assert [(each["champion"], each["rolled_back"]) for each in told] == [
        (False, True), (True, False),
    ]  # fmt: skip


def test_a_version_that_was_never_champion_has_no_place_in_history(built: Built) -> None:
    built.publish("one")
    shutil.copytree(built.store.release("v0001").folder, built.store.folder / "versions" / "v0002")
    assert [each["version"] for each in version_history(built.store)] == ["v0001"]


def test_an_older_release_without_cases_works_everywhere(built: Built) -> None:
    built.publish("one")
    publish_without_cases(built)
    assert verify(built.store).problems == ()
    assert files_of(built) == [HISTORY, CHAMPION_TABLE]
    assert read_cases(built.layout, "v0002") is None
    rollback(built.params, built.layout)
    assert read_cases(built.layout, "v0001") is not None
    rollback(built.params, built.layout, to="v0002")
    assert files_of(built) == [HISTORY, CHAMPION_TABLE]
    assert json.loads(built.layout.champion.read_text())["version"] == "v0002"


def test_cases_without_users_are_no_cases(built: Built) -> None:
    path = built.layout.stage("evaluate", "one") / "cases.parquet"
    pl.read_parquet(path).drop("user_id").write_parquet(path)
    built.judge("one")
    built.publish("one")
    assert files_of(built) == [HISTORY, CHAMPION_TABLE]


def test_cases_of_another_champion_are_not_taken_for_this_one_s(built: Built) -> None:
    built.publish("one")
    assert read_cases(built.layout, "v0002") is None


def test_a_damaged_old_version_stops_no_run(built: Built) -> None:
    built.publish("one")
    built.judge("two")
    built.publish("two")
    metrics = built.store.release("v0001").file("metrics.json")
    metrics.chmod(0o644)
    metrics.write_text("not json")
    assert sync_champion(built.layout, built.store)
    assert [each["version"] for each in version_history(built.store)] == ["v0002"]


def test_damaged_cases_of_the_champion_say_what_to_do(built: Built) -> None:
    built.publish("one")
    path = built.store.release().file(CASES)
    path.chmod(0o644)
    path.write_bytes(b"PAR1 half")
    with pytest.raises(BadInput, match=r"v0001 cannot be read .* `sidmint verify v0001`"):
        sync_champion(built.layout, built.store)


@pytest.mark.parametrize(
    ("name", "read"),
    [(CASES, lambda layout: read_cases(layout, "v0001")), (HISTORY, read_history)],
)
def test_a_broken_file_of_the_workspace_is_named(
    built: Built, name: str, read: Callable[[Layout], Any]
) -> None:
    built.publish("one")
    (built.layout.champion_folder / name).write_bytes(b"?")
    with pytest.raises(BadInput, match=rf"{name} cannot be read .* delete it"):
        read(built.layout)


def test_a_history_beyond_the_range_of_floats_is_named(built: Built) -> None:
    built.publish("one")
    path = built.layout.champion_folder / HISTORY
    path.write_text(path.read_text().replace("2.5", "1" + "0" * 400))
    with pytest.raises(BadInput, match=r"history\.json: n_eff is no number that a float can hold"):
        read_history(built.layout)


def test_rows_of_another_catalogue_are_refused() -> None:
    cases = pl.DataFrame({"user_id": ["u"], "query_row": [0], "target_row": [4]})
    with pytest.raises(BadInput, match="rows of 4 items"):
        cases_by_id(cases, pl.Series(["a", "b", "c", "d"]))
