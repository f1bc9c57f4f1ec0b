"""Ids of a table in shards are the ids of the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks_world import Cut, WatchedSpill, cut_codes
from sidmint.errors import BadInput
from sidmint.partitions import MemorySpill
from sidmint.semantic_ids import SemanticIds, resolve_by_reassignment, resolve_by_suffix
from sidmint.sharded_ids import (
    ShardedIds,
    resolve_shards_by_reassignment,
    resolve_shards_by_suffix,
)
from sidmint.types import Codes
from traced import traced_peak
from traced_works import shards_of_codes, suffixes_in_files

ROOMY, LITTLE = 2**30, 20_000
"""Bytes. With little, a hundred rows fit at once."""


def names(count: int) -> list[str]:
    """Item ids that rise with their rows."""
    return [f"item-{number:05d}" for number in range(count)]


def no_distances(rows: np.ndarray) -> np.ndarray:
    raise AssertionError("nothing collides, so no distance may be asked for")


def assert_same(found: ShardedIds, wanted: SemanticIds, num_shards: int) -> None:
    shards = [found.shard(number) for number in range(num_shards)]
    assert {each.has_suffix for each in shards} == {wanted.has_suffix}
    assert {each.num_oversized_groups for each in shards} == {wanted.num_oversized_groups}
    for field in ("suffixes", "moved", "added_distances"):
        whole = np.concatenate([getattr(each, field) for each in shards])
        assert np.array_equal(whole, getattr(wanted, field)), field
        assert whole.dtype == getattr(wanted, field).dtype
    values = np.concatenate([each.codes.values for each in shards])
    assert np.array_equal(values, wanted.codes.values)
    assert "".join(text for each in shards for text in each.strings()) == "".join(wanted.strings())


@settings(max_examples=60, deadline=None)
@given(cut_codes(max_rows=600), st.integers(1, 300), st.booleans())
def test_suffixes_do_not_depend_on_shards_or_partitions(
    world: Cut, num_partitions: int, little: bool
) -> None:
    num_distinct = len(np.unique(world.codes, axis=0))
    spill = WatchedSpill()
    found = resolve_shards_by_suffix(
        world.blocks,
        world.sizes,
        spill=spill,
        memory=250 * (num_distinct + 1) if little else ROOMY,
        num_partitions=num_partitions,
    )
    wanted = resolve_by_suffix(Codes(world.codes, world.sizes), names(len(world.codes)))
    assert_same(found, wanted, len(world.blocks))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40), st.sampled_from([1, 3, 40]), st.booleans())
def test_reassignment_does_not_depend_on_shards_or_partitions(
    seed: int, num_partitions: int, power: int, little: bool
) -> None:
    # At power 40 one group has nearly all rows, far more than the last level has codes.
    rng = np.random.default_rng(seed)
    sizes, num_rows = (6, 5, 7), int(rng.integers(1, 500))
    codes = (rng.random((num_rows, 3)) ** power * sizes).astype(np.int32)
    table = np.round(rng.random((num_rows, sizes[-1])), 1)
    shards = np.split(codes, np.sort(rng.integers(0, num_rows + 1, 4)))
    found = resolve_shards_by_reassignment(
        shards,
        sizes,
        lambda rows: table[rows],
        spill=WatchedSpill(),
        memory=200 * 7 * 30 if little else ROOMY,
        num_partitions=num_partitions,
    )
    wanted = resolve_by_reassignment(Codes(codes, sizes), names(num_rows), lambda rows: table[rows])
    assert_same(found, wanted, len(shards))


def test_codes_of_one_level_are_one_group() -> None:
    codes = np.array([[1], [1], [0], [1]], dtype=np.int32)
    table = np.array([[9.0, 0, 2, 3], [9.0, 0, 1, 3], [0.0, 1, 1, 1], [9.0, 0, 5, 4]])
    found = resolve_shards_by_reassignment(
        np.split(codes, 2), (4,), lambda rows: table[rows], spill=MemorySpill(), memory=ROOMY
    )
    wanted = resolve_by_reassignment(Codes(codes, (4,)), names(4), lambda rows: table[rows])
    assert_same(found, wanted, 2)
    assert wanted.moved.sum() == 2


def test_a_partition_of_suffixes_larger_than_memory_is_split_once_more() -> None:
    codes = np.indices((40, 40)).reshape(2, -1).T.astype(np.int32)
    spill = WatchedSpill()
    found = resolve_shards_by_suffix(
        [codes, codes], (40, 40), spill=spill, memory=60_000, num_partitions=3
    )
    assert spill.deepest == 2
    assert not found.shard(0).suffixes.any()
    assert (found.shard(1).suffixes == 1).all()


def test_a_partition_of_groups_larger_than_memory_is_split_once_more() -> None:
    codes = np.indices((40, 40)).reshape(2, -1).T.astype(np.int32)
    spill = WatchedSpill()
    found = resolve_shards_by_reassignment(
        [codes[::2], codes[1::2]],
        (40, 40),
        no_distances,
        spill=spill,
        memory=60_000,
        num_partitions=3,
    )
    assert spill.deepest == 2
    assert np.array_equal(found.shard(1).codes.values, codes[1::2])


def test_ids_from_files_in_the_memory_that_was_allowed(tmp_path: Path) -> None:
    memory = 4 * 2**20
    largest, peak = traced_peak(suffixes_in_files, tmp_path, memory)
    _, counts = np.unique(np.concatenate(shards_of_codes()), axis=0, return_counts=True)
    assert largest == counts.max() - 1
    assert peak < memory + 3 * 2**20  # one shard and its ids; all of their rows have 6 MB
    assert list(tmp_path.iterdir()) == []


def test_too_little_memory_is_refused_with_what_would_do() -> None:
    codes = np.zeros((3000, 2), dtype=np.int32)
    codes[:, 1] = np.arange(3000)
    with pytest.raises(BadInput, match=r"want ([\d,]+) bytes of memory") as refused:
        resolve_shards_by_reassignment(
            [codes], (3, 3000), no_distances, spill=MemorySpill(), memory=LITTLE
        )
    enough = int(str(refused.value).split(" bytes")[0].split()[-1].replace(",", ""))
    found = resolve_shards_by_reassignment(
        [codes], (3, 3000), no_distances, spill=MemorySpill(), memory=enough
    )
    assert np.array_equal(found.shard(0).codes.values, codes)


@pytest.mark.parametrize(
    ("shards", "words"),
    [
        ([np.zeros((0, 2), dtype=np.int32)], "at least one item"),
        ([np.zeros((1, 2), dtype=np.int32), np.array([[0, 4]])], "shard 1"),
        ([np.zeros((1, 3), dtype=np.int32)], "shard 0"),
    ],
)
def test_what_is_no_table_of_codes_is_refused(shards: list[np.ndarray], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        resolve_shards_by_suffix(shards, (4, 4), spill=MemorySpill(), memory=ROOMY)
