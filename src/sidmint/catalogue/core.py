"""The k-core: what is left where nobody has fewer than k events."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from sidmint.catalogue.checking import rows_of
from sidmint.contracts import Interactions


def k_core(interactions: pl.DataFrame, min_interactions: int) -> pl.DataFrame:
    """The rows in which every user and every item has at least `min_interactions` of them.

    Drops what falls short, counts again, and stops when nothing falls short: the largest such
    set, whatever the order of dropping. Keeps the order of rows. Repeated events count.
    """
    users, items = interactions[Interactions.USER_ID], interactions[Interactions.ITEM_ID]
    user_numbers, item_numbers = rows_of(users, users.unique()), rows_of(items, items.unique())
    rows = core_rows(user_numbers.to_numpy(), item_numbers.to_numpy(), min_interactions)
    return interactions[rows]


Numbers = npt.NDArray[Any]


def core_rows(users: Numbers, items: Numbers, min_interactions: int) -> Numbers:
    """The rows of the k-core, given a user and an item number a row."""
    num_users, num_items = (int(numbers.max(initial=0)) + 1 for numbers in (users, items))
    of_users, of_items = core_counts(
        lambda: [(users, items)], num_users, num_items, min_interactions
    )
    return np.flatnonzero((of_users[users] > 0) & (of_items[items] > 0))


def core_counts(
    blocks: Callable[[], Iterable[tuple[Numbers, Numbers]]],
    num_users: int,
    num_items: int,
    min_interactions: int,
) -> tuple[Numbers, Numbers]:
    """Events in the k-core of each user (U,) and of each item (N,); 0: it is not in the core.

    `blocks()` gives all events from the first on, in any cut: users (n,) below `num_users`, items
    (n,) below `num_items`. They are read once more than events were dropped together. An event is
    in the core where both its user and its item are.
    """
    user_stays, item_stays = np.ones(num_users, dtype=bool), np.ones(num_items, dtype=bool)
    while True:
        of_users = np.zeros(num_users, dtype=np.int64)
        of_items = np.zeros(num_items, dtype=np.int64)
        for users, items in blocks():
            stays = user_stays[users] & item_stays[items]
            np.add.at(of_users, users[stays], 1)
            np.add.at(of_items, items[stays], 1)
        user_stays, item_stays = of_users >= min_interactions, of_items >= min_interactions
        if not (of_users[~user_stays].any() or of_items[~item_stays].any()):
            return of_users, of_items
