"""Codes made unique: the Semantic IDs that are published, their text form, and their prefixes.

Shape letters: N items, L levels, K codes of a level, n items of one group.

Three policies. `suffix` leaves codes as they are and counts inside a bucket (TIGER, Rajput et
al. 2023, section 3.1). `reassign` gives every item of a prefix group a last code of its own,
moving as few as possible and as little as possible (Zero-Collision Reassignment, Zhang et
al., CIKM 2026). `sinkhorn` spreads the items of a bucket over the last codes (LC-Rec, Zheng et
al. 2024). All depend on items and codes alone, never on the order of rows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sidmint.errors import BadInput
from sidmint.types import Codes, Ints

SEPARATOR = "-"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
"""The level of a token: <a_12> is code 12 of the first, <b_7> code 7 of the second."""
_TOKEN = re.compile(r"<([a-z])_(\d+)>")

LastLevelDistances = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float64]]
"""Rows (n,) -> (n, K_L): squared distance of each row's last residual to every last codeword."""

Spread = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.int64]]
"""Such distances (n, K_L) of the items of one bucket -> a last code for each, (n,)."""


@dataclass(frozen=True)
class SharedCodes:
    """How many items share a code. Whole rows are compared."""

    num_items: int
    num_distinct_codes: int
    num_collided_items: int
    """Items that do not stand alone in their code."""
    largest_bucket: int

    @property
    def collision_rate(self) -> float:
        """1 - distinct codes / items."""
        return 1 - self.num_distinct_codes / self.num_items

    @property
    def collided_item_rate(self) -> float:
        """Share of items that do not stand alone: another number than the collision rate."""
        return self.num_collided_items / self.num_items


@dataclass(frozen=True)
class SemanticIds:
    """One Semantic ID an item, in the order of the codes it was made from."""

    codes: Codes
    """After resolution; under `suffix` the codes as they came."""
    suffixes: Ints
    """(N,) int32: 0, 1, 2 ... inside a bucket, by item id; 0 for an item that stands alone."""
    has_suffix: bool
    """Whether the suffix is part of the id. All ids of a table have the same length."""
    moved: npt.NDArray[np.bool_]
    """(N,): items whose last code is another than the tokenizer gave."""
    added_distances: npt.NDArray[np.float64]
    """(N,): squared distance added by the move, 0 where there was none."""
    num_oversized_groups: int = 0
    """Prefix groups with more items than last codes, which `reassign` had to leave to suffixes."""

    @property
    def parts(self) -> Ints:
        """The published numbers, (N, L) or (N, L + 1) with the suffix."""
        if not self.has_suffix:
            return self.codes.values
        return np.column_stack([self.codes.values, self.suffixes])

    def strings(self) -> list[str]:
        """The published ids, e.g. "12-7-201-0"."""
        return [format_id(parts) for parts in self.parts.tolist()]


def shared_codes(values: npt.NDArray[Any]) -> SharedCodes:
    """Count how the rows of `values` (N, L) collide. Raises `BadInput` for no rows."""
    if not len(values):
        raise BadInput("there are no items, so nothing can be said of their codes")
    counts = np.unique(values, axis=0, return_counts=True)[1]
    return SharedCodes(len(values), len(counts), int(counts[counts > 1].sum()), int(counts.max()))


def resolve_by_suffix(codes: Codes, item_ids: Sequence[str]) -> SemanticIds:
    """Add a last number that counts the items of a bucket in the order of their ids."""
    _require_ids(codes, item_ids)
    return SemanticIds(
        codes=codes,
        suffixes=_count_in_buckets(codes.values, np.asarray(item_ids)),
        has_suffix=True,
        moved=np.zeros(codes.num_items, dtype=bool),
        added_distances=np.zeros(codes.num_items),
    )


def resolve_by_reassignment(
    codes: Codes, item_ids: Sequence[str], distances: LastLevelDistances
) -> SemanticIds:
    """Give every item a last code of its own within its prefix group (the first L - 1 codes).

    Fewest moves first, then least added squared distance. In a bucket exactly one item stays,
    and items that stand alone never move, so only collided items and free codes are matched.
    Equals are told apart by item id and code: of items with equal distances the first by id
    stays or takes the lower code. A group with more items than the last level has codes
    keeps its codes and gets suffixes; if there is one, every id of the table has a suffix.
    """
    _require_ids(codes, item_ids)
    return reassigned(codes, np.asarray(item_ids), distances)


def reassigned(codes: Codes, order: npt.NDArray[Any], distances: LastLevelDistances) -> SemanticIds:
    """`resolve_by_reassignment` of rows that are known to be different items.

    `order` (N,) holds distinct values that sort as the item ids do, or these themselves. Rows of
    whole prefix groups get here what they get in any table that holds them.
    """
    size = codes.sizes[-1]
    values = codes.values.copy()
    added = np.zeros(codes.num_items)
    num_oversized = 0
    for group in _colliding_groups(codes.values, order):
        if len(group) > size:
            num_oversized += 1
            continue
        last = codes.values[group, -1]
        held = np.bincount(last, minlength=size)
        movable = group[held[last] > 1]
        columns = np.flatnonzero(held != 1)
        current = codes.values[movable, -1]
        cost = distances(movable)
        extra = cost - cost[np.arange(len(movable)), current][:, None]
        chosen = columns[cheapest_match(extra[:, columns], np.searchsorted(columns, current))]
        values[movable, -1] = chosen
        added[movable] = extra[np.arange(len(movable)), chosen]
    moved = values[:, -1] != codes.values[:, -1]
    return SemanticIds(
        codes=Codes(values, codes.sizes),
        suffixes=_count_in_buckets(values, order),
        has_suffix=num_oversized > 0,
        moved=moved,
        added_distances=np.where(moved, added, 0.0),
        num_oversized_groups=num_oversized,
    )


def resolve_by_spreading(
    codes: Codes,
    item_ids: Sequence[str],
    distances: LastLevelDistances,
    spread: Spread,
    rounds: int = 20,
) -> SemanticIds:
    """Give the items of every bucket that collides last codes chosen by `spread`, in rounds.

    As LC-Rec re-encodes its catalogue: items that stand alone keep their codes; all items of a
    bucket are spread over all last codes, whoever holds those; buckets that this makes are
    spread in the next round, until none changes or `rounds` are over. What then still
    collides (equal vectors always do) gets suffixes, and so every id of the table.
    """
    _require_ids(codes, item_ids)
    values = codes.values.copy()
    added = np.zeros(codes.num_items)
    known: dict[bytes, tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]] = {}
    for _ in range(rounds):
        before = values.copy()
        order, begins = _by_bucket(before, np.asarray(item_ids))
        buckets = np.split(order, np.flatnonzero(begins)[1:])
        for rows in (bucket for bucket in buckets if len(bucket) > 1):
            if rows.tobytes() not in known:
                cost, place = distances(rows), np.arange(len(rows))
                chosen, current = spread(cost), codes.values[rows, -1]
                known[rows.tobytes()] = chosen, cost[place, chosen] - cost[place, current]
            values[rows, -1], added[rows] = known[rows.tobytes()]
        if np.array_equal(values, before):
            break
    return SemanticIds(
        codes=Codes(values, codes.sizes),
        suffixes=_count_in_buckets(values, np.asarray(item_ids)),
        has_suffix=shared_codes(values).num_collided_items > 0,
        moved=values[:, -1] != codes.values[:, -1],
        added_distances=added,
    )


def cheapest_match(
    extra: npt.NDArray[np.float64], current: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """The column of each row: fewest rows off `current`, then least sum of `extra`.

    `extra` (n, m) with n <= m. A row with `current` -1 has no column of its own and must move.
    """
    from scipy.optimize import linear_sum_assignment

    rows = np.flatnonzero(current >= 0)
    extra = _near_one(extra)
    cost = extra + (1.0 + 2 * len(extra) * np.abs(extra).max())  # one move outweighs all distances
    cost[rows, current[rows]] = 0.0
    chosen = linear_sum_assignment(cost)[1]
    _, twins = np.unique(np.column_stack([current, extra]), axis=0, return_inverse=True)
    for twin in np.flatnonzero(np.bincount(twins.ravel()) > 1):
        alike = np.flatnonzero(twins.ravel() == twin)
        taken = chosen[alike]
        chosen[alike] = taken[np.lexsort((taken, taken != current[alike[0]]))]
    return np.asarray(chosen, dtype=np.int64)


def _near_one(extra: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """`extra` times the power of two that brings its largest near 1, where that is far below.

    Beside the 1 of a move, distances between vectors of norm 1e-9 would not be seen.
    """
    largest = float(np.abs(extra).max(initial=0.0))
    return np.ldexp(extra, -math.frexp(largest)[1]) if 0 < largest < 2.0**-10 else extra


def format_id(parts: Sequence[int]) -> str:
    """(12, 7, 201, 0) -> "12-7-201-0"."""
    return SEPARATOR.join(str(part) for part in parts)


def parse_id(text: str) -> tuple[int, ...]:
    """Read "12-7-201-0" as (12, 7, 201, 0); a prefix parses too. `BadInput` for anything else."""
    if not re.fullmatch(r"\d{1,9}(-\d{1,9})*", text, flags=re.ASCII):
        raise BadInput(f"{text!r} is no Semantic ID; write numbers joined by '-', e.g. 12-7-201-0")
    return tuple(int(part) for part in text.split(SEPARATOR))


def tokens_of(parts: Sequence[int]) -> tuple[str, ...]:
    """(12, 7, 201, 0) -> ("<a_12>", "<b_7>", "<c_201>", "<d_0>"): one word a level."""
    if len(parts) > len(LETTERS):
        raise BadInput(f"an id of {len(parts)} parts has no token form; 26 is the most")
    return tuple(f"<{letter}_{part}>" for letter, part in zip(LETTERS, parts, strict=False))


def parse_tokens(tokens: str) -> tuple[int, ...]:
    """Read "<a_12><b_7>" as (12, 7); `BadInput` where letters are not a, b, c in this order."""
    found = _TOKEN.findall(tokens)
    letters = "".join(letter for letter, _ in found)
    if not found or _TOKEN.sub("", tokens).strip() or not LETTERS.startswith(letters):
        raise BadInput(f"{tokens!r} are no id tokens; write them like <a_12><b_7><c_201>")
    return tuple(int(number) for _, number in found)


class PrefixIndex:
    """Which items lie below a prefix, and which numbers may follow it.

    Sorted once; every question is a few binary searches.
    """

    def __init__(self, parts: Ints) -> None:
        self._order = np.lexsort(parts.T[::-1])
        self._parts = np.asfortranarray(parts[self._order])  # questions search columns

    def rows(self, prefix: Sequence[int]) -> npt.NDArray[np.int64]:
        """Row numbers, ascending, of the items whose id begins with `prefix`; may be none."""
        return np.sort(self._order[self._below(prefix)])

    def following(self, prefix: Sequence[int]) -> Ints:
        """The numbers, ascending, that follow `prefix` in some id; none after a whole id."""
        if len(prefix) >= self._parts.shape[1]:
            return np.empty(0, dtype=np.int32)
        return np.unique(self._parts[self._below(prefix), len(prefix)])

    def _below(self, prefix: Sequence[int]) -> slice:
        if len(prefix) > self._parts.shape[1]:
            raise BadInput(f"prefix {format_id(prefix)} is longer than the ids of this table")
        start, stop = 0, len(self._parts)
        for level, part in enumerate(prefix):
            column = self._parts[start:stop, level]
            left, right = np.searchsorted(column, [part, part + 1])
            start, stop = start + int(left), start + int(right)
        return slice(start, stop)


def _colliding_groups(values: Ints, ids: npt.NDArray[Any]) -> Iterator[npt.NDArray[np.int64]]:
    """The rows of each prefix group that holds a collision, each in the order of item ids."""
    order = np.lexsort((ids, *values.T[::-1]))
    ordered = values[order]
    same_prefix = (ordered[1:, :-1] == ordered[:-1, :-1]).all(axis=1)
    collides = same_prefix & (ordered[1:, -1] == ordered[:-1, -1])
    starts = np.flatnonzero(np.append(True, ~same_prefix))
    for start, stop in zip(starts, np.append(starts[1:], len(values)), strict=True):
        if collides[start : stop - 1].any():
            rows = order[start:stop]
            yield rows[np.argsort(ids[rows], kind="stable")]


def _count_in_buckets(values: Ints, ids: npt.NDArray[Any]) -> Ints:
    """0, 1, 2 ... inside each bucket of equal rows, in the order of item ids."""
    order, begins = _by_bucket(values, ids)
    position = np.arange(len(values))
    first = np.maximum.accumulate(np.where(begins, position, 0))
    suffixes = np.empty(len(values), dtype=np.int32)
    suffixes[order] = position - first
    return suffixes


def _by_bucket(
    values: Ints, ids: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Rows in the order of codes, then item ids, and where in it a bucket begins."""
    order = np.lexsort((ids, *values.T[::-1]))
    ordered = values[order]
    return order, np.append(True, (ordered[1:] != ordered[:-1]).any(axis=1))


def _require_ids(codes: Codes, item_ids: Sequence[str]) -> None:
    if not codes.num_items or len(item_ids) != codes.num_items:
        raise BadInput(
            f"resolution wants one code an item and at least one item, got {codes.num_items} "
            f"codes and {len(item_ids)} items"
        )
    if len(set(item_ids)) != len(item_ids):
        raise BadInput("item ids repeat, so a Semantic ID could not say which item it means")
