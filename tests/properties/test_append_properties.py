"""Ids of later items, whatever the codes are: nothing published moves, nothing is given twice."""

from __future__ import annotations

from itertools import permutations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sidmint.appending import Appended, Taken, append_by_reassignment, append_by_suffix
from sidmint.semantic_ids import resolve_by_suffix
from sidmint.types import Codes

SIZES = (2, 3, 4)


def random_codes(rng: np.random.Generator, num: int) -> Codes:
    values = np.column_stack([rng.integers(size, size=num) for size in SIZES])
    return Codes(values.astype(np.int32), SIZES)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Taken, Codes, np.ndarray]:
    """Published ids under `suffix`, codes of new items, and their distances to last codes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    old = random_codes(rng, draw(st.integers(1, 30)))
    ids = resolve_by_suffix(old, [str(row) for row in range(old.num_items)])
    new = random_codes(rng, draw(st.integers(1, 30)))
    distances = np.round(rng.random((new.num_items, SIZES[-1])), draw(st.sampled_from([1, 12])))
    distances[np.arange(new.num_items), new.values[:, -1]] = 0.0
    return Taken(old, ids.suffixes), new, distances


def parts(codes: Codes, suffixes: np.ndarray) -> list[tuple[int, ...]]:
    return list(map(tuple, np.column_stack([codes.values, suffixes]).tolist()))


def both(world: tuple[Taken, Codes, np.ndarray]) -> list[Appended]:
    taken, new, distances = world
    by_match = append_by_reassignment(taken, new, lambda rows: distances[rows])
    return [append_by_suffix(taken, new), by_match]


@settings(max_examples=80, deadline=None)
@given(worlds())
def test_no_id_is_given_that_somebody_has_or_had(world: tuple[Taken, Codes, np.ndarray]) -> None:
    taken = parts(world[0].codes, world[0].suffixes)
    for found in both(world):
        given_out = parts(found.codes, found.suffixes)
        assert len(set(given_out)) == len(given_out)
        assert not set(given_out) & set(taken)


@settings(max_examples=80, deadline=None)
@given(worlds())
def test_an_item_that_meets_nobody_gets_what_the_tokenizer_says(
    world: tuple[Taken, Codes, np.ndarray],
) -> None:
    taken, new, _ = world
    every = np.concatenate([taken.codes.values, new.values]).tolist()
    alone = [every.count(row) == 1 for row in new.values.tolist()]
    for found in both(world):
        assert (found.codes.values[alone] == new.values[alone]).all()
        assert not found.suffixes[alone].any()
        assert not found.moved[alone].any()


@settings(max_examples=80, deadline=None)
@given(worlds())
def test_suffixes_count_on_without_a_gap(world: tuple[Taken, Codes, np.ndarray]) -> None:
    taken, new, _ = world
    found = append_by_suffix(taken, new)
    for code in np.unique(new.values, axis=0):
        held = taken.suffixes[(taken.codes.values == code).all(axis=1)]
        got = found.suffixes[(new.values == code).all(axis=1)]
        first = held.max() + 1 if len(held) else 0
        assert got.tolist() == list(range(first, first + len(got)))


@settings(max_examples=80, deadline=None)
@given(worlds())
def test_only_last_codes_move_and_only_to_free_ones(
    world: tuple[Taken, Codes, np.ndarray],
) -> None:
    taken, new, distances = world
    found = append_by_reassignment(taken, new, lambda rows: distances[rows])
    assert (found.codes.values[:, :-1] == new.values[:, :-1]).all()
    rooms = found.codes.values[~found.without_room].tolist()
    assert not set(map(tuple, rooms)) & set(map(tuple, taken.codes.values.tolist()))
    assert len(set(map(tuple, rooms))) == len(rooms)
    assert (found.codes.values[found.without_room] == new.values[found.without_room]).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4))
def test_a_group_is_matched_as_well_as_trying_everything(seed: int, num_new: int) -> None:
    """Of all ways to give the new items of one prefix free codes: fewest moves, least distance."""
    rng = np.random.default_rng(seed)
    size = 5
    held = rng.choice(size, size=1, replace=False)
    taken = Taken(Codes(held[:, None].astype(np.int32), (size,)), np.zeros(1, dtype=np.int32))
    wanted = rng.integers(size, size=num_new)
    distances = rng.random((num_new, size))
    codes = Codes(wanted[:, None].astype(np.int32), (size,))
    found = append_by_reassignment(taken, codes, lambda rows: distances[rows])
    rows = np.arange(num_new)

    def cost(chosen: np.ndarray) -> tuple[int, float]:
        extra = distances[rows, chosen] - distances[rows, wanted]
        return int((chosen != wanted).sum()), float(extra.sum())

    free = np.setdiff1d(np.arange(size), held)
    best = min(cost(np.array(chosen)) for chosen in permutations(free, num_new))
    got = cost(found.codes.values[:, 0])
    assert got[0] == best[0]
    # Items that nobody disputes stay, which the fewest moves ask for, so distances agree too.
    np.testing.assert_allclose(got[1], best[1], atol=1e-9)


def test_a_gap_was_somebodys_id_and_stays_one() -> None:
    code = np.zeros((3, 1), dtype=np.int32)
    taken = Taken(Codes(code, (2,)), np.array([0, 1, 4], dtype=np.int32))
    found = append_by_suffix(taken, Codes(np.array([[0], [1], [0]], dtype=np.int32), (2,)))
    assert found.suffixes.tolist() == [5, 0, 6]


def test_a_full_group_has_no_room() -> None:
    taken = Taken(
        Codes(np.array([[0, 0], [0, 1]], dtype=np.int32), (2, 2)), np.zeros(2, dtype=np.int32)
    )
    codes = Codes(np.array([[0, 1], [1, 1]], dtype=np.int32), (2, 2))
    found = append_by_reassignment(taken, codes, lambda rows: np.zeros((len(rows), 2)))
    assert found.without_room.tolist() == [True, False]
    assert found.suffixes.tolist() == [1, 0]
