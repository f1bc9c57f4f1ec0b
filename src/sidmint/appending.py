"""Ids for items that come later: no published id moves, and none is given a second time.

Shape letters: N ids that are taken, n new items, L levels, K codes of the last level.

The rules are those of `semantic_ids`, with one side that cannot move. Rows of new items stand in
the order of their item ids, and that order settles ties.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidmint.errors import BadInput
from sidmint.semantic_ids import LastLevelDistances, cheapest_match
from sidmint.types import Codes, Ints


@dataclass(frozen=True)
class Taken:
    """Ids that belong to somebody: published ones, and those that were published once."""

    codes: Codes
    suffixes: Ints
    """(N,): 0 where the ids have no suffix."""


@dataclass(frozen=True)
class Appended:
    """Ids of n new items, in the order of the codes they were made from."""

    codes: Codes
    """After resolution; under `suffix` the codes as they came."""
    suffixes: Ints
    """(n,): from the first number on that no item of the code ever had."""
    moved: npt.NDArray[np.bool_]
    """(n,): items whose last code is another than the tokenizer gave."""
    without_room: npt.NDArray[np.bool_]
    """(n,): items that only a suffix tells apart, though reassignment was to do it: their prefix
    group has fewer free codes than new items. Without a suffix in the ids they have no id."""


def append_by_suffix(taken: Taken, codes: Codes) -> Appended:
    """New items keep their codes and count on where the items of their code ended.

    The first new item of a code with the suffixes 0, 1 and 4 taken gets 5: a gap below was
    somebody's id once, and an id never comes to mean another item.
    """
    _require_same_levels(taken, codes)
    nobody = np.zeros(codes.num_items, dtype=bool)
    return Appended(codes, _next_suffixes(taken, codes.values), nobody, nobody)


def append_by_reassignment(taken: Taken, codes: Codes, distances: LastLevelDistances) -> Appended:
    """New items that collide take free last codes of their prefix group (the first L - 1 codes).

    A new item keeps its code where nobody has it and no other new item wants it; of several that
    want one free code, one stays. Then as `semantic_ids.resolve_by_reassignment`: fewest moves,
    least added squared distance, ties by item id and code. In a group with fewer free codes than
    such items all of these keep their codes and count on, as under `append_by_suffix`.
    `distances` is asked with rows of `codes`.
    """
    _require_same_levels(taken, codes)
    values = codes.values.copy()
    without_room = np.zeros(codes.num_items, dtype=bool)
    for rows, is_held in _groups_to_settle(taken.codes.values, codes):
        last = codes.values[rows, -1]
        wanted = np.bincount(last, minlength=len(is_held))
        movable = rows[is_held[last] | (wanted[last] > 1)]
        columns = np.flatnonzero(~is_held & (wanted != 1))
        if len(movable) > len(columns):
            without_room[movable] = True
            continue
        values[movable, -1] = columns[
            _match(distances(movable), codes.values[movable, -1], columns)
        ]
    moved = values[:, -1] != codes.values[:, -1]
    return Appended(Codes(values, codes.sizes), _next_suffixes(taken, values), moved, without_room)


def _match(
    cost: npt.NDArray[np.float64], current: Ints, columns: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """The place in `columns` of each row; a row whose own code is free may stay at no cost."""
    extra = cost - cost[np.arange(len(cost)), current][:, None]
    place = np.minimum(np.searchsorted(columns, current), len(columns) - 1)
    return cheapest_match(extra[:, columns], np.where(columns[place] == current, place, -1))


def _groups_to_settle(
    taken: Ints, codes: Codes
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]]:
    """Of each prefix group where a new item collides: its new rows, and which last codes are held.

    New rows come in their own order, so that ties fall as that order says.
    """
    both = np.concatenate([taken, codes.values])
    order = np.lexsort(both.T[::-1])
    ordered, is_new = both[order], order >= len(taken)
    begins_bucket = np.append(True, (ordered[1:] != ordered[:-1]).any(axis=1))
    begins_group = np.append(True, (ordered[1:, :-1] != ordered[:-1, :-1]).any(axis=1))
    sizes = np.diff(np.append(np.flatnonzero(begins_bucket), len(both)))
    collides = is_new & (np.repeat(sizes, sizes) > 1)
    starts = np.flatnonzero(begins_group)
    stops = np.append(starts[1:], len(both))
    unsettled = np.add.reduceat(collides, starts) > 0
    for start, stop in zip(starts[unsettled], stops[unsettled], strict=True):
        rows, new = order[start:stop], is_new[start:stop]
        is_held = np.zeros(codes.sizes[-1], dtype=bool)
        is_held[taken[rows[~new], -1]] = True
        yield np.sort(rows[new] - len(taken)), is_held


def _next_suffixes(taken: Taken, values: Ints) -> Ints:
    """One above the highest suffix of its code for the first new item of a code, and so on."""
    num_taken = len(taken.suffixes)
    both = np.concatenate([taken.codes.values, values])
    order = np.lexsort(both.T[::-1])  # stable: what is taken first, then new rows as they stand
    ordered, is_new = both[order], order >= num_taken
    begins = np.append(True, (ordered[1:] != ordered[:-1]).any(axis=1))
    bucket = np.cumsum(begins) - 1
    first_free = np.zeros(bucket[-1] + 1, dtype=np.int64)
    np.maximum.at(first_free, bucket[~is_new], taken.suffixes[order[~is_new]].astype(np.int64) + 1)
    new_before: npt.NDArray[np.int64] = np.cumsum(is_new) - is_new
    place: npt.NDArray[np.int64] = new_before - new_before[np.flatnonzero(begins)][bucket]
    suffixes = np.empty(len(values), dtype=np.int32)
    suffixes[order[is_new] - num_taken] = (first_free[bucket] + place)[is_new]
    return suffixes


def _require_same_levels(taken: Taken, codes: Codes) -> None:
    if taken.codes.sizes != codes.sizes or len(taken.suffixes) != taken.codes.num_items:
        raise BadInput(
            f"new codes of sizes {codes.sizes} cannot stand beside published ones of sizes "
            f"{taken.codes.sizes} with {len(taken.suffixes)} suffixes; they want one tokenizer"
        )
