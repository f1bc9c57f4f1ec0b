"""Utilization, branching and collisions: small tables worked by hand, and identities."""

import sys

import numpy as np
import pytest

from sidmint.diagnostics import (
    branching,
    bucket_sizes,
    collisions,
    count_codes,
    duplicate_floor,
    utilization,
)
from sidmint.diagnostics.prefixes import prefix_order
from sidmint.errors import BadInput
from traced import traced_peak
from traced_works import counting_codes_that_come_twice


def table(*rows):
    return np.array(rows, dtype=np.int32)


def uniform(size):
    return np.arange(size, dtype=np.int32)


def test_uniform_usage_has_full_perplexity_and_no_inequality():
    used = utilization(np.tile(uniform(8), 5), 8)
    assert used.perplexity == pytest.approx(8)
    assert used.gini == pytest.approx(0)
    assert (used.num_active, used.num_dead) == (8, 0)


def test_one_code_for_all_has_perplexity_one_and_the_largest_gini():
    used = utilization(np.zeros(100, dtype=np.int32), 10)
    assert used.perplexity == 1
    assert used.gini == pytest.approx(1 - 1 / 10)
    assert used.num_dead == 9


def test_gini_is_half_the_relative_mean_difference():
    counts = np.array([5, 0, 2, 1])
    codes = np.repeat(np.arange(4), counts).astype(np.int32)
    differences = np.abs(counts[:, None] - counts[None]).sum()
    assert utilization(codes, 4).gini == pytest.approx(differences / (2 * 4 * counts.sum()))


def test_a_dead_code_raises_gini():
    codes = np.tile(uniform(8), 5)
    assert utilization(codes, 16).gini == pytest.approx(0.5)


def test_codes_outside_the_codebook_are_refused():
    with pytest.raises(BadInput, match="codebook of 4"):
        utilization(uniform(5), 4)


def test_branching_multiplies_to_the_effective_number_of_codes():
    codes = np.random.default_rng(0).integers(0, (3, 5, 7), (400, 3)).astype(np.int32)
    assert branching(codes).n_eff == pytest.approx(collisions(codes).n_eff)


def test_branching_of_a_full_tree_is_its_arity():
    grid = np.stack(np.meshgrid(range(2), range(3), range(4), indexing="ij"), axis=-1)
    branches = branching(grid.reshape(-1, 3).astype(np.int32))
    assert branches.effective == pytest.approx((2, 3, 4))
    assert branches.num_prefixes == (2, 6, 24)
    assert branches.children == (2, 3, 4)


def test_a_level_that_copies_the_one_above_does_not_branch():
    code = np.tile(uniform(4), 6)
    branches = branching(np.stack((code, code), axis=1))
    assert branches.effective == pytest.approx((4, 1))
    # Yet each codebook alone looks perfect.
    assert utilization(code, 4).perplexity == pytest.approx(4)


def test_full_usage_of_every_codebook_does_not_mean_distinct_ids():
    rng = np.random.default_rng(1)
    first = np.tile(uniform(16), 40)
    tied, free = np.stack((first, first), axis=1), np.stack((first, rng.permutation(first)), axis=1)
    for codes in (tied, free):
        assert all(utilization(codes[:, level], 16).num_dead == 0 for level in (0, 1))
    assert collisions(tied).n_eff < 17 < collisions(free).n_eff


def test_collision_rate_and_collided_item_rate_by_hand():
    shared = collisions(table((0, 1), (0, 1), (0, 1), (1, 0), (1, 1)))
    assert shared.collision_rate == pytest.approx(2 / 5)  # 3 distinct of 5
    assert shared.collided_item_rate == pytest.approx(3 / 5)
    assert shared.largest_bucket == 3
    assert shared.num_collided_pairs == 3
    assert shared.composition_entropy == pytest.approx(-(0.6 * np.log(0.6) + 0.4 * np.log(0.2)))


def test_distinct_codes_have_entropy_ln_n_and_collapse_has_none():
    distinct = collisions(uniform(50)[:, None])
    assert distinct.composition_entropy == pytest.approx(np.log(50))
    assert distinct.n_eff_share == pytest.approx(1)
    assert collisions(np.zeros((50, 3), dtype=np.int32)).composition_entropy == 0


def test_prefix_order_is_that_of_a_plain_sort_for_any_width():
    rng = np.random.default_rng(2)
    for sizes in ((3,), (2, 3, 2), (65_536,) * 6):  # the last one overflows any packed integer
        codes = rng.integers(0, sizes, (300, len(sizes))).astype(np.int32)
        codes[100:200] = codes[:100]
        order = prefix_order(codes)
        assert order.rows.tolist() == sorted(range(300), key=lambda n: (*codes[n], n))
        for length in range(1, len(sizes) + 1):
            _, counts = np.unique(codes[:, :length], axis=0, return_counts=True)
            assert order.sizes(length).tolist() == counts.tolist()


WIDE = [  # codebook sizes, and how many codes of each level the tables of the tests use
    ((3,), 3),
    ((2, 3, 2), 2),
    ((65_536,) * 4, 65_536),  # 64 bits: one key
    ((65_536,) * 6, 65_536),  # 96 bits: two groups of levels
    ((2**32,) * 5, 2**32),  # 160 bits: five groups
]


def some_buckets(sizes, top, num_items=400, seed=8):
    """Codes with prefixes of every length in common, in no order."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, np.minimum(sizes, top), (num_items, len(sizes)))
    for level in range(1, len(sizes)):
        copies = rng.integers(0, num_items, (2, num_items // 3))
        codes[copies[0], :level] = codes[copies[1], :level]
    codes[rng.integers(0, num_items, 100)] = codes[rng.integers(0, num_items, 100)]
    codes[0] = np.array(sizes) - 1
    return codes


@pytest.mark.parametrize(("sizes", "top"), WIDE)
@pytest.mark.parametrize("rows_at_once", [1, 7, 400, 2**17])
def test_buckets_are_those_of_distinct_rows_for_any_width(monkeypatch, sizes, top, rows_at_once):
    for name in ("packing", "diagnostics.buckets"):
        monkeypatch.setattr(f"sidmint.{name}.ROWS_AT_ONCE", rows_at_once)
    codes = some_buckets(sizes, top)
    found = bucket_sizes(codes)
    assert len(found) == len(sizes)
    for length, buckets in enumerate(found, start=1):
        _, counts = np.unique(codes[:, :length], axis=0, return_counts=True)
        wanted = np.unique(counts, return_counts=True)
        assert buckets.sizes.tolist() == wanted[0].tolist()
        assert buckets.num_buckets.tolist() == wanted[1].tolist()
        assert (buckets.num_items, buckets.num_distinct) == (len(codes), len(counts))
        shares = counts / counts.sum()
        assert buckets.entropy == pytest.approx(-(shares @ np.log(shares)))


def test_a_bucket_larger_than_a_piece_is_one_bucket(monkeypatch):
    monkeypatch.setattr("sidmint.diagnostics.buckets.ROWS_AT_ONCE", 10)
    (buckets,) = bucket_sizes(np.repeat([4, 1, 9], (3, 95, 2))[:, None])
    assert buckets.sizes.tolist() == [2, 3, 95]
    assert buckets.num_buckets.tolist() == [1, 1, 1]


def test_one_count_of_codes_gives_what_each_question_gives_alone():
    codes, sizes = some_buckets((9, 8, 7), 7).astype(np.int32), (9, 8, 7)
    counted = count_codes(codes, sizes)
    assert counted.branching == branching(codes)
    assert counted.collisions.collision_rate == collisions(codes).collision_rate
    for level, used in enumerate(counted.usage):
        assert used.counts.tolist() == utilization(codes[:, level], sizes[level]).counts.tolist()


@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "u2", "i4", "i8", "u8"])
def test_any_type_of_integer_counts_the_same(kind):
    codes = some_buckets((100, 90, 80), 100)
    counted, wanted = count_codes(codes.astype(kind), (100, 90, 80)), count_codes(codes, (100,) * 3)
    assert counted.branching == wanted.branching
    assert counted.collisions.largest_bucket == wanted.collisions.largest_bucket
    assert counted.usage[1].perplexity == pytest.approx(wanted.usage[1].perplexity)


def test_codes_in_a_file_and_by_column_count_the_same(tmp_path, monkeypatch):
    for name in ("packing", "diagnostics.buckets", "diagnostics.utilization"):
        monkeypatch.setattr(sys.modules[f"sidmint.{name}"], "ROWS_AT_ONCE", 64)
    codes = some_buckets((100, 90, 80), 100).astype(np.int16)
    np.save(tmp_path / "codes.npy", codes)
    in_file = np.load(tmp_path / "codes.npy", mmap_mode="r")
    for same in (in_file, np.asfortranarray(codes), np.repeat(codes, 2, axis=0)[::2]):
        counted = count_codes(same, (100, 90, 80))
        assert counted.branching == branching(codes)
        assert counted.usage[2].counts.tolist() == np.bincount(codes[:, 2], minlength=80).tolist()
        assert prefix_order(same).rows.tolist() == prefix_order(codes).rows.tolist()
    assert in_file.tolist() == codes.tolist()


@pytest.mark.parametrize(("num_levels", "bytes_a_row"), [(4, 8), (6, 16)])
def test_counting_takes_eight_bytes_a_row_and_sixteen_where_a_key_is_too_short(
    num_levels, bytes_a_row
):
    num_items = 1_200_000
    counted, peak = traced_peak(counting_codes_that_come_twice, num_items, num_levels)
    assert counted.collisions.num_distinct == num_items // 2
    assert peak < bytes_a_row * num_items + 9 * 2**20  # pieces, and the counts of codewords


@pytest.mark.parametrize(
    "codes",
    [
        np.zeros((0, 3), dtype=np.int32),
        np.zeros((3, 0), dtype=np.int32),
        np.zeros(3, dtype=np.int32),
        np.zeros((3, 2)),
        np.array([[0, -1]]),
        np.array([[0, 2**32]]),
    ],
)
def test_what_is_no_table_of_codes_is_refused(codes):
    for question in (collisions, branching, prefix_order):
        with pytest.raises(BadInput, match="codes want"):
            question(codes)


def test_sizes_of_other_levels_are_refused():
    with pytest.raises(BadInput, match="one codebook size a level"):
        count_codes(table((0, 1), (1, 0)), (2, 2, 2))
    with pytest.raises(BadInput, match="level 2 run from 0 to 1, outside a codebook of 1 "):
        count_codes(table((0, 1), (1, 0)), (2, 1))
    with pytest.raises(BadInput, match="level 1 run from -1"):
        utilization(np.array([0, -1]), 4)


def test_duplicate_floor_counts_equal_vectors_only():
    vectors = np.array([[1, 0], [1, 0], [1, 1e-6], [0, 1], [-0.0, 1]], dtype=np.float32)
    assert duplicate_floor(vectors) == pytest.approx(2 / 5)  # 0.0 and -0.0 are one number


def test_no_tokenizer_beats_the_duplicate_floor():
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((30, 4)).astype(np.float32)[rng.integers(0, 30, 60)]
    one_code_a_vector = np.unique(vectors, axis=0, return_inverse=True)[1].astype(np.int32)
    rate = collisions(one_code_a_vector[:, None]).collision_rate
    assert rate == pytest.approx(duplicate_floor(vectors))
