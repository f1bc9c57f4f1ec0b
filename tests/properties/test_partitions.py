"""What work over shards stands on: words, partitions, and tallies that go on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks_world import SIZES, Cut, cut_codes, gathered
from sidmint.packing import num_words, words
from sidmint.partitions import MemorySpill, Spill, partition_of, read_all, send
from sidmint.spill_files import FileSpill
from sidmint.tallies import Tally, count_on, merge_tallies


@settings(max_examples=40, deadline=None)
@given(cut_codes())
def test_words_sort_as_rows_do_and_tell_all_rows_apart(world: Cut) -> None:
    packed = words(world.codes, world.sizes)
    assert packed.shape == (len(world.codes), num_words(world.sizes))
    by_words = sorted(range(len(packed)), key=lambda row: tuple(packed[row].tolist()))
    assert by_words == sorted(range(len(packed)), key=lambda row: tuple(world.codes[row].tolist()))
    assert len(np.unique(packed, axis=0)) == len(np.unique(world.codes, axis=0))


def test_seven_levels_need_two_words() -> None:
    assert [num_words(SIZES[:length]) for length in (1, 4, 6, 7)] == [1, 1, 1, 1]
    assert num_words((70_000,) * 4) == 2


@settings(max_examples=40, deadline=None)
@given(cut_codes(), st.integers(1, 300), st.integers(0, 3))
def test_equal_rows_meet_in_one_partition(world: Cut, num_partitions: int, salt: int) -> None:
    packed = words(world.codes, world.sizes)
    found = partition_of(packed, num_partitions, salt)
    assert found.min() >= 0
    assert found.max() < num_partitions
    homes = {(*row, home) for row, home in zip(packed.tolist(), found.tolist(), strict=True)}
    assert len(homes) == len(np.unique(packed, axis=0))


def test_partitions_are_even_and_another_salt_parts_anew() -> None:
    grid = np.indices((256, 256)).reshape(2, -1).T
    packed = words(grid, (256, 256))
    first, second = (partition_of(packed, 16, salt) for salt in (0, 1))
    for each in (first, second[first == 3]):
        counts = np.bincount(each, minlength=16)
        # binomial: six standard deviations around the mean
        assert abs(counts - counts.mean()).max() < 6 * np.sqrt(counts.mean())


@pytest.fixture(params=["memory", "files"])
def spill(request: pytest.FixtureRequest, tmp_path: Path) -> Spill:
    return MemorySpill() if request.param == "memory" else FileSpill(tmp_path / "spill")


def test_rows_come_back_in_the_order_of_their_coming(spill: Spill) -> None:
    rng = np.random.default_rng(0)
    rows = np.column_stack([np.arange(1000), rng.integers(0, 5, 1000)]).astype(np.int32)
    sent = sum(send(spill, block[:, 1].astype(np.int64), block, 6) for block in np.split(rows, 8))
    assert sent.tolist() == np.bincount(rows[:, 1], minlength=6).tolist()
    for partition in range(5):
        wanted = rows[rows[:, 1] == partition]
        pieces = gathered(spill, [partition])
        assert max(map(len, pieces)) <= 7
        assert np.array_equal(np.concatenate(pieces), wanted)
        assert np.array_equal(read_all(spill, partition, len(wanted), 13), wanted)
    spill.drop(2)
    assert gathered(spill, [2, 5]) == []
    assert len(gathered(spill, [3])) > 0


def test_a_spill_below_is_another_one(spill: Spill) -> None:
    spill.append(1, np.arange(3))
    spill.below(1).append(1, np.arange(5.0))
    assert [piece.tolist() for piece in gathered(spill, [1])] == [[0, 1, 2]]
    assert gathered(spill.below(2), [1]) == []


def test_rows_of_one_type_in_one_spill(tmp_path: Path) -> None:
    spill = FileSpill(tmp_path)
    spill.append(0, np.arange(3))
    with pytest.raises(TypeError, match="float64"):
        spill.append(1, np.arange(3.0))


@settings(max_examples=60, deadline=None)
@given(cut_codes(max_rows=60))
def test_a_tally_goes_on_from_block_to_block(world: Cut) -> None:
    tally, seen, before = Tally.empty(num_words(world.sizes)), Counter[bytes](), []
    for block in world.blocks:
        tally, own = count_on(tally, words(block, world.sizes))
        before += own.tolist()
    wanted = []
    for row in world.codes:
        wanted.append(seen[row.tobytes()])
        seen[row.tobytes()] += 1
    assert before == wanted
    assert sorted(tally.counts.tolist()) == sorted(seen.values())
    assert np.array_equal(tally.words, np.unique(words(world.codes, world.sizes), axis=0))


@settings(max_examples=40, deadline=None)
@given(cut_codes(max_rows=60))
def test_tallies_of_blocks_merge_to_that_of_all(world: Cut) -> None:
    nothing = Tally.empty(num_words(world.sizes))
    parts = [count_on(nothing, words(block, world.sizes))[0] for block in world.blocks]
    whole, _ = count_on(nothing, words(world.codes, world.sizes))
    merged = nothing
    for part in reversed(parts):
        merged = merge_tallies(part, merged)
    assert merged.counts.tolist() == whole.counts.tolist()
    assert np.array_equal(merged.words, whole.words)
