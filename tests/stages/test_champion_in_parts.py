"""A champion whose table lies in parts, as the workspace, MLflow and a refresh meet it."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from parted_world import publish_in_both_forms, put_in_parts, some_codes
from refresh_world import NUM_PUBLISHED, batch, copy_of, names, refreshing_world, vectors_of_world
from releases import Built
from sidmint.execution.checking import open_shards
from sidmint.execution.splitting import split
from sidmint.publishing.churn import churn_figures
from sidmint.publishing.difference import compare
from sidmint.publishing.files import copy_hashed
from sidmint.publishing.promotion import propose
from sidmint.publishing.release import rollback
from sidmint.publishing.serving import PublishedTable
from sidmint.publishing.snapshot import champion_ids, champion_sha256, sync_champion
from sidmint.publishing.verify import verify

SHARD_ROWS = 10


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish_in_both_forms(tmp_path_factory.mktemp("champion") / "w", SHARD_ROWS).built.root


@pytest.fixture
def built(template: Path, tmp_path: Path) -> Built:
    """v0001 and v0003 in one file, v0002 and v0004 in parts; v0004 is champion."""
    return Built(Path(shutil.copytree(template, tmp_path / "w")))


def snapshot(built: Built) -> set[str]:
    folder = built.layout.champion_folder
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_workspace_has_the_champions_parts_and_follows_it(built: Built) -> None:
    parts = open_shards(built.layout.champion_folder / "sids")
    published = built.store.release().file("sids/parts.json").read_bytes()
    assert (parts.folder / "parts.json").read_bytes() == published
    assert "sids.parquet" not in snapshot(built)
    assert not sync_champion(built.layout, built.store)
    rollback(built.params, built.layout, to="v0003")
    assert "sids.parquet" in snapshot(built)
    assert not any(name.startswith("sids/") for name in snapshot(built))
    rollback(built.params, built.layout, to="v0002")
    known = champion_ids(built.layout)
    assert known is not None
    assert known.equals(pl.read_parquet(built.store.release("v0001").file("sids.parquet")))
    assert not [path for path in built.layout.champion.parent.iterdir() if "draft" in path.name]


@pytest.mark.parametrize("lost", ["parts.json", "part-00001.parquet"])
def test_parts_that_were_not_all_brought_are_brought_again(built: Built, lost: str) -> None:
    folder = built.layout.champion_folder / "sids"
    before = champion_sha256(built.layout)
    (folder / lost).unlink()
    (folder / "part-00000.parquet").write_bytes(b"half")
    (folder / "part-00077.parquet").write_bytes(b"of another champion")
    assert sync_champion(built.layout, built.store)
    assert champion_sha256(built.layout) == before


def test_a_champion_that_was_left_half_brought_is_no_table(
    built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = built.layout.champion_folder / "sids"
    shutil.rmtree(folder)
    assert sync_champion(built.layout, built.store)
    before = champion_sha256(built.layout)
    (folder / "part-00000.parquet").write_bytes(b"of another champion")
    brought: list[Path] = []

    def dying(source: Path, target: Path) -> str:
        brought.append(target)
        if len(brought) == 2:
            raise KeyboardInterrupt
        return copy_hashed(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("sidmint.publishing.snapshot.copy_hashed", dying)
        with pytest.raises(KeyboardInterrupt):
            sync_champion(built.layout, built.store)
    assert not (folder / "parts.json").exists()
    assert sync_champion(built.layout, built.store)
    assert champion_sha256(built.layout) == before


def test_churn_is_the_same_whatever_form_the_tables_have(built: Built) -> None:
    found = []
    for version in ("v0003", "v0004"):
        if built.store.release().version != version:
            rollback(built.params, built.layout, to=version)
        built.build("one", some_codes(1))
        found.append(churn_figures(built.artifacts, "one"))
        put_in_parts(built, "one", 7)
        found.append(churn_figures(built.artifacts, "one"))
    assert found == [found[0]] * 4
    assert 0 < found[0]["churn_1"] < found[0]["churn"] <= 1
    release = (built.store.release(version) for version in ("v0003", "v0001"))
    churn = compare(*release).churn
    assert churn is not None
    assert found[0]["churn"] == churn[-1]


def test_other_levels_are_churn_in_parts_too(built: Built) -> None:
    built.build("two", {item: (*code, 0) for item, code in some_codes(2).items()})
    table = built.table("two")
    three = pl.read_parquet(table)
    table.unlink()
    split(three, table.with_suffix(""), "item_id", "x", 9)
    assert churn_figures(built.artifacts, "two") == {"churn": 1.0, "aligned_churn": 1.0}


def test_the_table_that_is_champion_already_is_not_published_again(built: Built) -> None:
    built.judge("one")
    assert not built.publish("one").changed
    built.build("one", some_codes(5))
    put_in_parts(built, "one", SHARD_ROWS)
    first = propose(built.params, built.artifacts, built.layout, "one", by="a")
    again = propose(built.params, built.artifacts, built.layout, "one", by="b")
    assert (first.changed, again.changed) == (True, False)
    assert first.version == again.version == "v0005"


def test_a_refresh_of_parts_gives_the_ids_of_a_refresh_of_the_file(tmp_path: Path) -> None:
    """It reads the whole table, and what it writes is one file."""
    world = refreshing_world(tmp_path / "w")
    given = batch(names(20, "new"), vectors_of_world(20, seed=3))
    other = copy_of(world, tmp_path / "other")
    put_in_parts(other.built, "one", 40)
    assert other.built.publish("one").version == "v0002"
    ours, theirs = PublishedTable(world.built.store.release()), other.built.store.release()
    asked = ours.item_ids.to_list()[:2]
    answer = PublishedTable(theirs).recommend(asked, k=3)
    assert answer.items == ours.recommend(asked, k=3).items
    assert world.refresh(given).version == "v0001.1"
    assert other.refresh(given).version == "v0002.1"
    assert other.ids() == world.ids()
    assert len(other.ids()) == NUM_PUBLISHED + 20
    assert verify(other.built.store).problems == ()
    files = other.built.store.release("v0002").manifest["files"]
    refreshed = other.built.store.release("v0002.1").manifest["refresh"]
    assert refreshed["trained_table_sha256"] == files["sids/parts.json"]["sha256"]
    changes = compare(theirs, other.built.store.release("v0002.1")).items
    assert (changes.num_added, changes.num_removed, changes.num_moved) == (20, 0, 0)
