"""Ranks, ties, retention and AUC: worked by hand, and against sorting everything."""

from fractions import Fraction

import numpy as np
import pytest

from sidmint.errors import BadInput
from sidmint.evaluation import (
    Cases,
    Ranks,
    area_under_curve,
    expected_hits,
    hit_rate,
    item_to_item,
    random_hit_rate,
    random_negatives,
    retention,
)
from sidmint.evaluation.code_ranks import EqualCodesSearch, rank_by_prefix
from sidmint.evaluation.cosines import CosineSearch
from sidmint.evaluation.pool import Pool


def ranks(*better_and_tied):
    better, tied = np.array(better_and_tied, dtype=np.int64).reshape(-1, 2).T
    return Ranks(better, tied)


def cases(*query_and_target):
    queries, targets = np.array(query_and_target, dtype=np.int32).T
    return Cases(queries, targets)


def every_case(num_items):
    return cases(*((q, t) for q in range(num_items) for t in range(num_items) if q != t))


def by_sorting(scores, asked):
    """Ranks from a full score matrix, one case at a time."""
    found = []
    for query, target in zip(asked.queries, asked.targets, strict=True):
        others = [n for n in range(len(scores)) if n not in (query, target)]
        bar = scores[query, target]
        found.append((sum(scores[query, others] > bar), sum(scores[query, others] == bar)))
    return found


def rank_by_cosine(vectors, asked):
    return CosineSearch(Pool.of(vectors)).rank(asked)


def pairs_of(found):
    return list(zip(found.num_better.tolist(), found.num_tied.tolist(), strict=True))


@pytest.mark.parametrize(
    ("better", "tied", "cutoff", "chance"),
    [
        (0, 0, 1, Fraction(1)),
        (2, 0, 2, Fraction(0)),
        (0, 3, 1, Fraction(1, 4)),  # four alike, one place
        (1, 3, 3, Fraction(2, 4)),
        (1, 3, 5, Fraction(1)),
        (5, 9, 4, Fraction(0)),
    ],
)
def test_ties_share_the_places_that_are_left(better, tied, cutoff, chance):
    assert expected_hits(ranks((better, tied)), cutoff).tolist() == [pytest.approx(float(chance))]


def test_expected_hits_are_the_mean_over_all_orders_of_the_ties():
    for cutoff in range(1, 9):
        places = [2 + place for place in range(1, 5)]  # two better items, four places to share
        wanted = np.mean([place <= cutoff for place in places])
        assert expected_hits(ranks((2, 3)), cutoff)[0] == pytest.approx(wanted)


def test_a_total_tie_is_as_good_as_chance():
    assert hit_rate(ranks((0, 97)), 20) == pytest.approx(random_hit_rate(99, 20))


def test_retention_by_hand():
    assert retention(0.30, 0.50, 0.10) == pytest.approx(0.5)
    assert retention(0.5, 0.5, 0.1) == 1
    assert retention(0.1, 0.5, 0.1) == 0
    assert retention(0.6, 0.5, 0.1) > 1


def test_retention_of_nothing_is_refused():
    with pytest.raises(BadInput, match=r"embed\.encoder"):
        retention(0.3, 0.1, 0.1)


def test_a_cutoff_that_every_ranking_reaches_is_refused():
    assert random_hit_rate(12, 10) == pytest.approx(10 / 11)
    for cutoff in (0, 11, 12):
        with pytest.raises(BadInput, match="cutoffs"):
            random_hit_rate(12, cutoff)


def test_no_cases_have_no_hit_rate():
    with pytest.raises(BadInput, match="min_interactions"):
        hit_rate(ranks(), 10)


def test_area_under_curve_by_hand():
    # 3 beats 1 and 2; 2 beats 1 and ties with 2: (2 + 1.5) / 4.
    assert area_under_curve(np.array([3.0, 2.0]), np.array([1.0, 2.0])) == pytest.approx(3.5 / 4)
    same = np.ones(5)
    assert area_under_curve(same, same) == pytest.approx(0.5)


def test_swapping_sides_mirrors_the_area():
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 6, 40).astype(float), rng.integers(1, 7, 30).astype(float)
    assert area_under_curve(one, other) == pytest.approx(1 - area_under_curve(other, one))


def test_the_nearest_item_has_rank_zero_and_the_query_is_out():
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1], [-1, 0]], dtype=np.float32)
    found = rank_by_cosine(vectors, cases((0, 1), (0, 2), (0, 3)))
    assert pairs_of(found) == [(0, 0), (1, 0), (2, 0)]


def test_cosine_ranks_with_exact_ties_are_those_of_sorting():
    grid = np.array([[1, 0], [0, 1], [-1, 0], [0, -1], [0, 0]], dtype=np.float32)
    vectors = grid[np.random.default_rng(1).integers(0, 5, 18)]
    asked = every_case(18)
    found = rank_by_cosine(vectors, asked)
    assert pairs_of(found) == by_sorting(vectors @ vectors.T, asked)


def test_prefix_and_equal_code_ranks_are_those_of_sorting():
    codes = np.random.default_rng(2).integers(0, 3, (25, 3)).astype(np.int32)
    asked = every_case(25)
    equal = codes[:, None] == codes[None]
    prefix = np.logical_and.accumulate(equal, axis=2).sum(axis=2)
    pool = Pool.of(codes)
    assert pairs_of(rank_by_prefix(codes, asked)) == by_sorting(prefix, asked)
    assert pairs_of(EqualCodesSearch(pool).rank(asked)) == by_sorting(equal.sum(2), asked)


def test_prefix_ranks_by_hand():
    codes = np.array([(0, 0), (0, 0), (0, 1), (1, 0), (1, 1)], dtype=np.int32)
    found = rank_by_prefix(codes, cases((0, 1), (0, 2), (0, 4), (3, 4)))
    # From 0: item 1 shares two codes, 2 shares one, 3 and 4 none. From 3: only 4 shares one.
    assert pairs_of(found) == [(0, 0), (1, 0), (2, 1), (0, 0)]


def test_ranks_do_not_depend_on_the_order_of_rows():
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((40, 6)).astype(np.float32)[rng.integers(0, 40, 60)]
    asked, shuffle = every_case(60), rng.permutation(60)
    place = np.argsort(shuffle).astype(np.int32)
    moved = Cases(place[asked.queries], place[asked.targets])
    one = rank_by_cosine(vectors, asked)
    other = rank_by_cosine(vectors[shuffle], moved)
    assert pairs_of(one) == pairs_of(other)


def world(num_items=60):
    """A nested grid: the code is the digits of a number, and the vector says the same."""
    codes = np.stack(np.unravel_index(np.arange(num_items), (4, 4, 4)), axis=1).astype(np.int32)
    scale = np.array([16, 4, 1], dtype=np.float32)

    def reconstruct(some):
        turns = (some * scale).sum(axis=1) / 64
        return np.stack((np.cos(turns), np.sin(turns)), axis=1).astype(np.float32)

    return reconstruct(codes), codes, reconstruct


def evaluate_world(hierarchical=True):
    vectors, codes, reconstruct = world()
    asked = cases(*((n, n + 1) for n in range(0, 58, 2)))
    wrong = random_negatives(asked, 60, 3, np.random.default_rng(5))
    return item_to_item(vectors, codes, reconstruct, asked, wrong, hierarchical)


def test_ids_that_lose_nothing_retain_everything():
    result = evaluate_world()
    assert [result.retention(cutoff) for cutoff in (1, 5, 20)] == [1, 1, 1]
    assert result.hit_rates(5)["random"] == pytest.approx(5 / 59)


def test_neighbours_match_better_than_strangers():
    for hierarchical in (True, False):
        result = evaluate_world(hierarchical)
        assert result.auc_embedding > 0.9
        assert result.auc_prefix > 0.6
        assert result.auc_exact == pytest.approx(0.5)  # all codes differ: nothing to tell by


def test_hierarchical_ids_are_searched_by_prefix_and_others_by_equal_codes():
    _, codes, _ = world()
    asked = cases(*((n, n + 1) for n in range(0, 58, 2)))
    pool = Pool.of(codes)
    by_prefix, by_equal = rank_by_prefix(codes, asked), EqualCodesSearch(pool).rank(asked)
    assert pairs_of(evaluate_world(hierarchical=True).prefix) == pairs_of(by_prefix)
    assert pairs_of(evaluate_world(hierarchical=False).prefix) == pairs_of(by_equal)
    assert pairs_of(by_prefix) != pairs_of(by_equal)


def test_a_collapsed_tokenizer_is_no_better_than_chance():
    vectors, codes, reconstruct = world()
    asked = cases(*((n, n + 1) for n in range(0, 58, 2)))
    wrong = random_negatives(asked, 60, 3, np.random.default_rng(5))
    result = item_to_item(vectors, codes * 0, reconstruct, asked, wrong)
    assert result.retention(5) == pytest.approx(0)
    assert result.hit_rates(5)["prefix"] == pytest.approx(5 / 59)
    assert (result.auc_embedding, result.auc_prefix, result.auc_exact) == (0.5, 0.5, 0.5)


def test_a_decoder_that_says_one_thing_makes_exact_ties():
    vectors, codes, _ = world()
    asked = cases((0, 1), (5, 9))
    wrong = random_negatives(asked, 60, 1, np.random.default_rng(6))
    result = item_to_item(
        vectors, codes, lambda some: np.ones((len(some), 384), "f4"), asked, wrong
    )
    assert pairs_of(result.reconstructed) == [(0, 58), (0, 58)]


def test_weighted_match_halves_with_each_level():
    codes = np.array([(1, 1, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1), (1, 1, 1)], dtype=np.int32)
    from sidmint.evaluation.item_to_item import Matches

    asked = cases((0, 1), (0, 2), (0, 3), (0, 4))
    pool = CosineSearch(Pool.of(codes.astype(np.float32)))
    assert Matches(codes, pool, True).weighted(asked).tolist() == [1.5, 1.0, 0.0, 1.75]
    assert Matches(codes, pool, False).weighted(asked).tolist() == [2, 2, 2, 3]
    assert Matches(codes, pool, True).exact(asked).tolist() == [0, 0, 0, 1]


def test_no_cases_are_refused():
    vectors, codes, reconstruct = world()
    nobody = Cases(*np.zeros((2, 0), dtype=np.int32))
    with pytest.raises(BadInput, match="no test case"):
        item_to_item(vectors, codes, reconstruct, nobody, nobody)
