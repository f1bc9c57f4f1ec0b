"""How new items differ from those that a tokenizer was made for, and how much room is left.

Shape letters: N published items, n new items, L levels, K codes of a level.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sidmint.diagnostics.buckets import BucketSizes
from sidmint.errors import BadInput
from sidmint.types import Ints

Counts = npt.NDArray[np.integer[Any]]

_DRAWS = 200
_DEVIATIONS = 3.0


def prefix_labels(codes: Ints) -> npt.NDArray[np.int64]:
    """(N, L): in column l a number for the first l + 1 codes; equal prefixes, equal numbers."""
    labels = np.empty(codes.shape, dtype=np.int64)
    label = np.zeros(len(codes), dtype=np.int64)
    for level in range(codes.shape[1]):
        column = codes[:, level].astype(np.int64)
        key = label * (int(column.max(initial=0)) + 1) + column
        label = np.unique(key, return_inverse=True)[1].ravel()
        labels[:, level] = label
    return labels


def known_prefix_shares(known: Ints, new: Ints) -> tuple[float, ...]:
    """decodable@l, l = 1 .. L: share of `new` (n, L) whose first l codes some row of `known` has.

    A generative recommender writes codes from left to right, and writes well what it has seen:
    an item whose prefix it never saw cannot be reached, however good the recommender.
    """
    _require_rows(known, new)
    labels = prefix_labels(np.concatenate([known, new]))
    shares = []
    for column in labels.T:
        seen = np.zeros(column.max() + 1, dtype=bool)
        seen[column[: len(known)]] = True
        shares.append(float(seen[column[len(known) :]].mean()))
    return tuple(shares)


def population_stability(before: Counts, after: Counts) -> float:
    """Population Stability Index of two usages of one codebook, counts (K,) each; 0: the same.

    PSI = sum (q - p) ln(q / p) over codes, in nats, with half a count added to each code, or a
    code that one side lacks would make it infinite. Rules of thumb for few, large classes: .1 is
    worth a look, .2 a shift. Over many codes chance alone exceeds both: see `chance_stability`.
    """
    if before.shape != after.shape or not before.sum() or not after.sum():
        raise BadInput(
            f"a stability index wants two usages of one codebook, each of some items; got counts "
            f"{before.shape} of {before.sum()} and {after.shape} of {after.sum()}"
        )
    p, q = (_smoothed(counts) for counts in (before, after))
    return float(((q - p) * np.log(q / p)).sum())


def chance_stability(before: Counts, num_new: int, generator: np.random.Generator) -> float:
    """The index that chance gives `num_new` items of the very usage `before`: mean + 3 deviations.

    About (K - 1) (1 / n + 1 / N) in the mean: .23 for 1,200 new beside 12,000 published items at
    256 codes, more than the .2 that is read as a shift. From 200 draws of both sides.
    """
    shares, num_before = before / before.sum(), int(before.sum())
    drawn = [
        population_stability(
            generator.multinomial(num_before, shares), generator.multinomial(num_new, shares)
        )
        for _ in range(_DRAWS)
    ]
    return float(np.mean(drawn) + _DEVIATIONS * np.std(drawn))


def full_prefix_shares(codes: Ints, sizes: Sequence[int]) -> tuple[float, ...]:
    """Share of the prefixes of length 1 .. L - 1 in use whose every next code is in use too.

    Below a full prefix a new item can only collide; () for ids of one level.
    """
    labels = prefix_labels(codes)
    shares = []
    for level in range(codes.shape[1] - 1):
        first_row = np.unique(labels[:, level + 1], return_index=True)[1]
        children = np.bincount(labels[first_row, level])
        shares.append(float((children == sizes[level + 1]).mean()))
    return tuple(shares)


def doubled_collision_rate(buckets: BucketSizes) -> float:
    """Expected collision rate once there are twice as many items like these.

    As many items again bring sum (-1)^(i+1) F_i new codes, F_i the codes that i items share
    (Good & Toulmin 1956, with t = 1): no model of the usage is needed. The estimate swings where
    few items are alone; it is kept between no new code and a new one for each item.
    """
    signs = np.where(buckets.sizes % 2 == 1, 1, -1)
    unseen = float(np.clip(signs @ buckets.num_buckets, 0, buckets.num_items))
    return 1 - (buckets.num_distinct + unseen) / (2 * buckets.num_items)


def _smoothed(counts: Counts) -> npt.NDArray[np.float64]:
    return np.asarray((counts + 0.5) / (counts.sum() + 0.5 * len(counts)), dtype=np.float64)


def _require_rows(known: Ints, new: Ints) -> None:
    if not len(known) or not len(new) or known.shape[1:] != new.shape[1:]:
        raise BadInput(
            f"new codes are compared with known ones of as many levels, got {known.shape} and "
            f"{new.shape}"
        )
