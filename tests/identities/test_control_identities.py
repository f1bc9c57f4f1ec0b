"""Random codes, hyperplanes and category paths: what controls promise, and what they do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import worlds
from sidmint.errors import BadInput
from sidmint.tokenizers import TrainingLog, make_tokenizer
from sidmint.tokenizers.base import Tokenizer
from sidmint.tokenizers.category import number_categories

PATHS = ["A > x", "A > x > p", "A > y", "B > x", "B", None, "A > x > q", "A > x > p"]


def fitted(name: str, vectors: np.ndarray, **settings: Any) -> Tokenizer:
    tokenizer = make_tokenizer(name, {"sizes": [8, 8, 8], **settings})
    tokenizer.fit(vectors, seed=settings.pop("seed", 1))
    return tokenizer


def by_category(
    paths: list[str | None], sizes: tuple[int, ...] = (8, 8, 8), **settings: Any
) -> tuple[Tokenizer, TrainingLog, np.ndarray]:
    vectors = worlds.smooth_items(len(paths))
    tokenizer = make_tokenizer("category", {"sizes": sizes, **settings})
    log = tokenizer.fit(vectors, categories=paths)
    return tokenizer, log, tokenizer.encode(vectors, categories=paths)


@pytest.mark.parametrize("name", ["random", "lsh"])
def test_equal_vectors_get_equal_codes(name: str) -> None:
    vectors = worlds.smooth_items(100)
    vectors[7] = vectors[3]
    vectors[9] = 0.0
    vectors[11] = -vectors[9]  # minus zero equals zero
    codes = fitted(name, vectors).encode(vectors)
    assert np.array_equal(codes[7], codes[3])
    assert np.array_equal(codes[9], codes[11])


def test_random_codes_are_even_and_levels_independent() -> None:
    vectors = worlds.smooth_items(20_000, 4)
    codes = fitted("random", vectors, sizes=[5, 3]).encode(vectors)
    counts = np.histogram2d(codes[:, 0], codes[:, 1], bins=(5, 3))[0]
    expected = len(codes) / 15
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert chi_square < 36.1  # 0.1 % of a chi-square with 14 degrees of freedom


def test_random_codes_of_a_vector_do_not_depend_on_what_was_fitted() -> None:
    vectors = worlds.smooth_items(200)
    assert np.array_equal(
        fitted("random", vectors[:50]).encode(vectors), fitted("random", vectors).encode(vectors)
    )


@pytest.mark.parametrize("size", [2, 3, 5, 8])
def test_cells_of_hyperplanes_are_shared_out_over_any_number_of_codes(size: int) -> None:
    vectors = np.random.default_rng(0).normal(size=(4000, 16)).astype(np.float32)
    counts = np.bincount(fitted("lsh", vectors, sizes=[size]).encode(vectors)[:, 0], minlength=size)
    assert len(counts) == size
    assert counts.min() > 0


def test_sides_of_one_hyperplane_are_opposite() -> None:
    vectors = worlds.smooth_items(300)
    vectors -= vectors.mean(axis=0)
    tokenizer = fitted("lsh", vectors, sizes=[2, 2])
    mirrored = (2 * vectors.mean(axis=0, dtype=np.float64) - vectors).astype(np.float32)
    assert np.array_equal(tokenizer.encode(mirrored), 1 - tokenizer.encode(vectors))


def test_near_vectors_share_sides_more_often_than_far_ones() -> None:
    vectors = worlds.smooth_items(400)
    codes = fitted("lsh", vectors, sizes=[2] * 16).encode(vectors)
    cosine = vectors @ vectors.T
    agree = (codes[:, None] == codes[None]).mean(axis=2)
    above = ~np.eye(400, dtype=bool)
    assert np.corrcoef(cosine[above], agree[above])[0, 1] > 0.7


@pytest.mark.parametrize("name", ["random", "lsh", "category"])
@pytest.mark.parametrize("vectors", [np.ones((30, 4)), worlds.smooth_items(3, 4).repeat(4, axis=0)])
def test_controls_take_any_number_of_distinct_vectors(name: str, vectors: np.ndarray) -> None:
    vectors = vectors.astype(np.float32)
    tokenizer = make_tokenizer(name, {"sizes": [64, 64]})
    paths = ["a > b"] * len(vectors)
    tokenizer.fit(vectors, categories=paths)
    codes = tokenizer.encode(vectors, categories=paths)
    assert len(np.unique(codes, axis=0)) <= len(np.unique(vectors, axis=0))
    for table in tokenizer.codebooks().levels:
        assert np.isfinite(table).all()
    if len(np.unique(vectors, axis=0)) == 1:
        assert np.allclose(tokenizer.reconstruct(codes), vectors)


def test_categories_are_numbered_among_their_siblings_from_the_most_frequent() -> None:
    _, log, codes = by_category(PATHS)
    assert codes.tolist() == [
        [1, 1, 0],
        [1, 1, 1],
        [1, 2, 0],
        [2, 1, 0],
        [2, 0, 0],
        [0, 0, 0],
        [1, 1, 2],
        [1, 1, 1],
    ]
    assert log.notes == ()


def test_an_unknown_category_joins_its_nearest_known_prefix() -> None:
    tokenizer, _, _ = by_category(PATHS)
    unknown = ["A > z", "C > x", "A > x > new", "  A >  y ", ""]
    codes = tokenizer.encode(worlds.smooth_items(5), categories=unknown)
    assert codes.tolist() == [[1, 0, 0], [0, 0, 0], [1, 1, 0], [1, 2, 0], [0, 0, 0]]


def test_rare_categories_share_the_last_code_and_the_log_says_so() -> None:
    paths: list[str | None] = ["a", "a", "a", "b", "b", "c > x", "d > x", "d > y"]
    _, log, codes = by_category(paths, (4, 8))
    assert codes[:, 0].tolist() == [1, 1, 1, 2, 2, 3, 3, 3]
    assert log.notes[0] == (
        "level 1 has more categories than codes: 2 of 4 share the last code of their prefix"
    )
    assert codes[5:, 1].tolist() == [1, 1, 2]  # children of what shares a code are one family
    assert number_categories([["a"], ["b"], ["c"]], (4,))[1] == []


def test_the_separator_is_a_setting_and_the_log_asks_for_it() -> None:
    paths: list[str | None] = ["Office, Pens", "Office, Paper", "Home, Pens"]
    _, log, codes = by_category(paths)
    assert codes[:, 1:].max() == 0
    assert "set tokenizers.category.separator" in log.notes[-1]
    _, log, codes = by_category(paths, separator=", ")
    assert codes[:, :2].tolist() == [[1, 2], [1, 1], [2, 1]]
    assert log.notes == ()


def test_parts_below_the_last_level_are_left_out() -> None:
    assert by_category(["a > b > c", "a > b > d"], (8, 8))[2].tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (None, "wants one an item; got none for 4 items"),
        (["a"], "got 1 for 4 items"),
        ([None, "", None, " > "], "no item has one; map a column to categories"),
    ],
)
def test_missing_categories_name_the_way_out(paths: list[str | None], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        make_tokenizer("category", {}).fit(worlds.smooth_items(4), categories=paths)


def test_only_category_reads_categories() -> None:
    vectors = worlds.smooth_items()
    plain, told = (make_tokenizer("rq_kmeans", {"sizes": [8, 8]}) for _ in range(2))
    plain.fit(vectors, seed=1)
    told.fit(vectors, seed=1, categories=worlds.category_paths(vectors))
    assert np.array_equal(plain.encode(vectors), told.encode(vectors, categories=["x"]))
