"""How new items differ from published ones: figures that are known without our code."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sidmint.diagnostics import (
    chance_stability,
    doubled_collision_rate,
    full_prefix_shares,
    known_prefix_shares,
    population_stability,
)
from sidmint.diagnostics.buckets import bucket_sizes
from sidmint.errors import BadInput


def test_shares_of_known_prefixes_are_counted_by_length() -> None:
    known = np.array([[0, 1, 2], [3, 3, 3]], dtype=np.int32)
    new = np.array([[0, 1, 2], [0, 1, 3], [0, 3, 3], [1, 1, 2]], dtype=np.int32)
    assert known_prefix_shares(known, new) == (3 / 4, 2 / 4, 1 / 4)


def test_equal_usage_has_an_index_of_nothing_and_order_does_not_matter() -> None:
    usage = np.array([3, 5, 0, 8])
    assert population_stability(usage, usage) == 0
    other = np.array([8, 5, 2, 1])
    assert population_stability(usage, other) == pytest.approx(population_stability(other, usage))
    assert population_stability(usage, other) > 0


def test_the_index_is_that_of_the_formula() -> None:
    before, after = np.array([9, 1]), np.array([4, 6])
    p, q = np.array([9.5, 1.5]) / 11, np.array([4.5, 6.5]) / 11
    wanted = sum((b - a) * math.log(b / a) for a, b in zip(p, q, strict=True))
    assert population_stability(before, after) == pytest.approx(wanted)


def test_no_item_is_no_usage() -> None:
    with pytest.raises(BadInput, match="each of some items"):
        population_stability(np.array([1, 2]), np.array([0, 0]))


def test_chance_lies_where_theory_puts_it() -> None:
    """(K - 1) (1 / n + 1 / N) in the mean, with sqrt(2 (K - 1)) as many standard deviations."""
    num_codes, num_old, num_new = 64, 60_000, 6_000
    old = np.full(num_codes, num_old // num_codes)
    unit = 1 / num_new + 1 / old.sum()
    mean, deviation = (num_codes - 1) * unit, math.sqrt(2 * (num_codes - 1)) * unit
    chance = chance_stability(old, num_new, np.random.default_rng(0))
    assert chance == pytest.approx(mean + 3 * deviation, rel=0.15)


def test_items_like_the_old_ones_stay_below_chance_and_others_do_not() -> None:
    rng = np.random.default_rng(1)
    shares = rng.dirichlet(np.ones(256))
    old = rng.multinomial(12_000, shares)
    for num_new in (30, 1_200):
        chance = chance_stability(old, num_new, np.random.default_rng(0))
        alike = [
            population_stability(old, rng.multinomial(num_new, shares)) - chance for _ in range(100)
        ]
        assert np.mean(np.array(alike) > 0.1) <= 0.02
    # At 256 codes the bound of .2 that is read as a shift calls most such batches one.
    raw = [population_stability(old, rng.multinomial(900, shares)) for _ in range(20)]
    assert np.median(raw) > 0.2
    others = rng.multinomial(1_200, shares[::-1])
    assert population_stability(old, others) - chance > 0.2


def test_a_prefix_is_full_when_every_next_code_is_in_use() -> None:
    full = [[0, code, 0] for code in range(3)]
    codes = np.array([*full, [1, 0, 0], [1, 0, 1], [1, 2, 1]], dtype=np.int32)
    assert full_prefix_shares(codes, (2, 3, 2)) == (1 / 2, 1 / 5)
    assert full_prefix_shares(codes[:, :1], (2,)) == ()


def test_doubling_follows_balls_in_bins() -> None:
    """M bins and N balls leave M (1 - e^(-N/M)) in use: the estimate knows only the first N."""
    num_bins, num_balls = 50_000, 30_000
    rng = np.random.default_rng(2)
    thrown = rng.integers(num_bins, size=(num_balls, 1)).astype(np.int32)
    expected = 1 - num_bins * (1 - math.exp(-2 * num_balls / num_bins)) / (2 * num_balls)
    found = doubled_collision_rate(bucket_sizes(thrown)[-1])
    assert found == pytest.approx(expected, abs=0.01)


def test_items_that_are_alone_are_expected_to_stay_so() -> None:
    alone = np.arange(10, dtype=np.int32)[:, None]
    assert doubled_collision_rate(bucket_sizes(alone)[-1]) == 0
    together = np.zeros((10, 1), dtype=np.int32)
    assert doubled_collision_rate(bucket_sizes(together)[-1]) == 1 - 1 / 20
