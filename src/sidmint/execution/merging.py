"""Two tables in the order of one key, side by side and a range of keys at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import polars as pl


def side_by_side(
    one: Iterable[pl.DataFrame], other: Iterable[pl.DataFrame], key: str
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """The rows of both, cut at the same keys: all rows of a key, of either side, lie in one pair.

    Both come in the order of `key`, no key twice, in pieces of any length, one piece at least
    (which may be empty). Of each side one piece is held, so that a table may be larger than memory.
    """
    sides = first, second = _Side(one, key), _Side(other, key)
    while waiting := [side for side in sides if side.has_rows()]:
        bound = min(side.last() for side in waiting)
        yield first.up_to(bound), second.up_to(bound)


class _Side:
    """One of the two: what is held of it, and what is to come."""

    def __init__(self, frames: Iterable[pl.DataFrame], key: str) -> None:
        self._frames, self._key = iter(frames), key
        self._held = next(self._frames)

    def has_rows(self) -> bool:
        """Whether there are any left; the next piece is held from then on."""
        while self._held.is_empty():
            frame = next(self._frames, None)
            if frame is None:
                return False
            self._held = frame
        return True

    def last(self) -> str:
        return str(self._held[self._key][-1])

    def up_to(self, bound: str) -> pl.DataFrame:
        """The rows up to `bound`, which are held no longer."""
        count = int((self._held[self._key] <= bound).sum())
        taken, self._held = self._held.head(count), self._held.slice(count)
        return taken
