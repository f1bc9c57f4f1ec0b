"""Semantic IDs worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sidmint.errors import BadInput
from sidmint.semantic_ids import (
    format_id,
    parse_id,
    parse_tokens,
    resolve_by_reassignment,
    resolve_by_suffix,
    shared_codes,
    tokens_of,
)
from sidmint.types import Codes


def codes(*rows: tuple[int, ...], sizes: tuple[int, ...] = (4, 3)) -> Codes:
    return Codes(np.array(rows, dtype=np.int32), sizes)


def no_distances(rows: np.ndarray) -> np.ndarray:
    raise AssertionError("nothing collides, so no distance may be asked for")


def test_suffix_counts_by_item_id_and_stands_in_every_id() -> None:
    ids = resolve_by_suffix(codes((1, 2), (0, 0), (1, 2)), ["b", "c", "a"])
    assert ids.strings() == ["1-2-1", "0-0-0", "1-2-0"]
    assert not ids.moved.any()


def test_nothing_moves_where_nothing_collides() -> None:
    ids = resolve_by_reassignment(codes((1, 2), (0, 0), (1, 1)), ["b", "c", "a"], no_distances)
    assert ids.strings() == ["1-2", "0-0", "1-1"]


def test_the_item_that_is_moved_is_the_one_for_whom_it_costs_less() -> None:
    # a and b share code 0; code 1 is held by c; code 2 is free and 5 further for a, 3 for b.
    table = np.array([[1.0, 2.0, 6.0], [2.0, 9.0, 5.0], [8.0, 1.0, 1.5]])
    ids = resolve_by_reassignment(
        codes((3, 0), (3, 0), (3, 1)), ["a", "b", "c"], lambda rows: table[rows]
    )
    assert ids.strings() == ["3-0", "3-2", "3-1"]
    assert ids.added_distances.tolist() == [0.0, 3.0, 0.0]


def test_few_moves_come_before_small_distances() -> None:
    # Moving c aside (nearly free) and a into its place would be nearer, but is two moves.
    table = np.array([[0.0, 0.1, 50.0], [0.0, 60.0, 50.0], [90.0, 0.0, 0.1]])
    ids = resolve_by_reassignment(
        codes((0, 0), (0, 0), (0, 1)), ["a", "b", "c"], lambda rows: table[rows]
    )
    assert ids.moved.sum() == 1
    assert ids.strings()[2] == "0-1"


def test_equal_items_are_told_apart_by_id_the_first_stays() -> None:
    table = np.tile([1.0, 2.0, 3.0], (3, 1))
    ids = resolve_by_reassignment(
        codes((0, 1), (0, 1), (0, 1)), ["z", "x", "y"], lambda rows: table[rows]
    )
    assert dict(zip("zxy", ids.strings(), strict=True)) == {"x": "0-1", "y": "0-0", "z": "0-2"}


def test_a_group_larger_than_the_last_level_falls_back_to_suffixes() -> None:
    rows = [(0, 0), (0, 0), (0, 1), (0, 2), (1, 1), (1, 1)]
    table = np.tile([0.0, 1.0, 2.0], (6, 1))
    ids = resolve_by_reassignment(codes(*rows), list("abcdef"), lambda rows: table[rows])
    assert ids.num_oversized_groups == 1
    assert ids.strings() == ["0-0-0", "0-0-1", "0-1-0", "0-2-0", "1-1-0", "1-0-0"]


def test_shared_codes_by_hand() -> None:
    shared = shared_codes(codes((0, 0), (0, 0), (0, 0), (1, 1), (2, 2)).values)
    assert (shared.collision_rate, shared.collided_item_rate) == (pytest.approx(0.4), 0.6)
    assert shared.largest_bucket == 3


def test_ids_as_words() -> None:
    assert format_id((12, 7, 201, 0)) == "12-7-201-0"
    assert tokens_of((12, 7, 201, 0)) == ("<a_12>", "<b_7>", "<c_201>", "<d_0>")


@pytest.mark.parametrize("text", ["", "12-", "a-1", "1--2", "-1", "1 2", "1-2\n", "\uff11-2"])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="is no Semantic ID"):
        parse_id(text)


@pytest.mark.parametrize("tokens", ["", "<b_1>", "<a_1><c_2>", "<a_1>x<b_2>", "<a_-1>"])
def test_what_are_no_tokens_is_refused(tokens: str) -> None:
    with pytest.raises(BadInput, match="are no id tokens"):
        parse_tokens(tokens)


def test_repeated_item_ids_are_refused() -> None:
    with pytest.raises(BadInput, match="item ids repeat"):
        resolve_by_suffix(codes((0, 0), (1, 1)), ["a", "a"])
