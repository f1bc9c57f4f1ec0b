"""The number at a place of a sorted list that is never sorted, nor held."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_DIGIT_BITS = 16
_SIGN = np.uint64(1 << 63)


def numbers_at(blocks: Callable[[], Iterable[Array]], places: Sequence[int]) -> list[int]:
    """What stands at each of `places` (from 0) once all whole numbers of `blocks` are sorted.

    `blocks()` gives them from the first on, int64 (n,) a block, in any order and cut; it is asked
    four times a place. By digits of 16 bits, highest first: those with the digits found so far are
    counted by their next one. Memory of 65,536 counts. `IndexError` for a place behind the last.
    """
    return [_number_at(blocks, place) for place in places]


def _number_at(blocks: Callable[[], Iterable[Array]], place: int) -> int:
    found, room = 0, place
    for shift in range(64 - _DIGIT_BITS, -1, -_DIGIT_BITS):
        counts = np.zeros(1 << _DIGIT_BITS, dtype=np.int64)
        for block in blocks():
            keys = (block.astype(np.uint64) ^ _SIGN) >> np.uint64(shift)
            alike = keys[keys >> np.uint64(_DIGIT_BITS) == found]
            digits = (alike & np.uint64((1 << _DIGIT_BITS) - 1)).astype(np.int64)
            counts += np.bincount(digits, minlength=len(counts))
        ends = np.cumsum(counts)
        if room >= ends[-1]:
            raise IndexError(f"place {place} of {ends[-1]} numbers")
        digit = int(np.searchsorted(ends, room, side="right"))
        room -= int(ends[digit - 1]) if digit else 0
        found = found << _DIGIT_BITS | digit
    return found - (1 << 63)
