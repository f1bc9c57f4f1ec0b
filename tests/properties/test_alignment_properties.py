"""A retrained table under its champion's names: numbering is no churn, and nothing is lost."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidmint.diagnostics import alignment, renamed, stability
from sidmint.errors import BadInput

SIZES = (16, 8, 32)
seeds = st.integers(0, 2**32)


def codes_of(seed: int, num: int = 400) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.integers(size, size=num) for size in SIZES]).astype(np.int32)


def shuffled(codes: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    names = [rng.permutation(size).astype(np.int32) for size in SIZES]
    return renamed(codes, tuple(names))


@settings(max_examples=30, deadline=None)
@given(seeds, seeds)
def test_a_table_under_other_numbers_has_no_churn_once_aligned(one: int, other: int) -> None:
    champion = codes_of(one)
    candidate = shuffled(champion, other)
    names = alignment(champion, candidate, SIZES)
    assert (renamed(candidate, names) == champion).all()
    assert stability(champion, candidate).aligned_churn == (0, 0, 0)


def test_the_same_table_under_other_numbers_looks_like_another_one() -> None:
    champion = codes_of(1)
    churn = stability(champion, shuffled(champion, 2)).churn
    assert churn[-1] > 0.99
    assert churn[0] > 0.7


@settings(max_examples=30, deadline=None)
@given(seeds, seeds)
def test_names_are_permutations_and_keep_apart_what_was_apart(one: int, other: int) -> None:
    champion, candidate = codes_of(one, 40), codes_of(other, 40)
    names = alignment(champion, candidate, SIZES)
    for name, size in zip(names, SIZES, strict=True):
        assert sorted(name.tolist()) == list(range(size))
    before = np.unique(candidate, axis=0, return_inverse=True)[1]
    after = np.unique(renamed(candidate, names), axis=0, return_inverse=True)[1]
    assert len(set(zip(before.ravel(), after.ravel(), strict=True))) == before.max() + 1


@settings(max_examples=30, deadline=None)
@given(seeds, seeds)
def test_no_other_permutation_keeps_more_codes_of_a_level(one: int, other: int) -> None:
    rng = np.random.default_rng(one), np.random.default_rng(other)
    champion, candidate = (each.integers(5, size=(30, 1)).astype(np.int32) for each in rng)
    best = max(
        (np.array(names)[candidate[:, 0]] == champion[:, 0]).sum()
        for names in permutations(range(5))
    )
    names = alignment(champion, candidate, (5,))
    assert (renamed(candidate, names) == champion).sum() == best


def test_equal_tables_are_renamed_by_nothing() -> None:
    codes = codes_of(3, 20)  # most codes of the last level are not in use
    for name, size in zip(alignment(codes, codes, SIZES), SIZES, strict=True):
        assert name.tolist() == list(range(size))


def test_codes_that_a_smaller_codebook_cannot_name_are_left() -> None:
    champion = np.array([[9], [9], [1]], dtype=np.int32)
    candidate = np.array([[0], [0], [2]], dtype=np.int32)
    (names,) = alignment(champion, candidate, (3,))
    assert names.tolist() == [0, 2, 1]


def test_tables_of_other_items_are_refused() -> None:
    with pytest.raises(BadInput, match="both versions"):
        alignment(codes_of(1, 3), codes_of(1, 4), SIZES)
