"""A split of users: Student's t on few of them, CUPED's slope, the relative uplift."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sidmint.evaluation.user_split import Uplift, in_treatment, uplift


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def told(outcomes: np.ndarray, treated: np.ndarray, covariate: np.ndarray | None = None) -> Uplift:
    found = uplift(outcomes, treated, covariate)
    assert found is not None
    return found


def test_without_a_covariate_it_is_the_test_of_welch():
    drawn = generator(1)
    scores, treated = drawn.exponential(size=25), np.arange(25) < 7
    found = told(scores, treated)
    oracle = stats.ttest_ind(scores[treated], scores[~treated], equal_var=False)
    interval = oracle.confidence_interval()
    assert found.p_value == pytest.approx(oracle.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


@pytest.mark.parametrize(
    ("side", "with_covariate", "most"), [(5, False, 0.065), (5, True, 0.08), (20, True, 0.065)]
)
def test_few_users_are_nearly_as_quiet_as_many(side: int, with_covariate: bool, most: float):
    """A/A: by the normal law 8.4 % of splits into five and five would be a difference."""
    drawn, seen = generator(2), 0
    for _ in range(2000):
        before = drawn.normal(size=2 * side)
        scores = before + drawn.normal(size=2 * side)
        found = told(scores, np.arange(2 * side) < side, before if with_covariate else None)
        seen += found.p_value < 0.05
    assert 0.03 <= seen / 2000 <= most


@given(st.integers(0, 10_000), st.integers(3, 12), st.floats(-2, 2))
def test_cuped_never_has_the_larger_error(seed: int, num_treated: int, slope: float):
    drawn = generator(seed)
    before = drawn.normal(size=16)
    scores = slope * before * drawn.integers(0, 2, 16) + drawn.normal(size=16)
    treated = np.arange(16) < num_treated
    assert told(scores, treated, before).error <= told(scores, treated).error * (1 + 1e-12)


def test_a_covariate_without_spread_changes_nothing():
    drawn = generator(3)
    scores, treated = drawn.random(40), np.arange(40) < 20
    assert told(scores, treated, np.full(40, 0.3)) == told(scores, treated)


def test_sides_without_spread_differ_for_certain_or_not_at_all():
    treated = np.arange(10) < 5
    assert told(np.ones(10), treated).p_value == 1
    assert told(treated.astype(float), treated).p_value == 0


def test_the_relative_uplift_is_covered_about_as_often_as_it_says():
    """Control .4, treatment .5: a quarter more."""
    covered = 0
    for trial in range(600):
        drawn = generator(10 + trial)
        treated = np.arange(800) < 400
        found = told((drawn.random(800) < np.where(treated, 0.5, 0.4)).astype(float), treated)
        assert found.relative_low is not None
        assert found.relative_high is not None
        covered += found.relative_low <= 0.25 <= found.relative_high
    assert 0.925 <= covered / 600 <= 0.975
    empty_control = told(treated.astype(float), treated)
    assert (empty_control.relative, empty_control.relative_low) == (None, None)


def test_the_offline_split_finds_a_planted_gain_under_most_salts():
    """Who gets the champion has its own score as covariate, and is told apart all the same."""
    drawn = generator(4)
    users = [f"u{n}" for n in range(2000)]
    before = drawn.random(2000)
    after = before + drawn.normal(0.03, 0.2, 2000)
    found = []
    for salt in range(60):
        treated = in_treatment(users, str(salt))
        found.append(told(np.where(treated, after, before), treated, before))
    assert np.mean([each.p_value < 0.05 for each in found]) > 0.8
    assert np.mean([each.difference for each in found]) == pytest.approx(
        (after - before).mean(), abs=0.004
    )
