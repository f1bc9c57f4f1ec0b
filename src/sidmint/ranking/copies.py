"""Items that stand twice in a catalogue, and how far apart a model puts the two."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sidmint.diagnostics.collisions import vector_numbers
from sidmint.neighbours import build_index, search
from sidmint.ranking.click_model import ClickModel, click_probabilities
from sidmint.seeds import generator_for
from sidmint.types import Floats, Ints

_MOST_COSINES = 4 * 10**8
"""Of a catalogue above 20,000 items only as many are asked for their copy as this allows."""
_MOST_PAIRS, _MOST_USERS = 2000, 200

Pairs2 = npt.NDArray[np.int32]
"""Item rows (P, 2), the lower one first."""


def copied_pairs(vectors: Floats, cosine: float, seed: int) -> Pairs2:
    """Pairs of items with equal `vectors` (N, D), or nearest to each other at `cosine` or more.

    Of m equal items m - 1 pairs, neighbours by row. At most 2,000 pairs, drawn by the seed's
    "copies" where there are more; none where nothing is near.
    """
    generator = generator_for(seed, "ranking", "copies")
    pairs = np.unique(np.concatenate([_equal(vectors), _near(vectors, cosine, generator)]), axis=0)
    if len(pairs) > _MOST_PAIRS:
        pairs = pairs[np.sort(generator.choice(len(pairs), _MOST_PAIRS, replace=False))]
    return pairs.astype(np.int32)


def probability_gap(model: ClickModel, history_items: Ints, pairs: Pairs2) -> float:
    """Mean of |p(i) - p(copy of i)| over the first 200 of `history_items` (B, n) and all pairs.

    Exactly 0 where a representation sees no difference. Raises nothing for want of pairs: ask
    only where there are some.
    """
    users = history_items[:_MOST_USERS]
    sides = [
        click_probabilities(model, users, np.broadcast_to(side, (len(users), len(side))))
        for side in pairs.T
    ]
    return float(np.abs(sides[0] - sides[1]).mean())


def strangers(pairs: Pairs2, num_items: int, seed: int) -> Pairs2:
    """The same first items, each beside a random other one: what a gap is to be compared with."""
    drawn = generator_for(seed, "ranking", "strangers").integers(0, num_items - 1, len(pairs))
    first = pairs[:, 0]
    return np.stack([first, drawn + (drawn >= first)], axis=1).astype(np.int32)


def _equal(vectors: Floats) -> npt.NDArray[np.int64]:
    numbers = vector_numbers(vectors)
    order = np.argsort(numbers, kind="stable")
    same = np.flatnonzero(numbers[order][1:] == numbers[order][:-1])
    return np.stack([order[same], order[same + 1]], axis=1).astype(np.int64)


def _near(vectors: Floats, cosine: float, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """Each asked item beside the nearest of the others, if that is near enough."""
    count = len(vectors)
    asked = np.arange(count)
    if count * count > _MOST_COSINES:
        asked = np.sort(generator.choice(count, _MOST_COSINES // count, replace=False))
    found, cosines = search(build_index(vectors), vectors[asked], 2)
    is_other = found != asked[:, None]
    place = is_other.argmax(axis=1)  # the first that is not the item itself
    near = np.take_along_axis(cosines, place[:, None], axis=1).ravel() >= cosine
    near &= is_other.any(axis=1)
    other = np.take_along_axis(found, place[:, None], axis=1).ravel()
    return np.sort(np.stack([asked[near], other[near]], axis=1), axis=1).astype(np.int64)
