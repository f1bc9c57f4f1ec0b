"""A release in parts answers as the same release in one file, wherever it is cut."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from parted_world import (
    BothForms,
    id_frame,
    prefixes,
    publish_ids,
    publish_in_both_forms,
    publish_many,
    put_in_parts,
    some_codes,
)
from releases import build_workspace
from sidmint.disk import digest
from sidmint.errors import BadInput
from sidmint.execution.checking import open_shards
from sidmint.execution.checking import verify as verify_shards
from sidmint.execution.engine import InThisProcess
from sidmint.publishing.by_id import IdKeys
from sidmint.publishing.difference import compare
from sidmint.publishing.exporting import Format, Options, export
from sidmint.publishing.lookup import items_of, lookup
from sidmint.publishing.serving import PublishedTable
from sidmint.publishing.store import VersionStore
from sidmint.publishing.verify import verify
from sidmint.publishing.versions import Release
from traced import resident_peak
from traced_works import comparing_releases, looking_up


@pytest.fixture(scope="module", params=[5, 24, 1000])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> BothForms:
    return publish_in_both_forms(tmp_path_factory.mktemp("forms") / "w", request.param)


@pytest.fixture(scope="module")
def without_suffix(tmp_path_factory: pytest.TempPathFactory) -> BothForms:
    return publish_in_both_forms(tmp_path_factory.mktemp("bare") / "w", 9, suffixed=False)


def items(release: Release) -> list[str]:
    return PublishedTable(release).item_ids.to_list()


def answers(ask: Any) -> Any:
    """What it answers, or that it refuses."""
    try:
        return ask()
    except BadInput:
        return "refused"


def test_both_forms_describe_the_same_table(world: BothForms) -> None:
    file, parts = world.both()
    for key in ("num_items", "semantic_ids", "neighbours", "catalogue_digest", "tokenizer"):
        assert file.manifest[key] == parts.manifest[key]
    assert "sids.parquet" not in parts.manifest["files"]
    assert {"sids/parts.json", "by_id/parts.json"} <= parts.manifest["files"].keys()


def test_every_digest_of_the_manifest_is_that_of_its_file(world: BothForms) -> None:
    release = world.release("new", "parts")
    for name, listed in release.manifest["files"].items():
        path = release.file(name)
        assert listed == {"sha256": digest(path), "bytes": path.stat().st_size}


def test_every_item_is_looked_up_alike(world: BothForms) -> None:
    for which in ("old", "new"):
        file, parts = world.both(which)
        for item in items(file):
            found = dataclasses.asdict(lookup(parts, item)) | {"version": file.version}
            assert found == dataclasses.asdict(lookup(file, item))
        with pytest.raises(BadInput, match="no item 'nothing' among its"):
            lookup(parts, "nothing")


def test_an_unknown_item_is_told_of_those_beside_where_it_would_stand(world: BothForms) -> None:
    parts = world.release("old", "parts")
    first = items(parts)[0]
    with pytest.raises(BadInput, match=f"no item '{first} ' among its .* items; there is {first}"):
        lookup(parts, f"{first} ")


def test_every_prefix_finds_the_same_items(world: BothForms) -> None:
    file, parts = world.both()
    found = {prefix: items_of(parts, prefix) for prefix in prefixes(file)}
    assert all(each.equals(items_of(file, prefix)) for prefix, each in found.items())
    assert sum(each.height for each in found.values()) > 0
    assert any(each.is_empty() for each in found.values())
    assert answers(lambda: items_of(parts, "9")) == "refused"


def test_a_program_gets_the_same_answers(world: BothForms) -> None:
    file, parts = (PublishedTable(release) for release in world.both())
    every = file.item_ids.to_list()
    ids = file.semantic_ids(every).to_list()
    asked = [every[3], "nothing", every[0], every[3]]
    other = [ids[3], "0-0-99", ids[0], ids[3], "0" + ids[1], "x", ids[0].rpartition("-")[0]]
    for ask in (
        lambda table: (len(table), table.sizes, table.item_ids.to_list(), table.parts.tolist()),
        lambda table: [table.semantic_id(item) for item in every],
        lambda table: [table.item(each) for each in ids],
        lambda table: table.semantic_ids(asked, unknown="null").to_list(),
        lambda table: table.items(other, unknown="null").to_list(),
        lambda table: (table.semantic_ids([]).to_list(), table.items([]).to_list()),
        lambda table: [table.items_under(each).to_list() for each in ("0", "0-0", ids[5], "3-7")],
        lambda table: [answers(lambda one=one: table.item(one)) for one in other],
        lambda table: answers(lambda: table.semantic_ids(asked)),
        lambda table: table.trie.following([0]),
        lambda table: [each.item_id for each in table.neighbours(every[2], k=3).items],
    ):
        assert ask(parts) == ask(file)


def test_ids_without_a_suffix_are_found_too(without_suffix: BothForms) -> None:
    file, parts = without_suffix.both()
    assert file.ids.suffix_size == 0
    for item in items(file):
        one, other = (lookup(release, item) for release in (file, parts))
        assert (one.semantic_id, one.siblings) == (other.semantic_id, other.siblings)
        assert PublishedTable(parts).item(str(one.semantic_id)) == item


@pytest.mark.parametrize("forms", [("parts", "parts"), ("file", "parts"), ("parts", "file")])
@pytest.mark.parametrize("tables", [("old", "new"), ("new", "old"), ("old", "old")])
def test_a_difference_is_that_of_the_files(
    world: BothForms, forms: tuple[str, str], tables: tuple[str, str]
) -> None:
    found, wanted = (
        compare(*(world.release(table, form) for table, form in zip(tables, each, strict=True)))
        for each in (forms, ("file", "file"))
    )
    for name in ("items", "turnover", "examples", "codes", "churn", "aligned_churn"):
        assert getattr(found, name) == getattr(wanted, name)
    if tables[0] != tables[1]:
        assert min(found.items.num_added, found.items.num_removed, found.items.num_moved) > 0
        assert 0 < found.turnover.moved < 1


@pytest.mark.parametrize("form", ["index-json", "csv", "delta"])
def test_an_export_has_the_same_bytes(world: BothForms, form: Format, tmp_path: Path) -> None:
    suffix = {"index-json": "json", "csv": "csv", "delta": "parquet"}[form]
    found = []
    for place in ("file", "parts"):
        since = world.release("old", place).version if form == "delta" else None
        version = world.release("new", place).version
        path = tmp_path / f"{place}.{suffix}"
        found.append(export(world.built.store, version, form, path, Options(since)).sha256)
    assert found[0] == found[1]
    assert (tmp_path / f"parts.{suffix}").stat().st_size > 500


def test_a_delta_in_json_has_the_same_changes(world: BothForms, tmp_path: Path) -> None:
    found = []
    for place in ("file", "parts"):
        since, version = (world.release(which, place).version for which in ("old", "new"))
        path = tmp_path / f"{place}.json"
        export(world.built.store, version, "delta", path, Options(since))
        found.append(json.loads(path.read_text()))
    for change in ("added", "removed", "moved"):
        assert found[0][change] == found[1][change] != {}


def test_an_export_to_parquet_has_the_same_rows(world: BothForms, tmp_path: Path) -> None:
    file, parts = world.both()
    path = tmp_path / "t.parquet"
    export(world.built.store, parts.version, "parquet", path, Options())
    assert pl.read_parquet(path).equals(pl.read_parquet(file.file("sids.parquet")))


def test_an_untouched_registry_verifies_and_its_tables_are_whole(world: BothForms) -> None:
    assert verify(world.built.store).problems == ()
    for which in ("old", "new"):
        release = world.release(which, "parts")
        for name in ("sids", "by_id"):
            shards = open_shards(release.folder / name)
            assert verify_shards(shards, InThisProcess()) == ()
            assert shards.num_rows == len(items(release))


def test_the_same_table_publishes_to_the_same_bytes(world: BothForms, tmp_path: Path) -> None:
    again = publish_in_both_forms(tmp_path / "w", world.shard_rows, seeds=(1,))
    files = [each.release("old", "parts").manifest["files"] for each in (world, again)]
    tables = [name for name in files[0] if name.startswith(("sids/", "by_id/"))]
    assert len(tables) >= 4
    assert all(files[0][name] == files[1][name] for name in tables)


def test_keys_sort_as_ids_do_and_ranges_are_those_below_a_prefix() -> None:
    sizes = (3, 1, 5, 4)
    every = np.stack(np.unravel_index(np.arange(np.prod(sizes)), sizes), axis=1)
    keys = IdKeys(sizes)
    found = keys.of(every)
    assert keys.length == 4
    assert (np.diff(found) > 0).all()
    for length in range(5):
        for prefix in np.unique(every[:, :length], axis=0):
            first, last = keys.below(prefix.tolist())
            mine = (every[:, :length] == prefix).all(axis=1)
            assert ((first <= found) & (found <= last)).tolist() == mine.tolist()


def test_ids_of_more_than_63_bits_are_told_apart_by_their_text(tmp_path: Path) -> None:
    """Keys hold three of four levels, and below (1, 2, 3) are five items."""
    keys = IdKeys((2**20,) * 4)
    one, other = (1, 2, 3, 4), (1, 2, 3, 5)
    assert keys.below(one) == keys.below(other)
    assert keys.decides((1, 2, 3))
    assert not keys.decides(one)
    codes = [(1, 2, 3, last) for last in (40, 4, 5, 44, 0)] + [(1, 2, 2, 4), (1, 3, 3, 4)]
    codes += [(2**20 - 1,) * 4]
    frame = id_frame(list("abcdefgh"), np.array(codes))
    release = VersionStore(tmp_path).release(
        publish_ids(VersionStore(tmp_path), [frame], keys.sizes, shard_rows=3)
    )
    table = PublishedTable(release)
    assert table.items_under("1-2-3").to_list() == list("abcde")
    assert table.items_under("1-2-3-4").to_list() == ["b"]
    ids = frame["semantic_id"].to_list()
    assert table.items([*ids, "1-2-3-1"], unknown="null").to_list() == [*"abcdefgh", None]
    found = [(each.prefix, each.num_items) for each in lookup(release, "b").siblings]
    assert found == [("1", 6), ("1-2", 5), ("1-2-3", 4), ("1-2-3-4", 0)]


@pytest.mark.parametrize("missing", [2, 100])
def test_items_without_an_id_are_there_and_below_no_prefix(tmp_path: Path, missing: int) -> None:
    """An override can publish such: of all items, then, there is no table by id."""
    built = build_workspace(tmp_path / "w")
    built.build("one", some_codes(1))
    table = pl.read_parquet(built.table("one"))
    lacks = pl.int_range(pl.len()) < missing
    codes = [pl.when(~lacks).then(pl.col(name)) for name in ("code_1", "code_2", "semantic_id")]
    table.with_columns(codes).write_parquet(built.table("one"))
    built.judge("one")
    built.publish("one")
    put_in_parts(built, "one", 20)
    built.publish("one")
    file, parts = (built.store.release(version) for version in ("v0001", "v0002"))
    tables = [PublishedTable(release) for release in (file, parts)]
    every = tables[0].item_ids.to_list()
    assert parts.has("by_id/parts.json") == (missing < len(every))
    assert tables[0].parts.tolist() == tables[1].parts.tolist()
    for item in every:
        one, other = (lookup(release, item) for release in (file, parts))
        assert dataclasses.replace(one, version="v0002") == other
    for prefix in ("0", "0-0", "3"):
        assert items_of(parts, prefix).equals(items_of(file, prefix))
    with pytest.raises(BadInput, match=f"item '{every[0]}' has no Semantic ID in v0002"):
        tables[1].semantic_id(every[0])
    lacking = min(missing, len(every))
    with pytest.raises(BadInput, match=f"^{lacking} items of v0002 have no .* them '{every[0]}'"):
        export(built.store, "v0002", "csv", tmp_path / "t.csv", Options())


def test_an_id_that_two_items_have_names_neither(tmp_path: Path) -> None:
    frame = id_frame(["a", "b", "c"], np.array([(0, 1), (0, 1), (1, 1)]))
    store = VersionStore(tmp_path)
    table = PublishedTable(store.release(publish_ids(store, [frame], (2, 2), shard_rows=2)))
    with pytest.raises(BadInput, match="v0001 gives 0-1 to several items"):
        table.item("0-1")
    assert table.item("1-1") == "c"
    assert table.items_under("0-1").to_list() == ["a", "b"]


@pytest.mark.slow
def test_a_difference_and_a_look_up_hold_a_few_parts_whatever_the_table_holds(
    tmp_path: Path,
) -> None:
    """960,000 rows of two tables are 85 MB each in memory, and a part of them 2 MB."""
    store = VersionStore(tmp_path / "registry")
    old, new = (publish_many(store, 960_000, 20_000, seed) for seed in (1, 2))
    changes, peak = resident_peak(comparing_releases, store.folder, old, new)
    assert peak < 100_000_000
    assert all(8_000 < count < 25_000 for count in changes)
    found, peak = resident_peak(looking_up, store.folder, old, f"item-{7:035d}")
    assert found == "137-216-0"
    assert peak < 50_000_000
