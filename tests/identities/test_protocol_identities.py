"""Which events become test cases, which items are in which segment, where cold items land."""

import numpy as np
import pytest

from sidmint.errors import BadInput
from sidmint.evaluation import (
    SEGMENTS,
    Cases,
    Ranks,
    assign_segments,
    cold_reach,
    held_out_cases,
    random_negatives,
    score_segments,
)

TRAIN, HELD = False, True


def asked(*events):
    """Cases from (user, position, item, held out) events, as (query, target) pairs."""
    users, positions, items, held = (np.array(column) for column in zip(*events, strict=True))
    found = held_out_cases(users, positions, items, held.astype(bool))
    return list(zip(found.queries.tolist(), found.targets.tolist(), strict=True))


def test_the_event_before_a_held_out_one_asks_for_it():
    events = [(0, 0, 7, TRAIN), (0, 1, 5, TRAIN), (0, 2, 9, HELD), (1, 0, 3, TRAIN)]
    assert asked(*events) == [(5, 9)]


def test_a_case_names_its_user():
    events = [(4, 0, 7, TRAIN), (4, 1, 5, HELD), (2, 0, 3, TRAIN), (2, 1, 8, HELD)]
    columns = [np.array(column) for column in zip(*events, strict=True)]
    found = held_out_cases(*columns[:3], columns[3].astype(bool))
    assert found.users.tolist() == [2, 4]
    assert found.targets.tolist() == [8, 5]


def test_no_case_joins_two_users():
    assert asked((0, 0, 1, TRAIN), (1, 1, 2, HELD)) == []


def test_an_item_outside_the_pool_is_skipped_without_jumping_the_gap():
    assert asked((0, 0, 1, TRAIN), (0, 1, -1, TRAIN), (0, 2, 3, HELD)) == []
    assert asked((0, 0, 1, TRAIN), (0, 1, -1, HELD)) == []


def test_a_hole_in_the_positions_is_a_gap_too():
    assert asked((0, 0, 1, TRAIN), (0, 2, 3, HELD)) == []


def test_a_repeated_item_asks_nothing():
    assert asked((0, 0, 1, TRAIN), (0, 1, 1, HELD)) == []


def test_two_held_out_events_in_a_row_are_two_cases():
    assert asked((0, 0, 1, TRAIN), (0, 1, 2, HELD), (0, 2, 3, HELD)) == [(1, 2), (2, 3)]


def test_the_order_of_rows_does_not_matter():
    events = [(1, 0, 4, TRAIN), (1, 1, 5, HELD), (0, 1, 2, HELD), (0, 0, 1, TRAIN)]
    assert asked(*events) == asked(*reversed(events)) == [(1, 2), (4, 5)]


def test_negatives_are_every_other_item_equally_often():
    cases = Cases(np.array([1, 4], dtype=np.int32), np.array([3, 0], dtype=np.int32))
    drawn = random_negatives(cases, 5, 30_000, np.random.default_rng(0))
    for query, allowed in ((1, (0, 2, 4)), (4, (1, 2, 3))):
        items, counts = np.unique(drawn.targets[drawn.queries == query], return_counts=True)
        assert tuple(items) == allowed
        assert counts == pytest.approx([10_000] * 3, rel=0.05)


def test_negatives_need_a_third_item():
    with pytest.raises(BadInput):
        random_negatives(
            Cases(*np.array([[0], [1]], dtype=np.int32)), 2, 1, np.random.default_rng(0)
        )


def named(numbers):
    return [SEGMENTS[number] for number in numbers]


def test_segments_by_popularity_with_ties_by_row():
    num_train = np.array([5, 90, 5, 40, 5, 1000], dtype=np.uint32)
    cold = np.array([False, False, False, False, False, True])
    # Warm by falling count: 1, 3, then rows 0, 2, 4 with five each; 20 % and 40 % of five.
    found = named(assign_segments(num_train, cold, 0.2, 0.4))
    assert found == ["torso", "head", "tail", "torso", "tail", "cold"]


def test_shares_of_more_than_everything_are_refused():
    with pytest.raises(BadInput, match="head_share"):
        assign_segments(np.ones(4), np.zeros(4, dtype=bool), 0.7, 0.4)


def test_a_case_counts_for_the_segment_of_its_target():
    segment_of = np.array([0, 1, 2, 3, 2], dtype=np.int8)
    targets = np.array([0, 2, 4, 3])
    original = Ranks(np.array([0, 0, 0, 2]), np.zeros(4, dtype=np.int64))
    ids = Ranks(np.array([0, 0, 3, 0]), np.zeros(4, dtype=np.int64))
    head, torso, tail, cold = score_segments(segment_of, targets, original, ids, (1,))
    assert [each.num_items for each in (head, torso, tail, cold)] == [1, 1, 2, 1]
    assert [each.num_cases for each in (head, torso, tail, cold)] == [1, 0, 2, 1]
    assert head.figures == {"hr_original_at_1": 1, "hr_at_1": 1, "retention_at_1": 1}
    # Chance is 1/4: (1/2 - 1/4) / (1 - 1/4).
    assert tail.figures["retention_at_1"] == pytest.approx(1 / 3)
    assert torso.figures == {}  # no case, no figure
    assert cold.figures == {"hr_original_at_1": 0, "hr_at_1": 1}  # nothing to retain


def test_segments_add_up_to_the_whole():
    rng = np.random.default_rng(1)
    segment_of = rng.integers(0, 4, 50).astype(np.int8)
    targets = rng.integers(0, 50, 300)
    found = Ranks(rng.integers(0, 48, 300), rng.integers(0, 2, 300))
    parts = score_segments(segment_of, targets, found, found, (10,))
    hits = sum(each.figures["hr_at_10"] * each.num_cases for each in parts)
    from sidmint.evaluation import hit_rate

    assert hits / 300 == pytest.approx(hit_rate(found, 10))


def test_cold_reach_by_hand():
    codes = np.array([(0, 0, 0), (0, 1, 1), (1, 0, 0), (0, 0, 0), (1, 1, 1), (0, 1, 5)])
    cold = np.array([False, False, False, True, True, True])
    reach = cold_reach(codes.astype(np.int32), cold)
    # Item 3 joins item 0. Item 4 has known codes in a new order. Item 5 brings a new code 5.
    assert reach.covered.tolist() == [True, True, False]
    assert reach.warm_neighbours.tolist() == [[2, 1, 2], [1, 0, 1], [1, 0, 0]]
    assert reach.coverage == pytest.approx(2 / 3)
    assert reach.new_prefix_share(1) == 0
    assert reach.new_prefix_share(2) == pytest.approx(1 / 3)
    assert reach.new_id_share == pytest.approx(2 / 3)


@pytest.mark.parametrize("cold", [np.zeros(3, dtype=bool), np.ones(3, dtype=bool)])
def test_cold_reach_needs_both_kinds(cold):
    with pytest.raises(BadInput, match="cold_share"):
        cold_reach(np.zeros((3, 2), dtype=np.int32), cold)
