"""The k-core is the largest set of events in which nobody has fewer than k."""

from __future__ import annotations

from collections import Counter

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from sidmint.catalogue import k_core

logs = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=60)


def _frame(log: list[tuple[int, int]]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "user_id": [f"u{user}" for user, _ in log],
            "item_id": [f"i{item}" for _, item in log],
            "row": range(len(log)),
        },
        schema={"user_id": pl.String, "item_id": pl.String, "row": pl.Int64},
    )


def _one_at_a_time(log: list[tuple[int, int]], k: int) -> list[int]:
    """Rows left when single events are taken out, the last weak one first: another order."""
    rows = list(range(len(log)))
    while True:
        users, items = Counter(log[r][0] for r in rows), Counter(log[r][1] for r in rows)
        weak = [r for r in rows if users[log[r][0]] < k or items[log[r][1]] < k]
        if not weak:
            return rows
        rows.remove(weak[-1])


@settings(max_examples=60, deadline=None)
@given(logs, st.integers(1, 4))
def test_the_order_of_dropping_does_not_matter(log: list[tuple[int, int]], k: int) -> None:
    assert k_core(_frame(log), k)["row"].to_list() == _one_at_a_time(log, k)


@settings(max_examples=30, deadline=None)
@given(logs)
def test_a_one_core_keeps_every_event(log: list[tuple[int, int]]) -> None:
    assert k_core(_frame(log), 1).height == len(log)


def test_a_chain_of_weak_links_falls_apart_to_the_end() -> None:
    # u0-i0-u1-i1-u2-...: each has two events but the first, and each loss weakens the next.
    log = [(0, 0)]
    for step in range(6):
        log += [(step + 1, step), (step + 1, step + 1)]
    assert k_core(_frame(log), 2).is_empty()


def test_a_full_block_survives_and_its_hanger_on_does_not() -> None:
    block = [(user, item) for user in range(3) for item in range(3)]
    core = k_core(_frame([*block, (9, 0), (0, 9)]), 3)
    assert core["row"].to_list() == list(range(9))
