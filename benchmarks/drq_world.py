"""A catalogue as large as the one DRQ measures on, made from a seed: videos, and who saw them.

DRQ's own data (500,000 of 15 million short videos; section 5.1) are not public. In this world
the truth is known:

- **Content.** An item is a point of an intrinsic space of 16 dimensions. Its embedding is a smooth
  function of that point, and the surface is curved: at any one place it has 16 directions, as a
  whole more than 100. Its spectrum follows lambda_j ~ j^-0.356 exp(-(j / 133.7)^4), which in 256
  dimensions has the participation ratio (106.05), the effective rank (131.17) and the largest
  eigenvalue (0.0305) of the raw input in DRQ Table 1. Vectors have unit norm, as DRQ's must
  (section 5.5 prints MSE 0.000432 and cosine 0.999784: 0.000432 = 2 (1 - 0.999784)), a mean that
  is not zero, and a little noise.
- **Long tails.** Items come in themes, 40 each on average, with Zipf sizes (exponent 0.8: a few
  regions are very dense). Popularity is Zipf too, and has nothing to do with where an item lies.
- **Reposts.** One item in ten is nearly the copy of another, likelier of a popular one.
- **Behaviour.** A user drifts (`drq_users`): to a repost of what was seen last, or to an item near
  it in the same theme or in a theme close by, or to a theme with the same *audience*, wherever
  that lies. Who shares an audience is drawn at random, so distances between embeddings do not
  show it; but a theme can be told from an embedding, so it can be learned.

A world is the same whenever its seed and size are: random numbers come from names, and from
blocks of fixed size. Work space is a block; 500,000 items take 512 MB and about a minute.

Shape letters: N items, D embedding size, M intrinsic dimensions, T themes, U users, E events.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from drq_surface import NUM_DIMENSIONS, Surface, unit
from drq_users import ItemsByTheme, drift

from sidmint.errors import BadInput
from sidmint.evaluation import Cases, held_out_cases
from sidmint.seeds import generator_for
from sidmint.types import Floats, Ints, Pairs

WORLD_VERSION = 1
"""Raise it when the same size and seed give another world; rows made on the old one are then
made again."""

NUM_INTRINSIC, NUM_REGIONS = 16, 64
ITEMS_A_THEME, THEMES_AN_AUDIENCE, NEAR_THEMES = 40, 25, 8
ZIPF = 0.8
"""Exponent of theme sizes and of item popularity, by rank."""
THEME_SPREAD, ITEM_SPREAD, REPOST_SPREAD = 0.6, 0.5, 0.02
"""Of themes around their region, of items around their theme and of reposts around their original,
an intrinsic dimension; regions themselves have 1."""
REPOST_SHARE = 0.1
NOISE = 0.005
"""Squared norm of the noise, beside 1 of the vector."""
PROBES = 20_000
"""Points of the intrinsic space that the surface is fitted to; no item is among them."""
BLOCK = 16_384


@dataclass(frozen=True)
class World:
    """What `make_world` made; items lie by theme, themes by falling size.

    Beside `vectors`, `sequences` and what follows from them all is hidden: no tokenizer sees it.
    """

    vectors: Floats
    """(N, D), unit norm."""
    positions: Floats
    """(N, M), in the intrinsic space."""
    surface: Surface
    theme_of: Ints
    """(N,)"""
    original_of: Ints
    """(N,): the item that this one is a repost of; itself where it is none."""
    audience_of: Ints
    """(T,), by theme."""
    popularity: npt.NDArray[np.float64]
    """(N,), sums to one."""
    sequences: Ints
    """(U, E) items by user, newest first."""

    @property
    def cases(self) -> Cases:
        """One test case a user: from the event before the newest, find the newest (DRQ 5.5)."""
        num_users, length = self.sequences.shape
        items = self.sequences[:, ::-1].ravel().astype(np.int64)
        positions = np.tile(np.arange(length), num_users)
        users = np.repeat(np.arange(num_users), length)
        return held_out_cases(users, positions, items, positions == length - 1)

    @cached_property
    def co_viewed(self) -> Pairs:
        """Neighbours in the sequences without their newest event, scored by how often.

        Both ways round: where (i, j) is a pair, so is (j, i). Sorted by trigger and target.
        """
        later, earlier = (
            side.ravel().astype(np.int64)
            for side in (self.sequences[:, 1:-1], self.sequences[:, 2:])
        )
        apart = later != earlier
        triggers = np.concatenate([later[apart], earlier[apart]])
        targets = np.concatenate([earlier[apart], later[apart]])
        keys, counts = np.unique(triggers * len(self.vectors) + targets, return_counts=True)
        triggers, targets = np.divmod(keys, len(self.vectors))
        return Pairs(triggers.astype(np.int32), targets.astype(np.int32), counts.astype(np.float32))


def make_world(num_items: int, seed: int) -> World:
    """The world of `num_items` items that `seed` names; see the top of this file."""
    least = 2 * NEAR_THEMES * ITEMS_A_THEME
    if num_items < least:
        raise BadInput(
            f"a world wants {least} items at least, got {num_items}: fewer make less than "
            f"{2 * NEAR_THEMES} themes, and users need themes to go on to; raise --items"
        )
    sizes = theme_sizes(num_items)
    first = np.concatenate([[0], np.cumsum(sizes)])
    theme_of = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
    centres = _centres(len(sizes), generator_for(seed, "drq_world", "themes"))
    original_of, popularity = _reposts(first, theme_of, generator_for(seed, "drq_world", "items"))
    positions = _positions(centres, theme_of, original_of, seed)
    surface = _surface(centres, sizes, seed)
    audience_of = _audiences(len(sizes), generator_for(seed, "drq_world", "audiences"))
    sequences = drift(
        positions,
        theme_of,
        ItemsByTheme.of(popularity, first),
        _nearest_themes(centres),
        audience_of,
        original_of,
        generator_for(seed, "drq_world", "users"),
    )
    return World(
        vectors=_vectors(surface, positions, seed),
        positions=positions,
        surface=surface,
        theme_of=theme_of,
        original_of=original_of,
        audience_of=audience_of,
        popularity=popularity,
        sequences=sequences,
    )


def theme_sizes(num_items: int) -> npt.NDArray[np.int64]:
    """Items a theme (T,), falling: proportional to rank^-0.8, rounded so that they add up."""
    ends = np.rint(np.cumsum(_zipf(num_items // ITEMS_A_THEME)) * num_items)
    return np.diff(ends, prepend=0).astype(np.int64)


def _centres(num_themes: int, rng: np.random.Generator) -> Floats:
    regions = rng.normal(size=(NUM_REGIONS, NUM_INTRINSIC))
    return _around(regions[rng.integers(0, NUM_REGIONS, num_themes)], THEME_SPREAD, rng)


def _audiences(num_themes: int, rng: np.random.Generator) -> Ints:
    return (rng.permutation(num_themes) // THEMES_AN_AUDIENCE).astype(np.int32)


def _reposts(
    first: npt.NDArray[np.int64], theme_of: Ints, rng: np.random.Generator
) -> tuple[Ints, npt.NDArray[np.float64]]:
    """`original_of` and `popularity` (N,) of each item; the last of each theme are its reposts.

    The more popular an item, the likelier a repost of it, which then is as popular as it is.
    """
    num_items = len(theme_of)
    popularity = _zipf(num_items)[rng.permutation(num_items)]
    num_originals = np.ceil((1 - REPOST_SHARE) * np.diff(first)).astype(np.int64)
    reposts = np.flatnonzero(np.arange(num_items) - first[theme_of] >= num_originals[theme_of])
    weights = popularity.copy()
    weights[reposts] = 0.0
    original_of = np.arange(num_items, dtype=np.int32)
    original_of[reposts] = ItemsByTheme.of(weights, first).draw(theme_of[reposts], 1, rng)[:, 0]
    popularity = popularity[original_of]
    return original_of, popularity / popularity.sum()


def _positions(centres: Floats, theme_of: Ints, original_of: Ints, seed: int) -> Floats:
    positions = _around(centres[theme_of], ITEM_SPREAD, generator_for(seed, "drq_world", "places"))
    reposts = np.flatnonzero(original_of != np.arange(len(original_of)))
    positions[reposts] = _around(
        positions[original_of[reposts]], REPOST_SPREAD, generator_for(seed, "drq_world", "reposts")
    )
    return positions


def _surface(centres: Floats, sizes: npt.NDArray[np.int64], seed: int) -> Surface:
    rng = generator_for(seed, "drq_world", "surface")
    themes = rng.choice(len(centres), PROBES, p=sizes / sizes.sum())
    return Surface.through(_around(centres[themes], ITEM_SPREAD, rng), rng)


def _vectors(surface: Surface, positions: Floats, seed: int) -> Floats:
    vectors = np.empty((len(positions), NUM_DIMENSIONS), dtype=np.float32)
    for number, rows in enumerate(_blocks(len(positions), BLOCK)):
        rng = generator_for(seed, "drq_world", "noise", str(number))
        spread = float(np.sqrt(NOISE / NUM_DIMENSIONS))
        vectors[rows] = unit(_around(surface.embed(positions[rows]), spread, rng))
    return vectors


def _nearest_themes(centres: Floats) -> Ints:
    """The nearest others (T, NEAR_THEMES) of each theme, in no special order."""
    half_norms = np.square(centres).sum(axis=1) / 2
    near = np.empty((len(centres), NEAR_THEMES), dtype=np.int32)
    for rows in _blocks(len(centres), 1024):
        far = half_norms - centres[rows] @ centres.T
        far[np.arange(len(far)), np.arange(len(centres))[rows]] = np.inf
        near[rows] = np.argpartition(far, NEAR_THEMES, axis=1)[:, :NEAR_THEMES]
    return near


def _around(centres: npt.NDArray[Any], spread: float, rng: np.random.Generator) -> Floats:
    noise = rng.standard_normal(centres.shape, dtype=np.float32)
    return np.asarray(centres + np.float32(spread) * noise, dtype=np.float32)


def _zipf(count: int) -> npt.NDArray[np.float64]:
    weights = np.arange(1, count + 1) ** -ZIPF
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _blocks(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
