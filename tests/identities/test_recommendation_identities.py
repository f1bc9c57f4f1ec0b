"""What a list is worth, by hand; and what lists are made of."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from sidmint.catalogue.splitting import shuffle_ties, split_by_time
from sidmint.errors import BadInput
from sidmint.evaluation import recommendation as judged
from sidmint.recommenders import Sequences
from sidmint.recommenders.cases import TEST, TRAIN, VALIDATION, split_sequences

LISTS = np.array([[4, 2, 7], [1, 0, -1], [3, 5, 6]], dtype=np.int32)
TARGETS = np.array([2, 5, 3], dtype=np.int32)


def test_places_hits_and_gains_by_hand():
    places = judged.target_places(LISTS, TARGETS)
    assert places.tolist() == [2, 0, 1]
    assert judged.hits(places, 1).tolist() == [0, 0, 1]
    assert judged.gains(places, 3).tolist() == pytest.approx([1 / np.log2(3), 0, 1])
    assert judged.reciprocals(places, 3).tolist() == pytest.approx([0.5, 0, 1])


def test_a_tuple_hit_counts_what_collides_and_distinct_codes_before_it():
    codes = np.array([[0], [0], [1], [2], [3], [1], [4], [4]], dtype=np.int32)
    places = judged.tuple_places(LISTS, TARGETS, codes)
    # Item 2 has code 1: second code. Item 5 has code 1, which user 1's list lacks.
    assert places.tolist() == [2, 0, 1]
    lists = np.array([[0, 1, 5]], dtype=np.int32)
    # Items 0 and 1 share a code and take one place; item 5 stands in for item 2.
    assert judged.tuple_places(lists, np.array([2]), codes).tolist() == [2]
    assert judged.target_places(lists, np.array([2])).tolist() == [0]


def test_spread_by_hand():
    found = judged.spread(LISTS, np.arange(8) >= 6)
    assert found.num_distinct == 8
    assert found.gini == pytest.approx(0)
    assert found.cold_share == pytest.approx(2 / 8)
    one = judged.spread(np.zeros((5, 1), dtype=np.int32), np.zeros(10, dtype=bool))
    assert (one.coverage, one.gini) == (pytest.approx(0.1), pytest.approx(0.9))


def test_a_recommender_that_ignores_history_has_no_effect_of_it():
    blank = np.log([0.5, 0.25, 0.25])
    assert judged.history_effect(np.tile(blank, (3, 1)), blank) == 0
    sure = np.log([[1 - 2e-9, 1e-9, 1e-9]])
    assert judged.history_effect(sure, blank) == pytest.approx(np.log(2), rel=1e-6)


def test_cases_see_what_came_before_and_training_sees_no_held_out_event():
    users = np.array([0, 0, 0, 0, 1, 1, 2])
    items = np.array([5, 6, 7, 8, 6, 9, 4], dtype=np.int32)
    parts = np.array([TRAIN, TRAIN, VALIDATION, TEST, TRAIN, TEST, TEST], dtype=np.int8)
    split = split_sequences(users, items, parts)
    assert [split.train[u].tolist() for u in range(3)] == [[5, 6], [6], []]
    assert split.validation.targets.tolist() == [7]
    assert split.validation.histories[0].tolist() == [5, 6]
    # User 2's only event has nothing before it: no case.
    assert split.test.targets.tolist() == [8, 9]
    assert [split.test.histories[c].tolist() for c in range(2)] == [[5, 6, 7], [6]]
    assert split.test_events.tolist() == [3, 5]


def test_sequences_cut_pad_and_map():
    walks = Sequences.of([[1, 2, 3], [], [4]])
    assert walks.padded(2).tolist() == [[2, 3], [-1, -1], [4, -1]]
    assert walks.last(1).items.tolist() == [3, 4]
    assert walks.take(np.array([2, 0])).items.tolist() == [4, 1, 2, 3]
    mapped = walks.mapped(np.array([0, -1, 7, 8, 9], dtype=np.int32))
    assert [mapped[u].tolist() for u in range(3)] == [[7, 8], [], [9]]
    with pytest.raises(BadInput, match="rising offsets"):
        Sequences(np.zeros(2, np.int32), np.array([0, 3, 2]))


def events(times: list[int], users: list[int] | None = None) -> pl.DataFrame:
    users = users or [0] * len(times)
    return pl.DataFrame(
        {"user_id": users, "item_id": list(range(len(times))), "timestamp": times},
        schema_overrides={"item_id": pl.Int64},
    )


def test_shuffling_changes_only_the_order_inside_a_tie():
    log = events([1, 2, 2, 2, 2, 2, 3, 3], [0] * 7 + [1])
    found = {tuple(shuffle_ties(log, seed)["item_id"].to_list()) for seed in range(20)}
    assert len(found) > 5
    for order in found:
        assert (order[0], order[6], order[7]) == (0, 6, 7)
        assert set(order[1:6]) == {1, 2, 3, 4, 5}
    assert shuffle_ties(log, 3).equals(shuffle_ties(log, 3))
    with pytest.raises(BadInput, match="tie_order"):
        shuffle_ties(log.drop("timestamp"), 0)


def test_one_cut_in_time_parts_all_users_and_what_comes_after_is_cold():
    log = events([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]).with_columns(
        item_id=pl.Series([0, 0, 1, 1, 2, 2, 0, 3, 1, 3])
    )
    split, unseen = split_by_time(log, 0.2, 0.2)
    assert split["split"].to_list() == [*["train"] * 6, "validation", "cold", "test", "cold"]
    assert unseen.tolist() == [3]
    assert split["position"].to_list() == list(range(10))
    with pytest.raises(BadInput, match="protocol is time"):
        split_by_time(log.drop("timestamp"), 0.1, 0.1)
