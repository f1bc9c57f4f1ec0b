"""A part that is not what was written is named wherever it is read: judged, published, answered."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from parted_world import BothForms, publish_in_both_forms, put_in_parts, some_codes
from releases import Built
from sidmint.disk import digest
from sidmint.errors import BadInput, Refused
from sidmint.execution.local import LocalEngine
from sidmint.execution.splitting import split
from sidmint.publishing import bundle
from sidmint.publishing.difference import compare
from sidmint.publishing.exporting import Options, export
from sidmint.publishing.files import copy_hashed
from sidmint.publishing.lookup import items_of, lookup
from sidmint.publishing.release import rollback
from sidmint.publishing.serving import PublishedTable
from sidmint.publishing.verify import verify
from sidmint.stages.gate import gate

SHARD_ROWS = 10
Damage = Callable[[Path], None]


def missing(folder: Path) -> None:
    (folder / "part-00001.parquet").unlink()


def twice(folder: Path) -> None:
    shutil.copy(folder / "part-00001.parquet", folder / "part-00009.parquet")


def truncated(folder: Path) -> None:
    path = folder / "part-00001.parquet"
    path.chmod(0o644)
    os.truncate(path, path.stat().st_size - 1)


def of_other_columns(folder: Path) -> None:
    path = folder / "part-00001.parquet"
    path.chmod(0o644)
    pl.read_parquet(path).with_columns(one_more=pl.int_range(pl.len())).write_parquet(path)


def flipped(folder: Path) -> None:
    path = folder / "part-00001.parquet"
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(bytes(data))


DAMAGES = {
    missing: r"part-00001\.parquet is missing",
    twice: r"part-00009\.parquet is not one of the \d parts and holds what part-00001\.parquet ",
    truncated: r"part-00001\.parquet is truncated",
    of_other_columns: r"part-00001\.parquet has other columns than the table: one_more Int64",
    flipped: r"part-00001\.parquet holds other bytes than were written",
}
damages = pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> BothForms:
    return publish_in_both_forms(tmp_path_factory.mktemp("faults") / "w", SHARD_ROWS)


@pytest.fixture
def world(template: BothForms, tmp_path: Path) -> BothForms:
    """Two tables in both forms; v0004 is champion and as data/build has it."""
    return BothForms(Built(Path(shutil.copytree(template.built.root, tmp_path / "w"))), SHARD_ROWS)


@damages
def test_a_damaged_table_is_neither_judged_nor_published(world: BothForms, damage: Damage) -> None:
    built = world.built
    damage(built.table("one").with_suffix(""))
    for act in (
        lambda: gate(built.params, built.artifacts, "one", lambda *_: []),
        lambda: built.publish("one"),
    ):
        with pytest.raises(BadInput, match=DAMAGES[damage]) as caught:
            act()
        assert caught.value.exit_code == 2
    assert built.store.release().version == "v0004"


def test_a_table_cut_anew_is_another_than_was_judged(world: BothForms) -> None:
    folder = world.built.table("one").with_suffix("")
    table = pl.concat([pl.read_parquet(path) for path in sorted(folder.glob("part-*"))])
    shutil.rmtree(folder)
    split(table, folder, "item_id", "others", SHARD_ROWS)
    with pytest.raises(Refused, match=r"assign/sids/parts\.json has other bytes than were judged"):
        world.built.publish("one")


def test_a_part_swapped_between_the_check_and_the_copy_is_refused(
    world: BothForms, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = world.built
    built.build("one", some_codes(3))
    put_in_parts(built, "one", SHARD_ROWS)

    def late(source: Path, target: Path) -> str:
        if source.name == "part-00001.parquet":
            source.write_bytes(source.read_bytes() + b"\n")
        return copy_hashed(source, target)

    monkeypatch.setattr(bundle, "copy_hashed", late)
    with pytest.raises(Refused, match=r"being published: sids/part-00001\.parquet has other"):
        built.publish("one")
    assert not list(built.store.folder.glob("staging/*"))
    assert built.store.release().version == "v0004"


def test_a_code_outside_its_codebook_is_named_with_part_and_row(world: BothForms) -> None:
    built = world.built
    built.build("one", some_codes(3) | {"zz": (9, 0)})
    put_in_parts(built, "one", SHARD_ROWS)
    with pytest.raises(BadInput, match=r"part-0000\d\.parquet: row \d+ has code_1 9, .* 0 to 3"):
        built.publish("one")


@damages
@pytest.mark.parametrize("name", ["sids", "by_id"])
def test_verify_names_the_part_of_a_release(world: BothForms, damage: Damage, name: str) -> None:
    damage(world.release("old", "parts").folder / name)
    found = verify(world.built.store)
    said = {
        missing: f"v0002: {name}/part-00001.parquet is missing",
        twice: f"v0002: {name}/part-00009.parquet is not in the manifest",
    }.get(damage, f"v0002: {name}/part-00001.parquet was changed: its sha256 is not the one")
    assert [problem for problem in found.problems if problem.startswith(said)]
    assert len(found.problems) == 1


def test_verify_in_several_processes_finds_the_same(world: BothForms) -> None:
    flipped(world.release("old", "parts").folder / "by_id")
    truncated(world.release("new", "parts").folder / "sids")
    with LocalEngine(workers=2) as engine:
        found = verify(world.built.store, engine=engine)
    assert found == verify(world.built.store)
    assert len(found.problems) == 2


def test_verify_tells_the_row_that_is_out_of_order(world: BothForms) -> None:
    path = world.release("old", "parts").folder / "sids/part-00001.parquet"
    path.chmod(0o644)
    rows = pl.read_parquet(path)
    rows[[0, 2, 1, *range(3, len(rows))]].write_parquet(path)
    (problem,) = verify(world.built.store).problems
    first, second = rows["item_id"][1], rows["item_id"][2]
    assert problem.endswith(f"part-00001.parquet: row 3 has key {first!r} behind {second!r}")


def test_nobody_rolls_back_to_a_damaged_part(world: BothForms) -> None:
    flipped(world.release("old", "parts").folder / "by_id")
    with pytest.raises(Refused, match=r"v0002 is damaged:\n  - by_id/part-00001\.parquet was"):
        rollback(world.built.params, world.built.layout, to="v0002")


def test_a_damaged_part_is_refused_by_who_reads_it_and_by_nobody_else(world: BothForms) -> None:
    release = world.release("old", "parts")
    parts = [pl.read_parquet(path) for path in sorted(release.folder.glob("sids/part-*"))]
    sound, damaged = parts[0]["item_id"][0], parts[1]["item_id"][0]
    flipped(release.folder / "sids")
    assert lookup(release, sound).item_id == sound
    other = world.release("new", "parts")
    for ask in (
        lambda: lookup(release, damaged),
        lambda: PublishedTable(release).semantic_ids([sound, damaged]),
        lambda: PublishedTable(release).item_ids,
        lambda: compare(release, other),
        lambda: compare(other, release),
        lambda: export(world.built.store, "v0002", "csv", world.built.root / "t.csv", Options()),
    ):
        with pytest.raises(BadInput, match=r"sids/part-00001\.parquet is not what was published"):
            ask()
    assert not (world.built.root / "t.csv").exists()


def test_a_damaged_part_by_id_is_refused_where_its_ids_are_asked_for(world: BothForms) -> None:
    release = world.release("old", "parts")
    ids = [pl.read_parquet(path) for path in sorted(release.folder.glob("by_id/part-*"))]
    sound, damaged = (frame["semantic_id"][0] for frame in ids[:2])
    flipped(release.folder / "by_id")
    table = PublishedTable(release)
    assert table.item(sound) == ids[0]["item_id"][0]
    for ask in (table.item, table.items_under, lambda text: items_of(release, text)):
        with pytest.raises(BadInput, match=r"by_id/part-00001\.parquet is not what was published"):
            ask(damaged)


def test_a_manifest_of_parts_that_was_changed_is_refused(world: BothForms) -> None:
    release = world.release("old", "parts")
    path = release.folder / "sids/parts.json"
    path.chmod(0o644)
    path.write_text(path.read_text().replace('"rows": 10', '"rows": 11', 1))
    with pytest.raises(BadInput, match=r"sids/parts\.json is not what was published"):
        PublishedTable(release)


@damages
def test_the_workspaces_copy_of_the_champion_is_checked(world: BothForms, damage: Damage) -> None:
    built = world.built
    damage(built.layout.champion_folder / "sids")
    with pytest.raises(BadInput, match=DAMAGES[damage]):
        built.judge("one")


def test_what_needs_the_whole_table_says_how_much_is_too_much(
    world: BothForms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sidmint.publishing.tables.MOST_ROWS", 20)
    release = world.release("old", "parts")
    table = PublishedTable(release)
    for ask, what in (
        (lambda: table.item_ids, "a list of all items"),
        (lambda: table.parts, "all ids at once"),
        (lambda: table.trie, "all ids at once"),
        (lambda: table.neighbours(table.item("0-0-0")), "a list of neighbours"),
    ):
        with pytest.raises(BadInput, match=f"{what} reads its whole table into memory, 20 items"):
            ask()
    assert table.semantic_id(table.item("0-0-0")) == "0-0-0"
    assert (
        digest(release.file("sids/parts.json"))
        == release.manifest["files"]["sids/parts.json"]["sha256"]
    )
