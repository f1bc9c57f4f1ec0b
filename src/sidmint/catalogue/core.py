"""The k-core: what is left where nobody has fewer than k events."""

from __future__ import annotations

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


def core_rows(
    users: npt.NDArray[Any], items: npt.NDArray[Any], min_interactions: int
) -> npt.NDArray[Any]:
    """The rows of the k-core, given a user and an item number a row."""
    rows = np.arange(len(users))
    while len(rows):
        row_users, row_items = users[rows], items[rows]
        keep = (np.bincount(row_users)[row_users] >= min_interactions) & (
            np.bincount(row_items)[row_items] >= min_interactions
        )
        if keep.all():
            break
        rows = rows[keep]
    return rows
