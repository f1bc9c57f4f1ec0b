"""Swing: which items belong together because users who are otherwise unalike took both.

Words used here: i is the trigger, j the target; U_i are the users of i, I_u the items of u.
A *group* (i, j) holds the users of i that also have j; an *event* is one user of one trigger
in the block at hand; a *cell* counts the groups of a trigger that two of its events share.

Two users of i with no second item in common add to no target, so the pairs of users of i are
never listed as such: they are counted group by group. A pair of users inside group (i, j) adds
one to its cell, which ends at |I_u ∩ I_v| - 1 (item i itself is no group), and then gives its
share to the score of that group. The work is the sum over groups of |group|^2 / 2 instead of
the sum over items of |U_i|^2, which on a sparse log is a small part of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sidmint.errors import BadInput
from sidmint.event_log import EventLog, build_event_log
from sidmint.partitions import MemorySpill
from sidmint.progress import Track, silent
from sidmint.ranges import Array, ends, reach
from sidmint.types import Pairs

_ENTRIES_A_BLOCK = 1_000_000
"""(trigger, user, target) entries looked at together: about 100 MB of work space."""
_CELLS_A_BLOCK = 1_000_000
"""Cells counted together. A single trigger may exceed it, by its users read, squared."""
_PAIRS_A_CHUNK = 4_000_000
"""Pairs of users listed at a time."""
_DENSE_SHARE = 0.05
"""Groups with more than this share of the trigger's users go through a matrix product: listing
costs about 20 ns a pair of users, and the product costs the same for every group."""
_DENSE_PAIRS = 100_000
"""Fewer listed pairs than this a trigger are not worth setting up a product."""


def swing(
    users: Array,
    items: Array,
    *,
    num_items: int,
    alpha: float = 1.0,
    user_offset: float = 0.0,
    user_power: float = -0.5,
    top: int = 20,
    min_score: float = 0.0,
    min_common_users: int = 2,
    max_users_per_item: int = 1000,
    seed: int = 0,
    track: Track = silent,
) -> Pairs:
    """The `top` targets of every trigger by Swing score, as row numbers and float32 scores.

    score(i, j) = sum over {u, v} in U_i ∩ U_j, u != v, each unordered pair once, of
    w_u w_v / (alpha + |I_u ∩ I_v|), with w_u = (user_offset + |I_u|) ** user_power
    (Yang et al. 2020; QuaSID A.1; the usual w_u = 1 / sqrt(|I_u|) is the default).

    `users` and `items` (E,) are integers, one entry an event; an event that comes twice counts
    once. `items` are row numbers below `num_items`; `users` may be any labels. Hand in training
    events only: a held-out event read here is a leak into everything trained on the pairs.

    Kept are pairs with at least `min_common_users` common users and a score over `min_score`;
    the result is sorted by trigger, falling score, target, so equal scores go to the lower row.

    Of a trigger with more than `max_users_per_item` users, a seeded sample takes the place of
    U_i; U_j, I_u and w_u stay whole, so a rare trigger keeps all it shares with a popular
    target, and then score(i, j) need not equal score(j, i). Without such a trigger the score is
    symmetric and no random number is drawn. Memory grows with `max_users_per_item` squared.

    Raises `BadInput` for rows outside the catalogue, unequal lengths, and weights or bounds
    with which the formula means nothing.
    """
    _check_events(users, items, num_items)
    labels, rows = np.unique(users, return_inverse=True)
    log = build_event_log(
        [(rows.astype(np.int32), items)],
        num_users=len(labels),
        num_items=num_items,
        most_users=max_users_per_item,
        seed=seed,
        spill=MemorySpill(),
    )
    found = swing_of_log(
        log,
        alpha=alpha,
        user_offset=user_offset,
        user_power=user_power,
        top=top,
        min_score=min_score,
        min_common_users=min_common_users,
        track=track,
    )
    parts = zip(*((each.triggers, each.targets, each.scores) for each in found), strict=True)
    return Pairs(*map(np.concatenate, parts))


def swing_of_log(
    log: EventLog,
    *,
    alpha: float = 1.0,
    user_offset: float = 0.0,
    user_power: float = -0.5,
    top: int = 20,
    min_score: float = 0.0,
    min_common_users: int = 2,
    track: Track = silent,
) -> Iterator[Pairs]:
    """`swing` of a log that is there already, which may lie in files: some triggers at a time.

    Joined, they are what `swing` gives, to the bit. Memory: some 150 MB, 24 bytes a user, 32 an
    item, and the users read of one trigger squared; pages of a mapped log come and go as the
    system likes.

    Raises `BadInput` for weights and bounds with which the formula means nothing.
    """
    if not alpha > 0 or min_common_users < 2:
        raise BadInput(
            f"swing wants alpha over 0 and at least 2 common users, got {alpha} and "
            f"{min_common_users}"
        )
    weights = _user_weights(log, user_offset, user_power)

    def best(first: int, last: int) -> Pairs:
        block = _Block.of(log, first, last)
        triggers, targets, sizes, scores = _score_block(log, block, weights, alpha)
        wanted = (sizes >= min_common_users) & (scores > min_score)
        return _best(triggers[wanted], targets[wanted], scores[wanted], top)

    return (best(first, last) for first, last in track(_cuts(log), "swing"))


def _check_events(users: Array, items: Array, num_items: int) -> None:
    if len(users) != len(items):
        raise BadInput(f"swing wants one user an item, got {len(users)} and {len(items)}")
    if num_items < 1 or (len(items) and not 0 <= items.min() <= items.max() < num_items):
        raise BadInput(f"swing wants item rows from 0 to {num_items - 1}, got others")


def _user_weights(log: EventLog, offset: float, power: float) -> Array:
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        weights = (offset + log.activity.astype(np.float64)) ** power
    if not np.isfinite(weights**2).all() or (weights == 0).any():
        raise BadInput(
            f"user weights (offset + items) ** power leave the number range with user_offset "
            f"{offset} and user_power {power}; take a power nearer to 0"
        )
    return weights


@dataclass(frozen=True)
class _Block:
    """Triggers `first`, `first + 1`, ... and their events, trigger by trigger."""

    first: int
    users: Array  # of each event
    sizes: Array  # events of each trigger

    @classmethod
    def of(cls, log: EventLog, first: int, last: int) -> _Block:
        starts = log.user_starts[first : last + 1]
        return cls(first, np.asarray(log.users[starts[0] : starts[-1]]), np.diff(starts))

    @cached_property
    def trigger(self) -> Array:
        """Trigger of each event, counted from `first`."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    @cached_property
    def place(self) -> Array:
        """Position of each event among those of its trigger."""
        firsts: Array = np.repeat(ends(self.sizes)[:-1], self.sizes)
        return np.arange(len(self.users)) - firsts

    @cached_property
    def cell_starts(self) -> Array:
        """First cell of each trigger, and the number of cells at the end."""
        return ends(self.sizes**2)

    @cached_property
    def row(self) -> Array:
        """First cell of each event."""
        widths: Array = np.repeat(self.sizes, self.sizes)
        rows: Array = np.repeat(self.cell_starts[:-1], self.sizes) + self.place * widths
        return rows

    def cells(self, left: Array, right: Array) -> Array:
        """The cell of each pair of events, left before right."""
        cells: Array = self.row[left] + self.place[right]
        return cells


def _cuts(log: EventLog) -> list[tuple[int, int]]:
    """Ranges of triggers such that the entries and cells of a block stay in memory."""
    entries = ends(log.reads)
    cells = ends(np.diff(log.user_starts) ** 2)
    cuts, first = [], 0
    while first < log.num_items:
        last = min(reach(entries, first, _ENTRIES_A_BLOCK), reach(cells, first, _CELLS_A_BLOCK))
        cuts.append((first, last))
        first = last
    return cuts


@dataclass(frozen=True)
class _Groups:
    """Groups with two users or more.

    Events of group g, ascending: `events[starts[g]:starts[g + 1]]`.
    """

    trigger: Array  # counted from the block's first
    target: Array
    size: Array
    events: Array

    @cached_property
    def starts(self) -> Array:
        return ends(self.size)

    def where(self, keep: Array) -> _Groups:
        events = self.events[np.repeat(keep, self.size)]
        return _Groups(self.trigger[keep], self.target[keep], self.size[keep], events)

    def part(self, first: int, last: int) -> _Groups:
        events = self.events[self.starts[first] : self.starts[last]]
        span = slice(first, last)
        return _Groups(self.trigger[span], self.target[span], self.size[span], events)

    def by_trigger(self) -> _Groups:
        order = np.argsort(self.trigger, kind="stable")
        of_events = np.argsort(np.repeat(self.trigger, self.size), kind="stable")
        return _Groups(
            self.trigger[order], self.target[order], self.size[order], self.events[of_events]
        )


def _groups(log: EventLog, block: _Block) -> _Groups:
    from scipy import sparse

    # Turning the block's rows by column is a counting sort: it leaves the entries by target
    # and, within a target, by event and so by trigger. It takes a step a column, so only items
    # that the block meets have one.
    items, starts = log.items_of(block.users)
    met, columns = _numbered(items, log.num_items)
    by_target = sparse.csr_array(
        (np.ones(len(items), dtype=np.int8), columns, starts), shape=(len(block.users), len(met))
    ).tocsc()
    events = by_target.indices
    target = np.repeat(met, np.diff(by_target.indptr))
    trigger = block.trigger[events]
    opens = np.ones(len(events), dtype=bool)
    opens[1:] = (target[1:] != target[:-1]) | (trigger[1:] != trigger[:-1])
    starts = np.flatnonzero(opens)
    size = np.diff(np.append(starts, len(events)))
    groups = _Groups(trigger[starts], target[starts], size, events)
    return groups.where((size >= 2) & (groups.target != groups.trigger + block.first))


def _numbered(items: Array, num_items: int) -> tuple[Array, Array]:
    """The distinct of `items` (n,), rising, and for each of `items` its place among them."""
    is_met = np.zeros(num_items, dtype=bool)
    is_met[items] = True
    met = np.flatnonzero(is_met)
    places = np.empty(num_items, dtype=np.int32)
    places[met] = np.arange(len(met))
    return met, places[items]


def _score_block(
    log: EventLog, block: _Block, weights: Array, alpha: float
) -> tuple[Array, Array, Array, Array]:
    """(trigger, target, common users, float32 score) of every pair with two common users."""
    listed, dense = _split(block, _groups(log, block))
    common, of_event = _common_items(block, listed, dense), weights[block.users]
    scores = np.concatenate(
        [
            _score_listed(block, listed, of_event, common, alpha),
            _score_dense(block, dense, of_event, common, alpha),
        ]
    )
    both = (
        (listed.trigger, dense.trigger),
        (listed.target, dense.target),
        (listed.size, dense.size),
    )
    triggers, targets, sizes = (np.concatenate(pair) for pair in both)
    return triggers + block.first, targets, sizes, scores.astype(np.float32)


def _split(block: _Block, groups: _Groups) -> tuple[_Groups, _Groups]:
    """The groups whose pairs are listed, and those that go through `_matrices`."""
    dense = groups.size > _DENSE_SHARE * block.sizes[groups.trigger]
    saved = np.bincount(
        groups.trigger, weights=dense * _num_pairs(groups.size), minlength=len(block.sizes)
    )
    dense &= saved[groups.trigger] > _DENSE_PAIRS
    return groups.where(~dense), groups.where(dense).by_trigger()


def _common_items(block: _Block, listed: _Groups, dense: _Groups) -> Array:
    """|I_u ∩ I_v| - 1 in each cell; only cells of two events e < f are meant to be read."""
    starts = block.cell_starts
    num_cells = int(starts[-1])
    counts = np.zeros(0, dtype=np.int64)
    for chunk in _chunks(listed):
        more = np.bincount(block.cells(*_pairs_within(chunk)), minlength=num_cells)
        counts = more if len(counts) == 0 else np.add(counts, more, out=counts)
    counts = counts if len(counts) else np.zeros(num_cells, dtype=np.int64)
    for trigger, _, member_NG in _matrices(block, dense):
        common_NN = member_NG @ member_NG.T  # whole numbers far below 2^24: exact in float32
        counts[starts[trigger] : starts[trigger + 1]] += common_NN.astype(np.int64).ravel()
    return counts


def _score_listed(
    block: _Block, listed: _Groups, weights: Array, common: Array, alpha: float
) -> Array:
    """Swing score (G,) float64 of each group; `weights` by event, `common` by cell."""
    scores = [np.empty(0)]
    for chunk in _chunks(listed):
        left, right = _pairs_within(chunk)
        shares = weights[left] * weights[right] / (alpha + 1 + common[block.cells(left, right)])
        scores.append(np.add.reduceat(shares, ends(_num_pairs(chunk.size))[:-1]))
    return np.concatenate(scores)


def _score_dense(
    block: _Block, dense: _Groups, weights: Array, common: Array, alpha: float
) -> Array:
    """The same as quadratic forms: with S the shares of pairs e < f, 1_g' S 1_g a group."""
    scores = [np.empty(0)]
    for trigger, events, member_NG in _matrices(block, dense):
        cells = common[block.cell_starts[trigger] : block.cell_starts[trigger + 1]]
        products = np.outer(weights[events], weights[events])
        share_NN = np.triu(products / (alpha + 1 + cells.reshape(products.shape)), 1)
        scores.append((member_NG * (share_NN @ member_NG.astype(np.float64))).sum(axis=0))
    return np.concatenate(scores)


def _matrices(block: _Block, dense: _Groups) -> Iterator[tuple[int, slice, Array]]:
    """Each trigger, the events it has, and who is in its groups: 0/1 (events N, groups G)."""
    triggers, num_groups = np.unique(dense.trigger, return_counts=True)
    bounds, starts = ends(num_groups), ends(block.sizes)
    for trigger, first, last in zip(triggers, bounds[:-1], bounds[1:], strict=True):
        mine = dense.part(first, last)
        member_NG = np.zeros((block.sizes[trigger], last - first), dtype=np.float32)
        member_NG[block.place[mine.events], np.repeat(np.arange(last - first), mine.size)] = 1
        yield int(trigger), slice(starts[trigger], starts[trigger + 1]), member_NG


def _chunks(groups: _Groups) -> Iterator[_Groups]:
    pairs = ends(_num_pairs(groups.size))
    first = 0
    while first < len(groups.size):
        last = reach(pairs, first, _PAIRS_A_CHUNK)
        yield groups.part(first, last)
        first = last


def _pairs_within(groups: _Groups) -> tuple[Array, Array]:
    """All pairs of events e < f of one group, group by group: (left events, right events)."""
    position = np.arange(len(groups.events))
    partners = np.repeat(groups.starts[1:], groups.size) - position - 1
    left = np.repeat(position, partners)
    first_right = position + 1 - ends(partners)[:-1]
    right = np.arange(len(left)) + np.repeat(first_right, partners)
    return groups.events[left], groups.events[right]


def _best(triggers: Array, targets: Array, scores: Array, top: int) -> Pairs:
    """The first `top` rows of each trigger by falling score, then target."""
    order = np.lexsort((targets, -scores, triggers))
    _, first, size = np.unique(triggers[order], return_index=True, return_counts=True)
    order = order[np.arange(len(order)) - np.repeat(first, size) < top]
    return Pairs(triggers[order].astype(np.int32), targets[order].astype(np.int32), scores[order])


def _num_pairs(size: Array) -> Array:
    pairs: Array = size * (size - 1) // 2
    return pairs
