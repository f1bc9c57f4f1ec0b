"""How many of the nearest items an approximate index finds.

Shape letters: N items, Q queries, k neighbours of each.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sidmint.neighbours import search, unit
from sidmint.rows import Rows, slices
from sidmint.types import Floats

QUERIES, NEIGHBOURS = 200, 10
"""With a recall of .95 the standard error of 200 queries is about .005."""
_ROWS_AT_ONCE = 1 << 14
_SAME = 1e-6
"""Cosines that differ by less are one: float32 rounds so far."""


def recall(index: Any, vectors: Rows, seed: int = 0) -> float:
    """Share of the `NEIGHBOURS` nearest other items that `index`, built of `vectors` (N, D), finds.

    The mean over `QUERIES` items drawn by `seed`, against an exact search that reads all vectors
    once, a piece at a time. An item that is as near as the last of the exact ones counts as found,
    so that among equal vectors none is wrong. At least two items.
    """
    drawn = np.random.default_rng(seed).choice(
        len(vectors), min(QUERIES, len(vectors)), replace=False, shuffle=False
    )
    asked = unit(vectors[drawn])
    k = min(NEIGHBOURS, len(vectors) - 1)
    least_Q = _least_cosines(vectors, drawn, asked, k) - _SAME
    found_Qk, _ = search(index, asked, k + 1)  # itself too, as a rule
    num_found = 0
    for row, query, rows, least in zip(drawn, asked, found_Qk, least_Q, strict=True):
        others = rows[(rows != row) & (rows >= 0)][:k]
        num_found += int((unit(vectors[others]) @ query >= least).sum())
    return num_found / (k * len(drawn))


def _least_cosines(vectors: Rows, drawn: npt.NDArray[np.int64], asked: Floats, k: int) -> Floats:
    """The cosine (Q,) of the k-th nearest other item of each query."""
    best_Qk = np.full((len(asked), k), -np.inf, dtype=np.float32)
    for rows in slices(len(vectors), _ROWS_AT_ONCE):
        cosines = asked @ unit(vectors[rows]).T
        inside = np.flatnonzero((drawn >= rows.start) & (drawn < rows.stop))
        cosines[inside, drawn[inside] - rows.start] = -np.inf
        both = np.concatenate([best_Qk, cosines], axis=1)
        best_Qk = np.partition(both, -k, axis=1)[:, -k:]
    return np.asarray(best_Qk.min(axis=1))
