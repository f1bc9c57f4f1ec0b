"""Bootstrap intervals and paired differences: coverage, quiet A/A runs, groups, ratios."""

from itertools import pairwise

import numpy as np
import pytest

from sidmint.errors import BadInput
from sidmint.evaluation import bootstrap, paired_difference, retention, uncertainty


def rng(seed=0):
    return np.random.default_rng(seed)


def coin(chance, num_cases, generator):
    return (generator.random(num_cases) < chance).astype(float)


def retained(means):
    """Retention where chance hits one in ten: columns are ids and vectors."""
    return (means[:, 0] - 0.1) / (means[:, 1] - 0.1)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    held = 0
    for repetition in range(400):
        generator = rng(repetition)
        found = bootstrap(coin(0.3, 200, generator), generator, num_resamples=200)
        held += found.low <= 0.3 <= found.high
    # 380 are wanted, give or take 4.4; half or twice the width would hold it 269 or 400 times.
    assert 362 <= held <= 396


def test_the_width_is_that_of_the_normal_approximation():
    values = coin(0.2, 5000, rng(1))
    found = bootstrap(values, rng(2))
    assert found.estimate == values.mean()
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 5000**0.5, rel=0.08)


def test_resamples_of_two_cases_are_a_quarter_a_half_a_quarter():
    # Means of 0 and 1 drawn twice: 0, 1/2 or 1. The middle half of them is all 1/2.
    found = bootstrap([0.0, 1.0], rng(), num_resamples=4000, confidence=0.4)
    assert (found.low, found.estimate, found.high) == (0.5, 0.5, 0.5)
    found = bootstrap([0.0, 1.0], rng(), num_resamples=4000, confidence=0.6)
    assert (found.low, found.high) == (0, 1)


def test_p_values_of_equal_sides_are_near_uniform():
    p_values = []
    for repetition in range(400):
        generator = rng(repetition)
        ease = 3 * generator.random(150)  # of a case, for both sides
        sides = (ease + generator.exponential(size=150) for _ in "ab")
        p_values.append(paired_difference(*sides, generator, num_resamples=300).p_value)
    shares = np.histogram(p_values, bins=[0, 0.1, 0.25, 0.5, 0.75, 1.01])[0] / 400
    assert shares == pytest.approx([0.1, 0.15, 0.25, 0.25, 0.25], abs=0.06)


def test_a_real_difference_is_found_and_has_its_sign():
    generator = rng(3)
    champion = coin(0.3, 2000, generator)
    candidate = np.where(coin(0.1, 2000, generator) == 1, 1.0, champion)
    better = paired_difference(candidate, champion, rng(4))
    assert better.estimate == pytest.approx(candidate.mean() - champion.mean())
    assert 0 < better.low < better.estimate < better.high
    assert better.p_value == pytest.approx(2 / 2001)  # never 0: the observed sample counts too
    worse = paired_difference(champion, candidate, rng(4))
    assert (worse.estimate, worse.low, worse.high, worse.p_value) == pytest.approx(
        (-better.estimate, -better.high, -better.low, better.p_value)
    )


def test_a_shift_by_a_constant_is_an_exact_difference():
    champion = coin(0.3, 777, rng(5))
    found = paired_difference(champion + 0.25, champion, rng(6), num_resamples=99)
    assert (found.estimate, found.low, found.high) == (0.25, 0.25, 0.25)
    assert found.p_value == 2 / 100


def test_a_side_against_itself_is_no_difference_at_all():
    same = rng(7).random((50, 2))
    for statistic in (None, retained):
        found = paired_difference(same, same, rng(8), statistic=statistic)
        assert (found.estimate, found.low, found.high, found.p_value) == (0, 0, 0, 1)


def test_pairing_takes_out_what_both_sides_share():
    generator = rng(9)
    champion = 10 * generator.standard_normal(500)
    candidate = champion + generator.standard_normal(500)
    paired = paired_difference(candidate, champion, rng(10))
    alone = bootstrap(candidate, rng(10))
    assert paired.high - paired.low < 0.2 * (alone.high - alone.low)


def test_both_ways_to_form_a_mean_agree():
    ours, theirs = rng(11).random((2, 80, 3))
    plain = paired_difference(ours, theirs, rng(12))
    asked = paired_difference(ours, theirs, rng(12), statistic=lambda means: means[:, 0])
    assert (plain.estimate, plain.low, plain.high) == pytest.approx(
        (asked.estimate, asked.low, asked.high)
    )
    assert plain.p_value == asked.p_value


@pytest.mark.parametrize("copies", [4, 9])
def test_copies_of_a_case_widen_its_interval_by_their_root_once_grouped(copies):
    values = rng(13).random(600)
    repeated, groups = np.repeat(values, copies), np.repeat(np.arange(600), copies)
    blind, knowing = bootstrap(repeated, rng(14)), bootstrap(repeated, rng(15), groups=groups)
    ratio = (knowing.high - knowing.low) / (blind.high - blind.low)
    assert ratio == pytest.approx(copies**0.5, rel=0.1)
    once = bootstrap(values, rng(15))
    assert (knowing.low, knowing.high) == pytest.approx((once.low, once.high))


def test_a_group_weighs_as_much_as_it_has_cases():
    # Whole groups (0, 0, 0) and (1): means of 0, 1/4 or 1, each draw of two.
    values, groups = np.array([0.0, 1.0, 0.0, 0.0]), np.array([7, -2, 7, 7])
    found = bootstrap(values, rng(16), groups=groups, num_resamples=4000, confidence=0.4)
    assert (found.low, found.estimate, found.high) == (0.25, 0.25, 0.25)


def test_the_numbers_of_groups_do_not_matter():
    values, groups = rng(17).random(40), rng(18).integers(0, 9, 40)
    found = [bootstrap(values, rng(19), groups=each) for each in (groups, groups * 1000 - 5)]
    assert found[0] == found[1]


def test_retention_by_hand():
    # Ids hit 3 of 8 cases, vectors 5 of 8: (.375 - .1) / (.625 - .1).
    ids, vectors = np.zeros((2, 8))
    ids[:3] = vectors[:5] = 1
    columns = np.stack((ids, vectors), axis=1)
    found = bootstrap(np.tile(columns, (50, 1)), rng(20), statistic=retained)
    assert found.estimate == pytest.approx(0.275 / 0.525)
    assert found.estimate == pytest.approx(retention(0.375, 0.625, 0.1))
    assert found.low < found.estimate < found.high
    difference = paired_difference(
        np.tile(columns, (50, 1)), np.ones((400, 2)), rng(21), statistic=retained
    )
    assert difference.estimate == pytest.approx(0.275 / 0.525 - 1)


def test_an_interval_of_a_ratio_follows_a_change_of_scale():
    columns = 1 + rng(22).random((90, 2))
    plain = bootstrap(columns, rng(23), statistic=lambda means: means[:, 0] / means[:, 1])
    cubed = bootstrap(columns, rng(23), statistic=lambda means: (means[:, 0] / means[:, 1]) ** 3)
    # Between two neighbouring resamples a percentile is a line, so not to the last digit.
    assert (plain.low**3, plain.high**3) == pytest.approx((cubed.low, cubed.high), rel=1e-4)


def test_more_confidence_is_a_wider_interval_around_a_narrower_one():
    values = rng(24).random(60)
    found = [bootstrap(values, rng(25), confidence=each) for each in (0.5, 0.9, 0.99)]
    for inner, outer in pairwise(found):
        assert outer.low < inner.low < inner.estimate < inner.high < outer.high
        assert outer.confidence > inner.confidence


@pytest.mark.parametrize("block", [1, 70, 2**21])
def test_blocks_do_not_change_the_draws(monkeypatch, block):
    values, groups = rng(26).random((30, 2)), rng(27).integers(0, 12, 30)
    for each in (None, groups):
        whole = bootstrap(values, rng(28), groups=each, num_resamples=101)
        monkeypatch.setattr(uncertainty, "_BLOCK_COUNTS", block)
        parts = bootstrap(values, rng(28), groups=each, num_resamples=101)
        assert (parts.low, parts.high) == pytest.approx((whole.low, whole.high), rel=1e-12)
        monkeypatch.undo()


@pytest.mark.parametrize(
    "values", [[], np.zeros((0, 3)), np.zeros((4, 0)), 3.0, np.zeros((2, 2, 2))]
)
def test_no_case_is_refused(values):
    with pytest.raises(BadInput, match="at least one case"):
        bootstrap(values, rng())


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_a_number_is_refused(bad):
    values = np.array([[0.0, 1.0], [bad, 1.0]])
    with pytest.raises(BadInput, match="row 1"):
        bootstrap(values, rng())
    with pytest.raises(BadInput, match="champion"):
        paired_difference(np.zeros((2, 2)), values, rng())


@pytest.mark.parametrize("shape", [(4, 1), (5, 2), (6,)])
def test_sides_of_different_cases_are_refused(shape):
    with pytest.raises(BadInput, match="same cases"):
        paired_difference(np.zeros(5), np.zeros(shape), rng())


@pytest.mark.parametrize("groups", [np.zeros(4, dtype=int), np.zeros(5), np.zeros((5, 1), int)])
def test_groups_that_are_not_one_number_a_case_are_refused(groups):
    with pytest.raises(BadInput, match="groups"):
        bootstrap(np.zeros(5), rng(), groups=groups)


def test_a_statistic_that_cannot_be_computed_is_refused():
    with pytest.raises(BadInput, match="not a number"):
        bootstrap(np.zeros((5, 2)), rng(), statistic=lambda means: means[:, 0] / means[:, 1])
    with pytest.raises(BadInput, match="one figure a resample"):
        bootstrap(np.zeros((5, 2)), rng(), statistic=lambda means: means)


@pytest.mark.parametrize("asked", [{"confidence": 1.0}, {"confidence": 95}, {"num_resamples": 0}])
def test_settings_without_meaning_are_refused(asked):
    with pytest.raises(BadInput):
        bootstrap(np.zeros(5), rng(), **asked)
