"""Wherever a table is cut, it is the same table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from shard_world import KEY, count_ids, cut, events, file_bytes, items
from sidmint.errors import BadInput
from sidmint.execution.checking import open_shards
from sidmint.execution.engine import map_and_merge
from sidmint.execution.local import LocalEngine
from sidmint.execution.rowwise import reduce_shards
from sidmint.execution.splitting import split

CUTS = [61, 133, 399, 400, 1000]
LOG = events(num_events=60, num_users=8)


def joined(table: pl.LazyFrame, path: Path) -> bytes:
    table.collect().write_parquet(path)
    return path.read_bytes()


@pytest.mark.parametrize("shard_rows", CUTS)
def test_parts_joined_again_are_the_table_sorted(tmp_path: Path, shard_rows: int) -> None:
    shards = cut(tmp_path / "parts", shard_rows)
    whole = items().sort(KEY).lazy()
    assert joined(shards.scan(), tmp_path / "a") == joined(whole, tmp_path / "b")
    assert [part.rows for part in shards.parts[:-1]] == [shard_rows] * (len(shards.parts) - 1)
    assert shards.num_rows == 400


def test_a_part_may_have_one_row(tmp_path: Path) -> None:
    shards = cut(tmp_path / "parts", 1, num_items=9)
    assert len(shards.parts) == 9
    assert shards.lookup(["item-000004"])[KEY].to_list() == ["item-000004"]


def test_the_order_of_the_rows_is_no_part_of_the_bytes(tmp_path: Path) -> None:
    split(items(), tmp_path / "a", KEY, "x", 100)
    split(items().reverse(), tmp_path / "b", KEY, "x", 100)
    assert file_bytes(tmp_path / "a") == file_bytes(tmp_path / "b")


@pytest.mark.parametrize("shard_rows", CUTS)
def test_a_table_read_a_part_at_a_time_is_cut_as_one_in_memory(
    tmp_path: Path, shard_rows: int
) -> None:
    ordered = items().sort(KEY)
    ordered.write_parquet(tmp_path / "whole.parquet", row_group_size=37)
    lazily = pl.scan_parquet(tmp_path / "whole.parquet")
    split(ordered, tmp_path / "a", KEY, "x", shard_rows)
    split(lazily, tmp_path / "b", KEY, "x", shard_rows)
    assert file_bytes(tmp_path / "a") == file_bytes(tmp_path / "b")


def test_a_finished_table_opens_as_it_was_written(tmp_path: Path) -> None:
    shards = cut(tmp_path / "parts", 150)
    assert open_shards(tmp_path / "parts") == shards
    assert sorted(file_bytes(tmp_path / "parts")) == [
        "part-00000.parquet",
        "part-00001.parquet",
        "part-00002.parquet",
        "parts.json",
    ]


@pytest.mark.parametrize("shard_rows", CUTS)
def test_a_look_up_gives_the_rows_of_its_keys(tmp_path: Path, shard_rows: int) -> None:
    shards = cut(tmp_path / "parts", shard_rows)
    rng = np.random.default_rng(shard_rows)
    keys = [f"item-{number:06d}" for number in rng.integers(0, 800, size=50)]
    wanted = items().filter(pl.col(KEY).is_in(keys)).sort(KEY)
    assert 0 < len(wanted) < 50
    assert shards.lookup(keys).equals(wanted)
    assert shards.lookup(["nothing"]).is_empty()
    assert shards.lookup([]).schema == wanted.schema


@pytest.mark.parametrize("shard_rows", [4, 50, 1000])
def test_rows_of_a_key_that_lie_in_several_parts_are_all_found(
    tmp_path: Path, shard_rows: int
) -> None:
    shards = split(LOG, tmp_path / "parts", "user_id", "x", shard_rows, unique=False)
    for user in (0, 5, 7):
        wanted = LOG.filter(pl.col("user_id") == user)
        assert shards.lookup([user])["at"].to_list() == wanted["at"].to_list()


def test_a_look_up_reads_no_other_part(tmp_path: Path) -> None:
    shards = cut(tmp_path / "parts", 100)
    for index in (0, 2, 3):
        shards.path(index).unlink()
    assert shards.lookup(["item-000150"])[KEY].to_list() == ["item-000150"]


@pytest.mark.parametrize("shard_rows", CUTS)
def test_a_range_gives_the_rows_of_its_keys(tmp_path: Path, shard_rows: int) -> None:
    shards = cut(tmp_path / "parts", shard_rows)
    whole = items().sort(KEY)
    for first, last in ((0, 399), (60, 61), (61, 61), (100, 350), (398, 500), (500, 600), (7, 3)):
        ends = f"item-{first:06d}", f"item-{last:06d}"
        wanted = whole.filter(pl.col(KEY).is_between(*map(pl.lit, ends)))
        assert shards.between(*ends).equals(wanted)
        assert shards.count_between(*ends) == len(wanted)


def test_a_range_is_counted_without_the_parts_that_lie_in_it(tmp_path: Path) -> None:
    shards = cut(tmp_path / "parts", 100)
    shards.path(1).unlink()
    shards.path(2).unlink()
    assert shards.count_between("item-000050", "item-000349") == 300


@pytest.mark.parametrize("shard_rows", [4, 50, 1000])
def test_a_range_has_all_rows_of_a_key_that_lies_in_several_parts(
    tmp_path: Path, shard_rows: int
) -> None:
    shards = split(LOG, tmp_path / "parts", "user_id", "x", shard_rows, unique=False)
    wanted = LOG.filter(pl.col("user_id").is_between(2, 5)).sort("user_id", maintain_order=True)
    assert shards.between(2, 5).equals(wanted)
    assert shards.count_between(2, 5) == len(wanted)


def test_a_look_up_refuses_keys_of_another_type(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="item_id 7 is looked up in a column of type str"):
        cut(tmp_path / "parts", 100).lookup([7])


@pytest.mark.parametrize("shard_rows", CUTS)
def test_sums_of_integers_do_not_depend_on_the_cut(tmp_path: Path, shard_rows: int) -> None:
    shards = cut(tmp_path / "parts", shard_rows)
    with LocalEngine() as engine:
        counted = reduce_shards(engine, count_ids, np.add, shards, "count", 1000)
    assert counted.tolist() == [40] * 10


def test_nothing_has_no_merge() -> None:
    with LocalEngine() as engine, pytest.raises(BadInput, match="count wants at least one shard"):
        map_and_merge(engine, lambda task: 0, max, [], "count")
