"""Which collisions are benign: buckets worked by hand, and the same count pair by pair."""

import numpy as np
import polars as pl
import pytest

from sidmint.diagnostics import qualified_collisions
from sidmint.diagnostics.tables import worst_buckets_table
from sidmint.errors import BadInput
from sidmint.types import Pairs

EAST, NORTH, NEARLY_EAST = (1.0, 0.0), (0.0, 1.0), (0.99, 0.14)  # cosine 0.99 with EAST


def pairs(*both):
    sides = np.array(both, dtype=np.int32).reshape(-1, 2)
    return Pairs(sides[:, 0], sides[:, 1], np.ones(len(sides), dtype=np.float32))


def judge(codes, vectors, seen_together=(), cosine=0.95):
    columns = np.array(codes, dtype=np.int32)[:, None]
    points = np.array(vectors, dtype=np.float32)
    return qualified_collisions(columns, points, pairs(*seen_together), cosine)


def test_an_unrelated_pair_is_a_conflict():
    found = judge([0, 0, 1], [EAST, NORTH, EAST])
    assert found.in_conflict.tolist() == [True, True, False]
    assert found.conflict_rate == pytest.approx(2 / 3)
    assert (found.num_benign_pairs, found.num_conflict_pairs) == (0, 1)


def test_a_near_duplicate_is_benign_and_the_threshold_decides():
    assert judge([0, 0], [EAST, NEARLY_EAST]).conflict_rate == 0
    assert judge([0, 0], [EAST, NEARLY_EAST], cosine=0.999).conflict_rate == 1


def test_scale_does_not_make_vectors_unrelated():
    assert judge([0, 0], [EAST, (7.0, 0.0)]).conflict_rate == 0


@pytest.mark.parametrize("pair", [(0, 1), (1, 0)])
def test_a_collaborative_pair_is_benign_in_either_direction(pair):
    found = judge([0, 0], [EAST, NORTH], [pair])
    assert found.conflict_rate == 0
    assert found.benign_pair_share == 1


def test_a_pair_in_two_buckets_relates_nobody():
    found = judge([0, 0, 1, 1], [EAST, NORTH, EAST, NORTH], [(0, 3), (1, 2)])
    assert found.conflict_rate == 1


def test_one_unrelated_item_puts_the_whole_bucket_in_conflict():
    # Items 0 and 1 are near; 2 was seen with 0 only: of three pairs one is a conflict.
    found = judge([0, 0, 0], [EAST, NEARLY_EAST, NORTH], [(2, 0)])
    assert found.in_conflict.tolist() == [False, True, True]
    assert (found.num_benign_pairs, found.num_conflict_pairs) == (2, 1)
    assert found.benign_pair_share == pytest.approx(2 / 3)


def test_identical_vectors_are_related_even_at_zero_and_at_a_threshold_of_one():
    zeros = judge([0, 0, 0], [(0, 0), (0, 0), EAST])
    assert zeros.num_benign_pairs == 1
    awkward = tuple(np.random.default_rng(0).standard_normal(37).tolist())
    assert judge([0, 0], [awkward, awkward], cosine=1.0).conflict_rate == 0


def test_nothing_collides_nothing_conflicts():
    found = judge([0, 1, 2], [EAST, NORTH, EAST])
    assert found.conflict_rate == 0
    assert found.benign_pair_share == 1
    assert found.bucket_of.tolist() == [-1, -1, -1]


@pytest.mark.parametrize("tile", [1, 3, 7, 2048])
def test_tiles_of_any_size_judge_as_pair_by_pair(monkeypatch, tile):
    monkeypatch.setattr("sidmint.diagnostics.conflicts._TILE", tile)
    rng = np.random.default_rng(4)
    codes = rng.integers(0, 12, 90).clip(3)  # one crowded bucket, many small ones
    vectors = rng.standard_normal((90, 3)).astype(np.float32)
    together = rng.integers(0, 90, (300, 2))
    found = judge(codes, vectors, together, cosine=0.8)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    related = unit @ unit.T >= 0.8
    related[together[:, 0], together[:, 1]] = related[together[:, 1], together[:, 0]] = True
    unrelated = (codes[:, None] == codes[None]) & ~related & ~np.eye(90, dtype=bool)
    assert found.in_conflict.tolist() == unrelated.any(axis=1).tolist()
    assert found.num_conflict_pairs == unrelated.sum() // 2
    collided = (np.bincount(codes) * (np.bincount(codes) - 1) // 2).sum()
    assert found.num_benign_pairs == collided - unrelated.sum() // 2


def test_codes_and_embeddings_of_other_items_are_refused():
    with pytest.raises(BadInput):
        judge([0, 0, 0], [EAST, NORTH])


def test_worst_buckets_lead_with_conflicts_and_keep_their_full_size():
    # Code 5: three near-duplicates. Code 7: two unrelated items. Code 9: one alone.
    found = judge([5, 7, 5, 7, 9, 5], [EAST, EAST, EAST, NORTH, EAST, EAST])
    items = pl.DataFrame({"item_id": list("abcdef"), "title": list("ABCDEF")})
    rows = worst_buckets_table(found, items.lazy(), most=2).rows()
    assert rows == [
        (1, "b", "B", "conflict", 2),
        (1, "d", "D", "conflict", 2),
        (2, "a", "A", "benign", 3),
        (2, "c", "C", "benign", 3),
        (2, "f", "F", "benign", 3),
    ]
    assert worst_buckets_table(found, items.lazy(), most=1)["bucket"].unique().to_list() == [1]
    alone = judge([0, 1], [EAST, NORTH])
    assert worst_buckets_table(alone, items.lazy(), most=3).is_empty()
