"""What must hold for any table of codes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidmint.diagnostics import (
    branching,
    collisions,
    effective_codebook_size,
    geometry,
    overlap,
    qualified_collisions,
    robustness,
    stability,
    utilization,
)
from sidmint.types import Pairs

NOBODY = Pairs(*np.zeros((2, 0), dtype=np.int32), np.zeros(0, dtype=np.float32))
seeds = st.integers(0, 2**32 - 1)


def some_codes(rng):
    shape = (int(rng.integers(2, 60)), int(rng.integers(1, 5)))
    return rng.integers(0, rng.integers(1, 9), shape).astype(np.int32)


@given(seeds)
@settings(max_examples=50, deadline=None)
def test_order_of_items_and_names_of_codes_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    codes = some_codes(rng)
    renamed = rng.permutation(9)[codes].astype(np.int32)[rng.permutation(len(codes))]
    before, after = collisions(codes), collisions(renamed)
    assert before.collision_rate == after.collision_rate
    assert before.composition_entropy == pytest.approx(after.composition_entropy)
    assert branching(codes).effective == pytest.approx(branching(renamed).effective)
    for level in range(codes.shape[1]):
        one, other = utilization(codes[:, level], 9), utilization(renamed[:, level], 9)
        assert one.gini == pytest.approx(other.gini)
        assert one.perplexity == pytest.approx(other.perplexity)


@given(seeds)
@settings(max_examples=50, deadline=None)
def test_bounds_between_the_figures_of_a_table(seed):
    rng = np.random.default_rng(seed)
    codes = some_codes(rng)
    shared, branches = collisions(codes), branching(codes)
    assert 0 <= shared.collision_rate <= shared.collided_item_rate <= 1
    assert 0 <= shared.composition_entropy <= np.log(len(codes)) + 1e-12
    assert shared.n_eff <= shared.num_distinct + 1e-9
    assert all(child >= 1 - 1e-12 for child in branches.effective)
    assert branches.num_prefixes[-1] == shared.num_distinct
    for level in range(codes.shape[1]):
        used = utilization(codes[:, level], 9)
        assert 1 <= used.perplexity <= used.num_active + 1e-9
        assert 1 - used.num_active / 9 - 1e-9 <= used.gini <= 1 - 1 / 9 + 1e-9


@given(seeds, st.floats(0.05, 20))
@settings(max_examples=50, deadline=None)
def test_effective_size_lies_below_both_measures_of_usage(seed, sigma):
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 30))
    counts = rng.multinomial(200, rng.dirichlet(np.ones(size)))
    codes = np.repeat(np.arange(size), counts).astype(np.int32)
    used = utilization(codes, size)
    codewords = rng.standard_normal((size, 3)).astype(np.float32)
    floor = 1 / (used.prior**2).sum()
    effective = effective_codebook_size(codewords, used.prior, sigma)
    assert 1 - 1e-6 <= effective <= floor * (1 + 1e-6)
    assert floor <= used.perplexity * (1 + 1e-9)


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_more_noise_never_leaves_more_codes(seed):
    rng = np.random.default_rng(seed)
    codewords = rng.standard_normal((12, 3)).astype(np.float32)
    sweep = overlap(codewords, rng.dirichlet(np.ones(12)), (0.1, 0.3, 1.0, 3.0))
    rates = [each.overlap_rate for each in sweep]
    assert rates == sorted(rates)
    assert all(each.geometry_penalty >= 0 for each in sweep)


@given(seeds, st.floats(0.05, 20))
@settings(max_examples=30, deadline=None)
def test_moving_any_codewords_apart_never_lowers_the_size(seed, sigma):
    rng = np.random.default_rng(seed)
    codewords = rng.standard_normal((15, 3)).astype(np.float32)
    prior = rng.dirichlet(np.ones(15))
    # A further coordinate moves every pair apart by as much as the two differ in it.
    further = rng.standard_normal((15, 1)).astype(np.float32) * (rng.random((15, 1)) < 0.4)
    apart = np.hstack((codewords, further.astype(np.float32)))
    before = effective_codebook_size(codewords, prior, sigma)
    assert effective_codebook_size(apart, prior, sigma) >= before * (1 - 1e-12)


@given(seeds, st.integers(2, 5))
@settings(max_examples=30, deadline=None)
def test_splitting_codewords_into_coincident_ones_changes_nothing(seed, num_parts):
    rng = np.random.default_rng(seed)
    codewords = rng.standard_normal((9, 2)).astype(np.float32)
    prior = rng.dirichlet(np.ones(9))
    parts = np.repeat(prior / num_parts, num_parts)
    whole = effective_codebook_size(codewords, prior, 0.5)
    split = effective_codebook_size(np.repeat(codewords, num_parts, axis=0), parts, 0.5)
    assert split == pytest.approx(whole, rel=1e-9)


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_the_first_codes_of_a_table_are_a_table_with_the_same_first_figures(seed):
    rng = np.random.default_rng(seed)
    codes = some_codes(rng)
    length = int(rng.integers(1, codes.shape[1] + 1))
    whole, first = branching(codes), branching(codes[:, :length])
    assert first.num_prefixes == whole.num_prefixes[:length]
    assert first.effective == pytest.approx(whole.effective[:length])
    assert collisions(codes[:, :length]).collision_rate >= collisions(codes).collision_rate


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_shares_of_changed_prefixes_lie_between_those_of_codes(seed):
    rng = np.random.default_rng(seed)
    planes = rng.standard_normal((3, 4))
    sigma = float(rng.uniform(0.01, 3))
    latent = rng.standard_normal((200, 3)).astype(np.float32)
    found = robustness(lambda z: (z @ planes > 0).astype(np.int32), latent, sigma, rng)
    assert list(found.changed_prefixes) == sorted(found.changed_prefixes)
    for length in range(1, 5):
        codes = found.changed_codes[:length]
        assert max(codes) <= found.changed_prefixes[length - 1] <= min(1, sum(codes)) + 1e-12


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_a_laxer_threshold_never_makes_more_conflicts(seed):
    rng = np.random.default_rng(seed)
    codes = some_codes(rng)
    vectors = rng.standard_normal((len(codes), 2)).astype(np.float32)
    found = [qualified_collisions(codes, vectors, NOBODY, cosine) for cosine in (0.2, 0.6, 0.99)]
    rates = [each.conflict_rate for each in found]
    assert rates == sorted(rates)
    shared = collisions(codes)
    for each in found:
        assert each.num_benign_pairs + each.num_conflict_pairs == shared.num_collided_pairs
        assert each.conflict_rate <= shared.collided_item_rate + 1e-12


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_spectrum_figures_are_in_order(seed):
    rng = np.random.default_rng(seed)
    cloud = geometry((rng.standard_normal((50, 4)) * rng.uniform(0.1, 9, 4)).astype(np.float32))
    assert 1 <= cloud.participation_ratio <= cloud.effective_rank + 1e-9 <= 4 + 1e-6
    assert 1 / cloud.participation_ratio <= cloud.top_eigenvalue_share + 1e-9
    assert 0 <= cloud.dimension_correlation <= 1


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_longer_prefixes_are_never_more_stable(seed):
    rng = np.random.default_rng(seed)
    before = some_codes(rng)
    after = np.where(rng.random(before.shape) < 0.3, 0, before).astype(np.int32)
    found = stability(before, after)
    for shares in (found.raw, found.matched):
        assert list(shares) == sorted(shares, reverse=True)
    assert found.matched[0] >= found.raw[0]
