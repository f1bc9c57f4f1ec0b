"""What a click model may know: nothing of later, nothing of others, no click as a negative."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidmint.errors import BadInput
from sidmint.ranking import ClickLog, require_honest, split_examples

NUM_ITEMS = 30


def a_log(seed: int = 0, num_users: int = 25, num_events: int = 400) -> ClickLog:
    """Many events of one user and time, items that users click twice."""
    generator = np.random.default_rng(seed)
    return ClickLog.of(
        generator.integers(num_users, size=num_events),
        generator.integers(NUM_ITEMS, size=num_events),
        generator.integers(40, size=num_events),
        NUM_ITEMS,
    )


def a_split(log: ClickLog, cut: int = 30, seed: int = 1):
    return split_examples(log, cut, num_negatives=3, history=4, seed=seed)


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_examples_know_what_was_known_at_their_time(seed):
    log, cut = a_log(seed), 30
    train, test = a_split(log, cut, seed)
    require_honest(train, test, cut)
    assert (log.times[train.clicks] < cut).all()
    assert (log.times[test.clicks] >= cut).all()
    for part in (train, test):
        for click, history, negatives in zip(
            part.clicks, part.history_items, part.negatives, strict=True
        ):
            user, time = log.users[click], log.times[click]
            before = log.items[(log.users == user) & (log.times < time)][::-1][:4]
            assert history.tolist() == before.tolist() + [-1] * (4 - len(before))
            own = set(log.items[log.users == user].tolist())
            known = set(log.items[log.times <= time].tolist())
            assert set(negatives.tolist()) <= known - own


def test_every_click_with_a_history_and_enough_items_is_asked():
    log = a_log()
    train, test = a_split(log)
    earlier = [
        ((log.users == user) & (log.times < time)).any()
        for user, time in zip(log.users, log.times, strict=True)
    ]
    known = [len(set(log.items[log.times <= time].tolist())) for time in log.times]
    wanted = np.flatnonzero(np.array(earlier) & (np.array(known) == NUM_ITEMS))
    assert set(wanted.tolist()) <= set(train.clicks.tolist()) | set(test.clicks.tolist())


def test_negatives_are_drawn_evenly_from_what_is_left():
    users = np.repeat(np.arange(2), [4000, 10])
    items = np.concatenate([np.arange(4000) % 2, np.arange(10)])
    log = ClickLog.of(users, items, np.concatenate([np.arange(4000) + 50, np.arange(10)]), 10)
    train, _ = split_examples(log, 3000, num_negatives=4, history=1, seed=0)
    counts = np.bincount(train.negatives[log.users[train.clicks] == 0].ravel(), minlength=10)
    assert counts[:2].tolist() == [0, 0]
    expected = counts.sum() / 8
    assert (np.abs(counts[2:] - expected) < 5 * expected**0.5).all()


def test_the_seed_alone_decides_the_negatives():
    log = a_log()
    one, same, other = (a_split(log, seed=seed)[0] for seed in (1, 1, 2))
    assert (one.negatives == same.negatives).all()
    assert (one.negatives != other.negatives).any()


def test_row_order_changes_nothing():
    log = a_log()
    order = np.random.default_rng(3).permutation(len(log.users))
    again = ClickLog.of(log.users[order], log.items[order], log.times[order], NUM_ITEMS)
    for one, other in zip(a_split(log), a_split(again), strict=True):
        assert (one.history_items == other.history_items).all()
        assert (one.candidates == other.candidates).all()


def test_a_planted_leak_is_found():
    log, cut = a_log(), 30
    train, test = a_split(log, cut)
    itself = train.history.copy()
    itself[0, 0] = train.clicks[0]
    with pytest.raises(BadInput, match="training history holds a click that is not before"):
        require_honest(replace(train, history=itself), test, cut)
    later = test.history.copy()
    later[3, 1] = np.flatnonzero(log.times == log.times.max())[0]
    with pytest.raises(BadInput, match="test history holds a click that is not before"):
        require_honest(train, replace(test, history=later), cut)
    foreign = test.history.copy()
    foreign[0, 0] = np.flatnonzero((log.users != log.users[test.clicks[0]]) & (log.times < 5))[0]
    with pytest.raises(BadInput, match="test history holds a click of another user"):
        require_honest(train, replace(test, history=foreign), cut)
    own = train.negatives.copy()
    own[2, 1] = log.items[train.clicks[2]]
    with pytest.raises(BadInput, match="training negative is an item that its user clicks"):
        require_honest(replace(train, negatives=own), test, cut)
    with pytest.raises(BadInput, match="training click lies at or after the cut"):
        require_honest(test, test, cut)
    with pytest.raises(BadInput, match="test click lies before the cut"):
        require_honest(train, train, cut)


def test_the_cut_keeps_events_of_one_time_together():
    log = a_log()
    for share in (0.1, 0.25, 0.5):
        cut = log.cut(share)
        assert (log.times >= cut).mean() >= share > (log.times > cut).mean()


def test_a_log_of_one_moment_has_no_cut():
    log = ClickLog.of(np.zeros(5), np.arange(5), np.full(5, 7), 5)
    with pytest.raises(BadInput, match="all events lie at or after the cut"):
        log.cut(0.2)
