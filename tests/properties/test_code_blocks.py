"""Counting codes block by block gives what counting them at once gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks_world import Cut, WatchedSpill, cut_codes
from sidmint.diagnostics import CodeCounts, count_code_blocks, count_codes
from sidmint.diagnostics.buckets import BucketSizes, bucket_sizes, merge_bucket_sizes
from sidmint.errors import BadInput
from sidmint.partitions import MemorySpill
from traced import traced_peak
from traced_works import blocks_of_codes, counting_in_files


def assert_equal(found: CodeCounts, wanted: CodeCounts) -> None:
    assert found.metrics() == wanted.metrics()
    assert found.branching == wanted.branching
    for one, other in zip(found.usage, wanted.usage, strict=True):
        assert np.array_equal(one.counts, other.counts)
    one, other = found.collisions.buckets, wanted.collisions.buckets
    assert np.array_equal(one.sizes, other.sizes)
    assert np.array_equal(one.num_buckets, other.num_buckets)


@settings(max_examples=80, deadline=None)
@given(cut_codes(max_rows=1000), st.integers(1, 300), st.booleans())
def test_any_cut_into_blocks_and_partitions_gives_the_same_figures(
    world: Cut, num_partitions: int, little: bool
) -> None:
    # With little memory, tables of few distinct codes are split down to whole codes.
    memory = 400 * len(np.unique(world.codes, axis=0)) if little else 2**30
    spill = WatchedSpill()
    found = count_code_blocks(
        world.blocks, world.sizes, spill=spill, memory=memory, num_partitions=num_partitions
    )
    assert_equal(found, count_codes(world.codes, world.sizes))
    assert spill.num_left == 0


def test_one_first_code_for_everybody_is_split_until_it_fits() -> None:
    # Two rows of every (0, 0, c, d): nothing parts them before the third code.
    codes = np.zeros((2 * 32 * 32, 4), dtype=np.int32)
    codes[:, 2:] = np.tile(np.indices((32, 32)).reshape(2, -1).T, (2, 1))
    spill = WatchedSpill()
    found = count_code_blocks(
        np.array_split(codes, 5), (32,) * 4, spill=spill, memory=10_000, num_partitions=4
    )
    assert_equal(found, count_codes(codes, (32,) * 4))
    assert spill.deepest >= 2
    assert spill.num_left == 0


@pytest.mark.parametrize("memory", [2**22, 2**30])
def test_one_whole_code_for_everybody_is_counted_in_little_memory(memory: int) -> None:
    block = np.full((50_000, 4), 7, dtype=np.uint16)
    found = count_code_blocks((block,) * 10, (1024,) * 4, spill=MemorySpill(), memory=memory)
    assert found.collisions.largest_bucket == 500_000
    assert found.branching.num_prefixes == (1, 1, 1, 1)


def test_rows_in_files_are_counted_in_the_memory_that_was_allowed(tmp_path: Path) -> None:
    memory = 4 * 2**20
    found, peak = traced_peak(counting_in_files, tmp_path, memory)
    assert_equal(found, count_codes(np.concatenate(blocks_of_codes()), (300,) * 4))
    assert peak < memory + 2**20  # the blocks themselves have 10 MB, their keys 5 MB
    assert list(tmp_path.iterdir()) == []


def test_too_little_memory_is_refused_with_what_would_do() -> None:
    codes = np.random.default_rng(1).integers(0, 1000, (20_000, 2)).astype(np.int32)
    with pytest.raises(BadInput, match=r"wants ([\d,]+) bytes of memory") as refused:
        count_code_blocks([codes], (1000, 1000), spill=MemorySpill(), memory=2_000)
    enough = int(str(refused.value).split(" bytes")[0].split()[-1].replace(",", ""))
    assert enough > 2_000
    found = count_code_blocks([codes], (1000, 1000), spill=MemorySpill(), memory=enough)
    assert_equal(found, count_codes(codes, (1000, 1000)))


def test_no_rows_and_foreign_codes_are_refused() -> None:
    nothing = np.zeros((0, 2), dtype=np.int32)
    with pytest.raises(BadInput, match="at least one row"):
        count_code_blocks([nothing], (4, 4), spill=MemorySpill(), memory=2**20)
    foreign = np.array([[0, 0], [3, 4]])
    with pytest.raises(BadInput, match="level 2 run from 0 to 4"):
        count_code_blocks([foreign], (4, 4), spill=MemorySpill(), memory=2**20)


@settings(max_examples=40, deadline=None)
@given(cut_codes(), st.randoms(use_true_random=False))
def test_bucket_sizes_add_up_in_any_order_where_prefixes_stay_together(
    world: Cut, random: object
) -> None:
    first = world.codes[:, 0]
    parts: list[tuple[BucketSizes, ...]] = [
        bucket_sizes(world.codes[first == code]) for code in np.unique(first)
    ]
    random.shuffle(parts)  # type: ignore[attr-defined]
    for whole, some in zip(bucket_sizes(world.codes), zip(*parts, strict=True), strict=True):
        half = len(some) // 2
        nested = [merge_bucket_sizes(some[:half]), merge_bucket_sizes(some[half:])]
        merged = merge_bucket_sizes(nested)
        assert merged.sizes.tolist() == whole.sizes.tolist()
        assert merged.num_buckets.tolist() == whole.num_buckets.tolist()
