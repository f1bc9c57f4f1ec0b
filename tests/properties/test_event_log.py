"""A log built in little memory is the log, and Swing on it is Swing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks_world import WatchedSpill
from sidmint.errors import BadInput
from sidmint.event_log import EventLog, build_event_log
from sidmint.pairs import swing, swing_of_log
from sidmint.partitions import MemorySpill, Spill
from sidmint.spill_files import spilling
from sidmint.types import Pairs
from traced import traced_peak
from traced_works import log_in_files, some_events

Blocks = list[tuple[np.ndarray, np.ndarray]]


def build(blocks: Blocks, spill: Spill, memory: int | None, most_users: int = 1000) -> EventLog:
    return build_event_log(
        blocks,
        num_users=30,
        num_items=12,
        most_users=most_users,
        seed=5,
        spill=spill,
        memory=memory,
    )


def joined(parts: list[Pairs]) -> list[np.ndarray]:
    return [
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("triggers", "targets", "scores")
    ]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 400))
def test_lists_are_the_distinct_events_by_user_and_by_item(seed: int, num_events: int) -> None:
    users, items = some_events(seed, num_events)
    log = build([(users, items)], MemorySpill(), None)
    distinct = set(zip(users.tolist(), items.tolist(), strict=True))
    labels = sorted({user for user, _ in distinct})
    for row, user in enumerate(labels):
        wanted = sorted(item for other, item in distinct if other == user)
        assert log.items[log.item_starts[row] : log.item_starts[row + 1]].tolist() == wanted
    for item in range(12):
        wanted = [row for row, user in enumerate(labels) if (user, item) in distinct]
        assert log.users[log.user_starts[item] : log.user_starts[item + 1]].tolist() == wanted
        assert log.reads[item] == log.activity[wanted].sum()
    assert log.num_items == 12
    asked = np.array([len(labels) - 1, 0, len(labels) - 1])
    lists, starts = log.items_of(asked)
    for place, row in enumerate(asked):
        wanted = sorted(item for other, item in distinct if other == labels[row])
        assert lists[starts[place] : starts[place + 1]].tolist() == wanted
    assert starts[-1] == len(lists)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 400), st.integers(1, 40))
def test_blocks_and_memory_change_no_list(seed: int, num_events: int, most_users: int) -> None:
    events = some_events(seed, num_events)
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(events, axis=1)
    blocks = [
        tuple(part) for part in np.split(shuffled, np.sort(rng.integers(0, num_events, 4)), 1)
    ]
    largest = max(np.bincount(numbers).max() for numbers in events)
    spill = WatchedSpill()
    found = build(blocks, spill, 64 * int(largest), most_users)
    wanted = build([tuple(events)], MemorySpill(), None, most_users)
    for name in ("items", "item_starts", "users", "user_starts", "reads"):
        one, other = getattr(found, name), getattr(wanted, name)
        assert np.array_equal(one, other), name
        assert one.dtype == other.dtype
    assert spill.num_left <= 2  # the lists alone


def test_swing_on_a_log_in_files_is_swing_to_the_bit(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("sidmint.pairs._ENTRIES_A_BLOCK", 2000)
    users, items = some_events(1, 6000, num_users=900, num_items=120)
    asked = {"alpha": 0.7, "top": 5, "min_score": 1e-3, "min_common_users": 3}
    wanted = swing(users * 7 - 3, items, num_items=120, max_users_per_item=60, seed=5, **asked)
    with spilling(tmp_path) as spill:
        log = build_event_log(
            [tuple(part) for part in np.array_split(np.stack([users, items]), 7, axis=1)],
            num_users=900,
            num_items=120,
            most_users=60,
            seed=5,
            spill=spill,
            memory=64 * 600,
        )
        assert isinstance(log.items, np.memmap)
        assert np.diff(log.user_starts).max() == 60  # so that the sample is part of what is equal
        parts = list(swing_of_log(log, **asked))
    assert len(parts) > 10
    for one, other in zip(joined(parts), joined([wanted]), strict=True):
        assert np.array_equal(one, other)
        assert one.dtype == other.dtype
    assert list(tmp_path.iterdir()) == []


def test_a_log_is_built_in_the_memory_that_was_allowed(tmp_path: Path) -> None:
    num_users, num_items, memory = 20_000, 3000, 4 * 2**20
    num_kept, peak = traced_peak(log_in_files, tmp_path, memory, num_users, num_items)
    assert num_kept > 400_000
    assert peak < memory + 8 * 2**20 + 32 * (num_users + num_items)


def test_what_does_not_fit_is_refused_with_what_would_do() -> None:
    users, items = some_events(2, 400)
    with pytest.raises(BadInput, match=r"want ([\d,]+) bytes of memory") as refused:
        build([(users, items)], MemorySpill(), 1000)
    enough = int(str(refused.value).split(" bytes")[0].split()[-1].replace(",", ""))
    most = max(np.bincount(users).max(), np.bincount(items).max())
    assert enough == 64 * np.bincount(users).max()
    build([(users, items)], MemorySpill(), 64 * int(most))


def test_more_users_and_items_than_a_key_tells_apart_are_refused() -> None:
    with pytest.raises(BadInput, match="beyond 63 bits"):
        build_event_log(
            [],
            num_users=2**40,
            num_items=2**30,
            most_users=1,
            seed=0,
            spill=MemorySpill(),
        )


@pytest.mark.parametrize(
    ("users", "items", "words"),
    [([30], [0], "user rows from 0 to 29"), ([0], [-1], "item rows from 0 to 11")],
)
def test_numbers_out_of_range_are_refused(users: list[int], items: list[int], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        build([(np.array(users), np.array(items))], MemorySpill(), None)
