"""Balls in bins, the duplicate floor, and the sizes that follow from them."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidmint.choosing.sizes import (
    ITEMS_A_CODE,
    TARGET,
    bits_share,
    collision_rate,
    effective_capacity,
    in_words,
    propose_sizes,
    rate_above_floor,
)
from sidmint.diagnostics.collisions import collisions, duplicate_floor
from sidmint.errors import BadInput
from sidmint.tokenizers import make_tokenizer
from worlds import smooth_items


@pytest.mark.parametrize(("num_items", "capacity"), [(1, 1), (5, 1), (2, 2), (3, 4), (7, 5)])
def test_expected_collisions_are_exactly_those_of_all_ways_to_throw(num_items: int, capacity: int):
    """Expected distinct = C (1 - (1 - 1/C)^N), in fractions."""
    missed = (1 - Fraction(1, capacity)) ** num_items
    exact = 1 - capacity * (1 - missed) / num_items
    assert collision_rate(num_items, capacity) == pytest.approx(float(exact), abs=1e-12)


def test_two_items_in_two_codes_collide_every_other_time():
    assert collision_rate(2, 2) == pytest.approx(0.25)


def test_even_draws_collide_as_expected():
    drawn = np.random.default_rng(3)
    rates = [1 - len(np.unique(drawn.integers(0, 2000, 1500))) / 1500 for _ in range(300)]
    spread = np.std(rates) / math.sqrt(len(rates))
    assert abs(np.mean(rates) - collision_rate(1500, 2000)) < 5 * spread


def test_random_ids_of_beauty_collide_as_balls_in_bins_over_the_duplicates():
    """docs/RESULTS.md: .0020 +- .0002 of 12,101 items at 3 x 256, .0014 owed to duplicates."""
    distinct = round(12_101 * (1 - 0.0014))
    expected = 0.0014 + (1 - 0.0014) * collision_rate(distinct, 256**3)
    assert expected == pytest.approx(0.0020, abs=0.0003)


def test_drq_prints_collisions_of_far_fewer_codes_than_it_has():
    """462,660 and 385,551 ids of 500,000 items at 3 x 4,096: of 36 bits, 21.6 and 19.8 in use."""
    rates = (0.074680, 0.228898)
    used = [bits_share(rate, 500_000, (4096,) * 3) for rate in rates]
    assert [round(36 * share, 1) for share in used] == [21.6, 19.8]


@given(st.integers(2, 10**8), st.floats(1e-6, 0.9))
def test_the_effective_capacity_of_a_rate_collides_at_that_rate(num_items: int, part: float):
    rate = part * collision_rate(num_items, 1)
    assert collision_rate(num_items, effective_capacity(num_items, rate)) == pytest.approx(
        rate, rel=1e-6, abs=1e-9
    )


@given(st.integers(2, 10**6), st.integers(1, 60))
def test_more_room_never_collides_more(num_items: int, bits: int):
    assert collision_rate(num_items, 2.0 ** (bits + 1)) <= collision_rate(num_items, 2.0**bits)


def test_copies_collide_whatever_the_tokenizer_and_are_taken_off():
    vectors = np.repeat(smooth_items(200), 2, axis=0)
    floor = duplicate_floor(vectors)
    assert floor == 0.5
    tokenizer = make_tokenizer("rq_kmeans", {"sizes": [16, 16, 16]})
    tokenizer.fit(vectors, seed=1, device="cpu")
    rate = collisions(tokenizer.encode(vectors)).collision_rate
    alone = collisions(tokenizer.encode(vectors[::2])).collision_rate
    assert rate >= floor
    assert rate_above_floor(rate, floor) == pytest.approx(alone)
    assert rate_above_floor(floor, floor) == 0


def test_codes_drawn_evenly_use_all_their_bits_and_collapsed_ones_next_to_none():
    sizes = (64, 64, 64)
    assert bits_share(collision_rate(5000, 64**3), 5000, sizes) == 1
    assert bits_share(collision_rate(5000, 64), 5000, sizes) == pytest.approx(1 / 3)
    assert bits_share(collision_rate(5000, 1), 5000, sizes) == pytest.approx(0, abs=1e-6)


@given(
    st.integers(2, 10**8),
    st.floats(0.2, 1.0),
    st.sampled_from([None, (64, 64, 64), (256, 256), (48, 24)]),
)
def test_two_or_three_sizes_are_proposed_and_yours_comes_first(num_distinct, used, own):
    proposals = propose_sizes(num_distinct, own, used)
    sizes = [each.sizes for each in proposals]
    assert 1 <= len(sizes) <= 3
    assert len(set(sizes)) == len(sizes)
    assert own is None or sizes[0] == own
    for each in sizes[own is not None :]:
        assert max(each) <= max(4, num_distinct / ITEMS_A_CODE)
        assert all(size & (size - 1) == 0 for size in each)


@pytest.mark.parametrize("num_distinct", [3_000, 12_084, 500_000])
@pytest.mark.parametrize("used", [0.6, 0.8, 1.0])
def test_where_the_items_allow_it_a_proposal_meets_the_target_and_half_of_it_does_not(
    num_distinct: int, used: float
):
    sizes = propose_sizes(num_distinct, None, used)[0].sizes

    def rate(size: int) -> float:
        return collision_rate(num_distinct, float(size) ** (len(sizes) * used))

    assert rate(sizes[0]) <= TARGET or 2 * sizes[0] > num_distinct / ITEMS_A_CODE
    assert rate(sizes[0] // 2) > TARGET


def test_few_items_get_few_codes():
    assert [each.sizes for each in propose_sizes(200)] == [(16,) * 3, (16,) * 4]
    assert [each.sizes for each in propose_sizes(9)] == [(4,) * 3, (4,) * 4]


def test_impossible_questions_are_refused():
    with pytest.raises(BadInput, match="at least one item and one code"):
        collision_rate(10, 0.5)
    with pytest.raises(BadInput, match="lies between 0"):
        effective_capacity(10, 0.95)
    with pytest.raises(BadInput, match="duplicate floor"):
        rate_above_floor(0.5, 1.0)


def test_sizes_in_words():
    assert in_words((4096,) * 3) == "3 x 4,096"
    assert in_words((64, 32)) == "64-32"


def test_one_code_for_all_items_uses_no_bits_whatever_the_floor_rounds_to():
    """(rate - floor) / (1 - floor) may come out above 1 - 1 / distinct by its last bit."""
    for num_items, num_distinct in ((23, 11), (100, 7), (997, 331)):
        rate, floor = 1 - 1 / num_items, 1 - num_distinct / num_items
        share = bits_share(rate_above_floor(rate, floor), num_distinct, (64, 64))
        assert share == pytest.approx(0, abs=1e-6)
