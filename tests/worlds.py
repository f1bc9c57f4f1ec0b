"""Tiny worlds whose truth is known without running our code."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from sidmint.types import Codebooks, Floats, Ints, Pairs


@dataclass(frozen=True)
class CodedWorld:
    """Vectors that are exactly the sum of one codeword a level."""

    vectors: Floats
    codes: Ints
    codebooks: Codebooks


def nested_grid(num_levels: int = 3, num_dimensions: int = 2) -> CodedWorld:
    """Corners of a square, around each corner a square an eighth as wide, and so on.

    Level l has the 2^D codewords with coordinates +-8^-l. Every value and every sum is exact
    in float32, and what deeper levels add never reaches half way to another corner: so
    `encode(decode(codes)) == codes` without tolerance. All combinations occur, once.
    """
    corners = np.array(list(product((-1.0, 1.0), repeat=num_dimensions)), dtype=np.float32)
    levels = tuple((corners * np.float32(8.0**-level)) for level in range(num_levels))
    codebooks = Codebooks(levels)
    codes = np.array(list(product(range(len(corners)), repeat=num_levels)), dtype=np.int32)
    return CodedWorld(codebooks.decode(codes), codes, codebooks)


def clusters_far_apart(
    num_clusters: int = 8, items_each: int = 20, num_dimensions: int = 16, seed: int = 0
) -> tuple[Floats, Ints]:
    """Vectors (N, D) in clusters of radius about 1 that lie 100 apart, and the cluster of each."""
    rng = np.random.default_rng(seed)
    centres = np.zeros((num_clusters, num_dimensions))
    centres[np.arange(num_clusters), np.arange(num_clusters) % num_dimensions] = 100.0 * (
        1 + np.arange(num_clusters) // num_dimensions
    )
    members = np.repeat(np.arange(num_clusters), items_each)
    noise = rng.normal(scale=num_dimensions**-0.5, size=(len(members), num_dimensions))
    return (centres[members] + noise).astype(np.float32), members.astype(np.int32)


def long_tails(
    num_items: int = 4300, num_clusters: int = 256, spread: float = 0.8, seed: int = 0
) -> Floats:
    """Clusters whose members differ from their centre by lengths with a long tail (N, 64).

    What one level leaves over has no structure, and codewords for its single outliers lower the
    squared error more than codewords that tell the many apart: catalogues of a few thousand
    products behave like this.
    """
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(num_clusters, 64))
    noise = rng.normal(size=(num_items, 64))
    lengths = 0.1 * np.exp(spread * rng.normal(size=num_items))
    weights = rng.random(num_clusters) ** 0.5
    members = rng.choice(num_clusters, num_items, p=weights / weights.sum())
    return (centres[members] + lengths[:, None] * noise).astype(np.float32)


def smooth_items(num_items: int = 400, num_dimensions: int = 24, seed: int = 0) -> Floats:
    """Unit vectors near a six-dimensional surface: like text embeddings, all different."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(num_items, 6))
    vectors = np.tanh(hidden @ rng.normal(size=(6, num_dimensions)))
    vectors += 0.05 * rng.normal(size=vectors.shape)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def category_paths(vectors: Floats) -> list[str | None]:
    """Paths of up to three parts that follow the signs of some dimensions; some items have none."""
    paths: list[str | None] = []
    for row, signs in enumerate((vectors[:, :6] > 0).tolist()):
        parts = ["abcd"[2 * signs[0] + signs[1]], "ef"[signs[2]], "ghij"[2 * signs[3] + signs[4]]]
        paths.append(" > ".join(parts[: 2 + signs[5]]) if row % 50 else None)
    return paths


def collaborative_vectors(vectors: Floats, num_dimensions: int = 6, seed: int = 5) -> Floats:
    """What a recommender might know: another view of the same items; nothing of every seventh."""
    rng = np.random.default_rng(seed)
    known = np.tanh(3 * vectors @ rng.normal(size=(vectors.shape[1], num_dimensions)))
    known[::7] = np.nan
    return known.astype(np.float32)


def neighbour_pairs(vectors: Floats, num_each: int = 3) -> Pairs:
    """Each item with the items most like it, as if they were seen together; all but every fifth."""
    similar = vectors @ vectors.T
    np.fill_diagonal(similar, -np.inf)
    targets = np.argsort(-similar, axis=1, kind="stable")[:, :num_each]
    triggers = np.repeat(np.arange(len(vectors)), num_each)
    kept = triggers % 5 > 0
    scores = np.tile(np.arange(num_each, 0, -1, dtype=np.float32), len(vectors))
    return Pairs(
        triggers[kept].astype(np.int32),
        targets.ravel()[kept].astype(np.int32),
        scores[kept],
    )
