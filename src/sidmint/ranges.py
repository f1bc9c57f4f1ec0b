"""Consecutive ranges of things that have sizes: where they begin, and how many fit together."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def ends(sizes: Array) -> Array:
    """0, then the running sum: where runs of these sizes begin, and the total."""
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes, dtype=np.int64)])


def reach(ends: Array, first: int, room: int) -> int:
    """The last index that `room` reaches to from `first`, and at least the next one."""
    return max(int(np.searchsorted(ends, ends[first] + room, side="right")) - 1, first + 1)


def cuts(sizes: Array, room: int) -> list[int]:
    """Where ranges begin that hold at most `room` together, or one thing; and the end."""
    bounds, found = ends(sizes), [0]
    while found[-1] < len(sizes):
        found.append(reach(bounds, found[-1], room))
    return found
