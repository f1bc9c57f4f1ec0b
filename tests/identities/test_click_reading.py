"""AUC and normalised entropy of scorers whose figures are known without running them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sidmint.errors import BadInput
from sidmint.ranking.reading import (
    AGES,
    item_ages,
    normalised_entropy,
    read,
    read_by,
    same_click_auc,
)

CLICKED = np.array([True, False, False, False, True, False, False, False])


def test_who_knows_every_click_has_an_auc_of_one_and_next_to_no_entropy():
    known = read(CLICKED, np.where(CLICKED, 1 - 1e-9, 1e-9))
    assert known.auc == 1
    assert known.normalised_entropy == pytest.approx(0, abs=1e-8)
    assert read(CLICKED, np.where(CLICKED, 0.1, 0.9)).auc == 0


def test_who_knows_the_base_rate_alone_has_an_auc_of_a_half_and_an_entropy_of_one():
    constant = read(CLICKED, np.full(8, 0.25))
    assert constant.auc == 0.5
    assert constant.normalised_entropy == pytest.approx(1, abs=1e-15)


def test_a_wrong_level_costs_entropy_and_no_auc():
    odds = np.where(CLICKED, 2.0, 0.5) / 3
    right, wrong = (odds * level / (1 + odds * (level - 1)) for level in (1.0, 30.0))
    assert read(CLICKED, right).auc == read(CLICKED, wrong).auc
    assert read(CLICKED, wrong).normalised_entropy > 1 > read(CLICKED, right).normalised_entropy


def test_normalised_entropy_is_log_loss_over_the_entropy_of_the_rate():
    # One click of two: the rate has one bit, and q = 3/4 and 1/4 cost -log2 3/4 each.
    found = normalised_entropy(np.array([True, False]), np.array([0.75, 0.25]))
    assert found == pytest.approx(-math.log2(0.75), abs=1e-15)


def test_sure_and_wrong_costs_infinitely_much():
    assert normalised_entropy(np.array([True, False]), np.array([0.0, 0.5])) == math.inf


def test_without_both_kinds_nothing_is_defined():
    assert read(CLICKED[:1], np.array([0.5])).auc is None
    with pytest.raises(BadInput, match="1 clicks among 1"):
        normalised_entropy(CLICKED[:1], np.array([0.5]))


def test_a_group_is_read_as_if_it_were_all_there_is():
    scores = np.random.default_rng(0).random(8)
    group = np.array([0, 0, 1, 1, 1, 0, 0, 1], dtype=np.int8)
    found = read_by(("a", "b", "c"), group, CLICKED, scores)
    assert found["a"] == read(CLICKED[group == 0], scores[group == 0])
    assert found["b"] == read(CLICKED[group == 1], scores[group == 1])
    assert found["c"].num_examples == 0


def test_candidates_of_one_click_are_compared_with_each_other_alone():
    # The first user is scored lower altogether: an AUC sees that, pairs of one click do not.
    scores = np.array([[0.2, 0.1, 0.1], [0.9, 0.8, 0.9]])
    everyone = np.ones(scores.shape, dtype=bool)
    clicked = np.array([[True, False, False]] * 2)
    assert same_click_auc(scores, everyone) == (1 + 1 + 1 + 0.5) / 4
    assert read(clicked, scores).auc == (2 + 4 - 0.5) / 8
    chosen = np.array([[True, True, False], [False, True, True]])
    assert same_click_auc(scores, chosen) == 1
    assert same_click_auc(scores, ~chosen) is None


def test_ages_follow_the_first_click():
    never = np.iinfo(np.int64).max
    first = np.array([0, 89, 90, 99, 100, never])
    ages = item_ages(first, cut=100, new_share=0.1)
    assert [AGES[age] for age in ages] == ["old", "old", "new", "new", "unseen", "unseen"]
