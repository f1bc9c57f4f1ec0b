"""Swing against the double loop of its definition, and against numbers worked by hand."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sidmint.pairs
from sidmint.errors import BadInput
from sidmint.pairs import swing
from sidmint.types import Pairs


def by_definition(events, alpha=1.0, offset=0.0, power=-0.5):
    """{(i, j): score} straight from the sum over unordered pairs of common users."""
    taken, takers = {}, {}
    for user, item in events:
        taken.setdefault(user, set()).add(item)
        takers.setdefault(item, set()).add(user)
    scores = {}
    for i in takers:
        for j in takers:
            common = sorted(takers[i] & takers[j])
            if i == j or len(common) < 2:
                continue
            scores[i, j] = sum(
                (offset + len(taken[u])) ** power
                * (offset + len(taken[v])) ** power
                / (alpha + len(taken[u] & taken[v]))
                for u, v in combinations(common, 2)
            )
    return scores


def by_sidmint(events, num_items=12, top=100, **settings_of_swing):
    users, items = (np.array(column, dtype=np.int64) for column in zip(*events, strict=True))
    found = swing(users, items, num_items=num_items, top=top, **settings_of_swing)
    triggers, targets = found.triggers.tolist(), found.targets.tolist()
    return dict(zip(zip(triggers, targets, strict=True), found.scores.tolist(), strict=True))


def random_events(seed, num_users=30, num_items=12, share=0.3):
    holds = np.random.default_rng(seed).random((num_users, num_items)) < share
    return [(int(u), int(i)) for u, i in np.argwhere(holds)]


def assert_same(found, wanted):
    assert found.keys() == wanted.keys()
    for pair, score in wanted.items():
        assert found[pair] == pytest.approx(score, rel=1e-6), pair


TWO_USERS = [(1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (2, 3)]


def test_two_users_with_two_common_items_worked_by_hand():
    # I_1 = {0, 1}, I_2 = {0, 1, 2, 3}: weights 1/sqrt(2), 1/sqrt(4); they share 2 items.
    wanted = (2**-0.5) * (4**-0.5) / (1 + 2)
    assert_same(by_sidmint(TWO_USERS), {(0, 1): wanted, (1, 0): wanted})


def test_three_users_worked_by_hand():
    # I_1 = {0, 1}, I_2 = {0, 1}, I_3 = {0, 1, 2}: every two of them share exactly 2 items, and
    # each unordered pair counts once: (1/sqrt2 1/sqrt2 + 2 * 1/sqrt2 1/sqrt3) / 3.
    events = [(1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)]
    wanted = (1 / 2 + 2 / 6**0.5) / 3
    assert_same(by_sidmint(events), {(0, 1): wanted, (1, 0): wanted})


def test_alpha_and_the_user_weight_enter_as_written():
    # (3 + 2)^-1 * (3 + 4)^-1 / (5 + 2)
    wanted = 1 / 5 / 7 / 7
    found = by_sidmint(TWO_USERS, alpha=5.0, user_offset=3.0, user_power=-1.0)
    assert_same(found, {(0, 1): wanted, (1, 0): wanted})


def test_users_who_share_much_else_count_for_less():
    # Both pairs of items have two common users; those of (0, 1) share nothing else.
    alike = [(u, i) for u in (3, 4) for i in (2, 3, 4, 5)]
    found = by_sidmint([(1, 0), (1, 1), (2, 0), (2, 1), *alike], user_power=0.0)
    assert found[0, 1] == pytest.approx(1 / 3)
    assert found[2, 3] == pytest.approx(1 / 5)


def test_one_common_user_is_no_pair():
    assert by_sidmint([(1, 0), (1, 1), (2, 0), (2, 2)]) == {}


def test_an_event_that_comes_twice_counts_once():
    assert by_sidmint(TWO_USERS + TWO_USERS[:3]) == by_sidmint(TWO_USERS)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.9])
@pytest.mark.parametrize(("alpha", "offset", "power"), [(1.0, 0.0, -0.5), (0.3, 5.0, -0.35)])
def test_equals_the_double_loop(share, alpha, offset, power):
    events = random_events(3, share=share)
    found = by_sidmint(events, alpha=alpha, user_offset=offset, user_power=power)
    assert_same(found, by_definition(events, alpha, offset, power))


@pytest.mark.parametrize(
    "bounds",
    [
        {"_ENTRIES_A_BLOCK": 1},
        {"_CELLS_A_BLOCK": 1, "_PAIRS_A_CHUNK": 1},
        {"_PAIRS_A_CHUNK": 7},
        {"_DENSE_PAIRS": -1, "_DENSE_SHARE": 0.0},
        {"_DENSE_PAIRS": 20, "_DENSE_SHARE": 0.3, "_PAIRS_A_CHUNK": 5},
    ],
)
def test_blocks_and_matrix_products_change_nothing(monkeypatch, bounds):
    events = random_events(4, num_users=40, share=0.4)
    for name, value in bounds.items():
        monkeypatch.setattr(sidmint.pairs, name, value)
    assert_same(by_sidmint(events), by_definition(events))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 5)), min_size=1, max_size=40),
    st.permutations(range(8)),
    st.randoms(use_true_random=False),
)
def test_relabelling_users_and_shuffling_events_change_nothing(events, labels, random):
    relabelled = [(labels[user] * 1000 - 3, item) for user, item in events]
    random.shuffle(relabelled)
    assert_same(by_sidmint(relabelled), by_sidmint(events))


@pytest.mark.parametrize("seed", [5, 6])
def test_items_that_nobody_took_change_nothing(seed):
    rows = sorted(np.random.default_rng(seed).choice(100_000, 12, replace=False).tolist())
    events = random_events(seed)
    wanted = {(rows[i], rows[j]): score for (i, j), score in by_sidmint(events).items()}
    spread = [(user, rows[item]) for user, item in events]
    assert by_sidmint(spread, num_items=100_000) == wanted


def test_pairs_among_some_rows_are_numbered_as_these_are_alone():
    triggers, targets = np.array([[0, 1, 3, 3], [3, 3, 1, 4]], dtype=np.int32)
    pairs = Pairs(triggers, targets, np.array([1, 2, 3, 4], dtype=np.float32))
    found = pairs.among(np.array([False, True, False, True, True]))
    assert found.triggers.tolist() == [0, 1, 1]
    assert found.targets.tolist() == [1, 0, 2]
    assert found.scores.tolist() == [2, 3, 4]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 5)), min_size=1, max_size=40))
def test_swing_is_symmetric_and_never_over_the_count_of_user_pairs(events):
    found = by_sidmint(events, user_power=0.0)
    assert_same(found, {(j, i): score for (i, j), score in found.items()})
    most = len({user for user, _ in events})
    # every pair of users gives at most 1 / (alpha + 2): both hold i and j
    assert all(score <= most * (most - 1) / 2 / 3 + 1e-6 for score in found.values())


def test_sorted_by_trigger_falling_score_then_target():
    users, items = np.array(random_events(5, share=0.4)).T
    found = swing(users, items, num_items=12, top=100)
    rows = list(zip(found.triggers, -found.scores, found.targets, strict=True))
    assert rows == sorted(rows)
    assert (found.triggers.dtype, found.targets.dtype, found.scores.dtype) == (
        np.int32,
        np.int32,
        np.float32,
    )


def test_equal_scores_go_to_the_lower_row():
    events = [(user, item) for user in (1, 2) for item in (0, 1, 2, 3)]
    assert set(by_sidmint(events, top=2)) == {
        (0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1), (3, 0), (3, 1),
    }  # fmt: skip


@pytest.mark.parametrize("top", [1, 3])
def test_top_keeps_the_best_of_each_trigger(top):
    events = random_events(6, share=0.4)
    kept, everything = by_sidmint(events, top=top), by_sidmint(events)
    for trigger in range(12):
        best = sorted((s for (i, _), s in everything.items() if i == trigger), reverse=True)
        assert sorted((s for (i, _), s in kept.items() if i == trigger), reverse=True) == best[:top]


def test_floor_keeps_only_scores_over_it():
    events = random_events(7, share=0.3)
    everything = by_sidmint(events)
    floor = float(np.median(list(everything.values())))
    assert by_sidmint(events, min_score=floor) == {
        pair: score for pair, score in everything.items() if score > floor
    }


def test_asking_for_more_common_users_drops_pairs_and_changes_no_score():
    events = random_events(8, share=0.25)
    takers = {}
    for user, item in events:
        takers.setdefault(item, set()).add(user)
    wanted = {
        (i, j): score
        for (i, j), score in by_definition(events).items()
        if len(takers[i] & takers[j]) >= 4
    }
    assert 0 < len(wanted) < len(by_definition(events))
    assert_same(by_sidmint(events, min_common_users=4), wanted)


def test_nothing_is_sampled_while_no_item_has_too_many_users():
    events = random_events(9)
    most = max(np.bincount([item for _, item in events]))
    assert by_sidmint(events, max_users_per_item=most, seed=1) == by_sidmint(events, seed=2)


def test_sampling_reads_that_many_users_of_the_trigger_and_all_of_the_target():
    # Everyone holds 0 and 1; all users are alike, so the score counts the user pairs read.
    events = [(user, item) for user in range(50) for item in (0, 1)]
    found = by_sidmint(events, max_users_per_item=10, user_power=0.0)
    assert_same(found, dict.fromkeys([(0, 1), (1, 0)], 45 / 3))
    # A rare trigger keeps what it shares with a popular target.
    rare = [*events, (0, 2), (1, 2), (2, 2)]
    assert (2, 0) in by_sidmint(rare, max_users_per_item=3)


def test_the_sample_follows_the_seed_alone():
    events = [(u, i) for u, i in random_events(10, num_users=200, share=0.5)]
    first, again, other = (by_sidmint(events, max_users_per_item=20, seed=s) for s in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"num_items": 3}, "rows from 0 to 2"),
        ({"alpha": 0.0}, "alpha over 0"),
        ({"min_common_users": 1}, "at least 2 common users"),
        ({"user_power": -5000.0}, "user_power"),
        ({"user_power": 5000.0}, "user_power"),
    ],
)
def test_what_the_formula_cannot_take_is_refused(change, words):
    with pytest.raises(BadInput, match=words):
        by_sidmint(TWO_USERS, **change)


def test_no_events_give_no_pairs():
    nobody = np.array([], dtype=np.int64)
    assert len(swing(nobody, nobody, num_items=3)) == 0
