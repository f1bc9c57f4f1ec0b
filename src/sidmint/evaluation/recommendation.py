"""What ranked lists are worth: hits and gains a user, and what the lists are made of.

Shape letters: U users, k places, N items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidmint.errors import BadInput
from sidmint.types import Ints

Floats64 = npt.NDArray[np.float64]


def target_places(items: Ints, targets: Ints) -> Ints:
    """Place (U,) of each user's target in its list `items` (U, k), from 1; 0 where it is absent.

    Credit by item: a target is found when that very item is in the list.
    """
    _require_lists(items, targets)
    found = items == targets[:, None]
    return np.where(found.any(axis=1), found.argmax(axis=1) + 1, 0).astype(np.int32)


def tuple_places(items: Ints, targets: Ints, codes: Ints) -> Ints:
    """The same by code tuple: places are counted over distinct `codes` (N, L) of the list.

    `codes` are those before collisions were resolved. An item that shares the target's codes
    counts as the target: this is how a model that writes codes alone is often scored, and it
    flatters tables that collide. Printed beside `target_places`, never used to choose.
    """
    _require_lists(items, targets)
    bucket = np.unique(codes, axis=0, return_inverse=True)[1].reshape(-1)
    listed = np.where(items >= 0, bucket[items], -1)
    wanted = bucket[targets]
    places = np.zeros(len(items), dtype=np.int32)
    for user, (row, code) in enumerate(zip(listed, wanted, strict=True)):
        at = np.flatnonzero(row == code)
        if len(at):
            before = row[: at[0]]
            places[user] = len(np.unique(before[before >= 0])) + 1
    return places


def hits(places: Ints, cutoff: int) -> Floats64:
    """1 where the target stands among the first `cutoff`: HR, which is recall of one target."""
    return ((places >= 1) & (places <= cutoff)).astype(np.float64)


def gains(places: Ints, cutoff: int) -> Floats64:
    """NDCG of one target: 1 / log2(place + 1) among the first `cutoff`, else 0."""
    found = hits(places, cutoff)
    return found / np.log2(np.maximum(places, 1) + 1.0)


def reciprocals(places: Ints, cutoff: int) -> Floats64:
    """MRR of one target: 1 / place among the first `cutoff`, else 0."""
    return hits(places, cutoff) / np.maximum(places, 1)


def list_metrics(places: Ints, cutoffs: Sequence[int]) -> dict[str, float]:
    """Means over users: recommend_hr_at_K, recommend_ndcg_at_K, recommend_mrr_at_K."""
    if not len(places):
        return {}
    return {
        f"recommend_{name}_at_{cutoff}": float(figure(places, cutoff).mean())
        for cutoff in cutoffs
        for name, figure in (("hr", hits), ("ndcg", gains), ("mrr", reciprocals))
    }


@dataclass(frozen=True)
class Spread:
    """What lists are made of, over all users."""

    coverage: float
    """Share of the catalogue that is recommended to anybody."""
    gini: float
    """Of how often each of all items is recommended: 0 even, near 1 a few items only."""
    cold_share: float
    """Share of recommended places that go to cold items."""
    num_distinct: int


def spread(items: Ints, cold: npt.NDArray[np.bool_]) -> Spread:
    """`Spread` of lists `items` (U, k) over a catalogue whose cold items are marked (N,)."""
    listed = items[items >= 0]
    if not len(listed):
        raise BadInput("no list names an item, so there is nothing to count")
    counts = np.sort(np.bincount(listed, minlength=len(cold)).astype(np.float64))
    n = len(counts)
    gini = float((2 * np.arange(1, n + 1) - n - 1) @ counts / (n * counts.sum()))
    return Spread(
        coverage=float(np.count_nonzero(counts) / n),
        gini=gini,
        cold_share=float(cold[listed].mean()),
        num_distinct=int(np.count_nonzero(counts)),
    )


def history_effect(with_history: npt.ArrayLike, without: npt.ArrayLike) -> float:
    """Mean KL(with || without) in nats, of log-probabilities (U, C) and (C,) or (U, C).

    0 for a recommender that ignores what a user did, however well its loss looks: one outside
    encoder-decoder had .0003 and gave 2,000 users 15 different items.
    """
    known = np.asarray(with_history, dtype=np.float64)
    blank = np.asarray(without, dtype=np.float64)
    known = known - np.logaddexp.reduce(known, axis=1, keepdims=True)
    blank = blank - np.logaddexp.reduce(blank, axis=-1, keepdims=True)
    return float(np.maximum((np.exp(known) * (known - blank)).sum(axis=1), 0.0).mean())


def _require_lists(items: Ints, targets: Ints) -> None:
    if items.ndim != 2 or len(items) != len(targets):
        raise BadInput(f"{len(targets)} targets want as many lists, got an array {items.shape}")
