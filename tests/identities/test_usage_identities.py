"""Utilization, branching and collisions: small tables worked by hand, and identities."""

import numpy as np
import pytest

from sidmint.diagnostics import branching, collisions, duplicate_floor, utilization
from sidmint.diagnostics.prefixes import prefix_order
from sidmint.errors import BadInput


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


def test_an_empty_table_is_refused():
    with pytest.raises(BadInput):
        collisions(np.zeros((0, 3), dtype=np.int32))


def test_duplicate_floor_counts_equal_vectors_only():
    vectors = np.array([[1, 0], [1, 0], [1, 1e-6], [0, 1], [-0.0, 1]], dtype=np.float32)
    assert duplicate_floor(vectors) == pytest.approx(2 / 5)  # 0.0 and -0.0 are one number


def test_no_tokenizer_beats_the_duplicate_floor():
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((30, 4)).astype(np.float32)[rng.integers(0, 30, 60)]
    one_code_a_vector = np.unique(vectors, axis=0, return_inverse=True)[1].astype(np.int32)
    rate = collisions(one_code_a_vector[:, None]).collision_rate
    assert rate == pytest.approx(duplicate_floor(vectors))
