"""What holds of Semantic IDs whatever the codes are."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sidmint.quantization.sinkhorn import balanced_codes
from sidmint.semantic_ids import (
    PrefixIndex,
    SemanticIds,
    format_id,
    parse_id,
    parse_tokens,
    resolve_by_reassignment,
    resolve_by_spreading,
    resolve_by_suffix,
    shared_codes,
    tokens_of,
)
from sidmint.types import Codes

SIZES = (2, 3, 5)


@st.composite
def coded_items(draw: st.DrawFn, max_items: int = 24) -> tuple[Codes, list[str], np.ndarray]:
    """Codes that collide, item ids in no order, and a distance of each item to each last code."""
    num_items = draw(st.integers(1, max_items))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = np.column_stack([rng.integers(size, size=num_items) for size in SIZES])
    item_ids = [f"item-{number}" for number in rng.permutation(10 * num_items)[:num_items]]
    distances = np.round(rng.random((num_items, SIZES[-1])), draw(st.sampled_from([1, 12])))
    distances[np.arange(num_items), values[:, -1]] = 0.0
    return Codes(values.astype(np.int32), SIZES), item_ids, distances


def balanced(distances: np.ndarray) -> np.ndarray:
    return balanced_codes(torch.from_numpy(distances)).numpy()


def resolved(codes: Codes, item_ids: list[str], distances: np.ndarray) -> list[SemanticIds]:
    return [
        resolve_by_suffix(codes, item_ids),
        resolve_by_reassignment(codes, item_ids, lambda rows: distances[rows]),
        resolve_by_spreading(codes, item_ids, lambda rows: distances[rows], balanced),
    ]


@settings(max_examples=60, deadline=None)
@given(coded_items())
def test_ids_are_unique_and_read_back(world: tuple[Codes, list[str], np.ndarray]) -> None:
    for ids in resolved(*world):
        texts = ids.strings()
        assert len(set(texts)) == len(texts)
        assert [parse_id(text) for text in texts] == [tuple(parts) for parts in ids.parts.tolist()]
        assert len({len(parse_id(text)) for text in texts}) == 1


@settings(max_examples=60, deadline=None)
@given(coded_items(), st.randoms(use_true_random=False))
def test_permuted_rows_get_permuted_ids(
    world: tuple[Codes, list[str], np.ndarray], random: object
) -> None:
    codes, item_ids, distances = world
    order = list(range(len(item_ids)))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = (
        Codes(codes.values[order], SIZES),
        [item_ids[row] for row in order],
        distances[order],
    )
    for ids, other in zip(resolved(*world), resolved(*shuffled), strict=True):
        assert dict(zip(item_ids, ids.strings(), strict=True)) == dict(
            zip(shuffled[1], other.strings(), strict=True)
        )


@settings(max_examples=60, deadline=None)
@given(coded_items())
def test_reassignment_keeps_prefixes_and_moves_only_who_collides(
    world: tuple[Codes, list[str], np.ndarray],
) -> None:
    codes, item_ids, distances = world
    ids = resolve_by_reassignment(codes, item_ids, lambda rows: distances[rows])
    assert np.array_equal(ids.codes.values[:, :-1], codes.values[:, :-1])
    _, bucket, sizes = np.unique(codes.values, axis=0, return_inverse=True, return_counts=True)
    alone = sizes[bucket.ravel()] == 1
    assert not ids.moved[alone].any()
    prefixes, members = np.unique(codes.values[:, :-1], axis=0, return_inverse=True)
    oversized = np.bincount(members.ravel(), minlength=len(prefixes)) > SIZES[-1]
    colliding = np.zeros(len(prefixes), dtype=bool)
    colliding[members.ravel()[~alone]] = True
    assert ids.num_oversized_groups == int((oversized & colliding).sum())
    if not ids.num_oversized_groups:
        assert ids.moved.sum() == len(item_ids) - len(sizes)  # one stays in every bucket
        assert not ids.suffixes.any()


def best_by_trying_all(last: np.ndarray, distances: np.ndarray) -> tuple[int, float]:
    """Fewest moves and, among those, least added distance, over every injective assignment."""
    rows = np.arange(len(last))
    found = []
    for chosen in permutations(range(SIZES[-1]), len(last)):
        moves = int((np.array(chosen) != last).sum())
        found.append(
            (moves, round(float((distances[rows, chosen] - distances[rows, last]).sum()), 9))
        )
    return min(found)


@settings(max_examples=80, deadline=None)
@given(coded_items(max_items=10))
def test_reassignment_is_the_best_of_all(world: tuple[Codes, list[str], np.ndarray]) -> None:
    codes, item_ids, distances = world
    ids = resolve_by_reassignment(codes, item_ids, lambda rows: distances[rows])
    for prefix in np.unique(codes.values[:, :-1], axis=0):
        group = np.flatnonzero((codes.values[:, :-1] == prefix).all(axis=1))
        if len(group) > SIZES[-1]:
            continue
        best = best_by_trying_all(codes.values[group, -1], distances[group])
        got = (int(ids.moved[group].sum()), round(float(ids.added_distances[group].sum()), 9))
        assert got == best


@settings(max_examples=40, deadline=None)
@given(coded_items())
def test_prefix_index_equals_a_filter(world: tuple[Codes, list[str], np.ndarray]) -> None:
    parts = resolve_by_suffix(*world[:2]).parts
    index = PrefixIndex(parts)
    for prefix in ((), (1,), (0, 2), (1, 1, 4), tuple(parts[0].tolist()), (9,)):
        below = (parts[:, : len(prefix)] == np.array(prefix, dtype=np.int64)).all(axis=1)
        assert index.rows(prefix).tolist() == np.flatnonzero(below).tolist()
        expected = (
            sorted(set(parts[below, len(prefix)].tolist())) if len(prefix) < parts.shape[1] else []
        )
        assert index.following(prefix).tolist() == expected


@given(st.lists(st.integers(0, 99_999), min_size=1, max_size=26))
def test_text_and_tokens_round_trip(parts: list[int]) -> None:
    assert parse_id(format_id(parts)) == tuple(parts)
    assert parse_tokens("".join(tokens_of(parts))) == tuple(parts)


@settings(max_examples=40, deadline=None)
@given(coded_items())
def test_counts_of_shared_codes_agree_with_a_dictionary(
    world: tuple[Codes, list[str], np.ndarray],
) -> None:
    values = world[0].values
    buckets: dict[tuple[int, ...], int] = {}
    for row in values.tolist():
        buckets[tuple(row)] = buckets.get(tuple(row), 0) + 1
    shared = shared_codes(values)
    assert shared.num_distinct_codes == len(buckets)
    assert shared.num_collided_items == sum(n for n in buckets.values() if n > 1)
    assert shared.largest_bucket == max(buckets.values())
    assert shared.collision_rate == 1 - len(buckets) / len(values)
