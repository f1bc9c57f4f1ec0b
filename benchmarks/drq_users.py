"""How users go from item to item in `drq_world`.

Shape letters: N items, M intrinsic dimensions, T themes, U users, E events.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sidmint.types import Floats, Ints

Array = npt.NDArray[Any]

USERS_AN_ITEM, EVENTS_A_USER = 0.5, 12
REPOST = 0.5
"""Chance that the next event is a repost of the last (or its original), where there is one."""
STAY, NEAR, COMPANION, ANYWHERE = 0.5, 0.25, 0.2, 0.05
"""Else, chances of its theme: the same, one near it, one with its audience, any by popularity."""
LOOKS = 8
"""Items of that theme, drawn by popularity, of which the one nearest to the last is taken."""
USERS_AT_ONCE = 16_384


@dataclass(frozen=True)
class ItemsByTheme:
    """Draws items by popularity: a draw is one search in the sums of it up to each item."""

    cumulated: npt.NDArray[np.float64]
    """(N + 1,)"""
    first: npt.NDArray[np.int64]
    """(T + 1,): items first[t] .. first[t + 1] - 1 are those of theme t."""

    @classmethod
    def of(cls, popularity: npt.NDArray[np.float64], first: npt.NDArray[np.int64]) -> ItemsByTheme:
        """From the popularity (N,) of items that lie by theme."""
        return cls(np.concatenate([[0.0], np.cumsum(popularity)]), first)

    def draw(self, themes: Array, count: int, rng: np.random.Generator) -> Ints:
        """Items (n, count) of the given themes (n,)."""
        first, end = self.first[themes][:, None], self.first[themes + 1][:, None]
        reach = self.cumulated[end] - self.cumulated[first]
        wanted = self.cumulated[first] + reach * rng.random((len(themes), count))
        return self._found(wanted, first, end)

    def draw_anywhere(self, count: int, rng: np.random.Generator) -> Ints:
        """Items (count,) of the whole catalogue."""
        last = np.int64(len(self.cumulated) - 1)
        return self._found(rng.random(count) * self.cumulated[-1], np.int64(0), last)

    def _found(self, wanted: Array, first: Array | np.int64, end: Array | np.int64) -> Ints:
        at = np.searchsorted(self.cumulated, wanted, side="right") - 1
        return np.asarray(np.clip(at, first, end - 1), dtype=np.int32)


@dataclass(frozen=True)
class Groups:
    """Members of equal groups, side by side."""

    order: Array
    place: Array
    """Where a member stands in `order`."""
    first: Array
    """Where its group begins."""
    size: Array
    """How many its group has."""

    @classmethod
    def of(cls, group: Ints) -> Groups:
        """From the group (n,) of each member."""
        order = np.argsort(group, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        counts = np.bincount(group)
        return cls(order, place, (np.cumsum(counts) - counts)[group], counts[group])

    def another(self, members: Array, rng: np.random.Generator) -> Ints:
        """Another member of each one's group, by chance; itself where it is alone."""
        first, size = self.first[members], self.size[members]
        step = 1 + np.floor(rng.random(len(members)) * (size - 1)).astype(np.int64)
        place = first + (self.place[members] - first + step) % size
        return self.order[place].astype(np.int32)


def drift(
    positions: Floats,
    theme_of: Ints,
    items: ItemsByTheme,
    near_themes: Ints,
    audience_of: Ints,
    original_of: Ints,
    rng: np.random.Generator,
) -> Ints:
    """What each user saw, (U, E), newest first; all users take a step together."""
    num_users = int(USERS_AN_ITEM * len(theme_of))
    companions, reposts = Groups.of(audience_of), Groups.of(original_of)
    sequences = np.empty((num_users, EVENTS_A_USER), dtype=np.int32)
    seen = items.draw_anywhere(num_users, rng)
    for event in range(EVENTS_A_USER):
        sequences[:, EVENTS_A_USER - 1 - event] = seen
        repost = reposts.another(seen, rng)
        themes = _next_themes(theme_of[seen], theme_of, items, near_themes, companions, rng)
        other = _nearest_looked_at(positions, seen, themes, items, rng)
        goes_to_repost = (rng.random(num_users) < REPOST) & (repost != seen)
        seen = np.where(goes_to_repost, repost, other)
    return sequences


def _next_themes(
    themes: Ints,
    theme_of: Ints,
    items: ItemsByTheme,
    near_themes: Ints,
    companions: Groups,
    rng: np.random.Generator,
) -> Ints:
    num_users = len(themes)
    choices = np.stack(
        [
            themes,
            near_themes[themes, rng.integers(0, near_themes.shape[1], num_users)],
            companions.another(themes, rng),
            theme_of[items.draw_anywhere(num_users, rng)],
        ]
    )
    chosen = rng.choice(len(choices), num_users, p=(STAY, NEAR, COMPANION, ANYWHERE))
    return choices[chosen, np.arange(num_users)]


def _nearest_looked_at(
    positions: Floats, seen: Ints, themes: Ints, items: ItemsByTheme, rng: np.random.Generator
) -> Ints:
    """Of some items of each user's next theme, the one nearest to the last that is not it."""
    found = np.empty_like(seen)
    for start in range(0, len(seen), USERS_AT_ONCE):
        rows = slice(start, start + USERS_AT_ONCE)
        looks = items.draw(themes[rows], LOOKS, rng)
        steps = positions[looks] - positions[seen[rows]][:, None]
        far = np.where(looks == seen[rows][:, None], np.inf, np.square(steps).sum(axis=2))
        found[rows] = looks[np.arange(len(looks)), far.argmin(axis=1)]
    return found
