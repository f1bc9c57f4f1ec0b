"""The catalogue as search sees it: distinct rows with multiplicities, so that ties are exact.

Two items with one code have one reconstruction, hence one score. Scoring it once makes the
tie exact whatever order a processor adds in, and saves the work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sidmint.evaluation.protocol import Cases
from sidmint.evaluation.ranking import Ranks
from sidmint.progress import Track, silent
from sidmint.types import Floats, Ints

_BLOCK_ENTRIES = 2**24
"""Scores held at once: 64 MB of float32."""

Scorer = Callable[[npt.NDArray[np.int64]], npt.NDArray[Any]]


@dataclass(frozen=True)
class Pool:
    """`rows` (G, D) distinct representations; item n is represented by `rows[row_of[n]]`."""

    rows: npt.NDArray[Any]
    row_of: npt.NDArray[np.int64]

    @classmethod
    def of(cls, values: npt.NDArray[Any]) -> Pool:
        """Pool of items with `values` (N, D); equal values share a row."""
        plain = np.ascontiguousarray(values) + values.dtype.type(0)  # -0.0 becomes 0.0
        as_bytes = plain.view(np.dtype((np.void, plain.shape[1] * plain.itemsize))).ravel()
        _, first, row_of = np.unique(as_bytes, return_index=True, return_inverse=True)
        return cls(plain[first], row_of)

    def through(self, mapping: Callable[[Any], npt.NDArray[Any]]) -> Pool:
        """Represent the same items by `mapping(rows)`, of which some may now be equal."""
        mapped = Pool.of(mapping(self.rows))
        return Pool(mapped.rows, mapped.row_of[self.row_of])


def rank_by_cosine(pool: Pool, cases: Cases, track: Track = silent) -> Ranks:
    """Exact ranks of targets by cosine with the query; a zero vector has cosine 0 with all."""
    unit = unit_rows(pool.rows)
    return _rank(pool, cases, lambda rows: unit[rows] @ unit.T, track)


def rank_by_equal_codes(pool: Pool, cases: Cases, track: Track = silent) -> Ranks:
    """Exact ranks of targets by the number of codes equal to the query's; `pool` holds codes."""
    columns: Ints = np.ascontiguousarray(pool.rows.T)

    def score(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int16]:
        equal = np.zeros((len(rows), len(pool.rows)), dtype=np.int16)
        for column in columns:
            equal += column[rows, None] == column
        return equal

    return _rank(pool, cases, score, track)


def rank_by_prefix(pool: Pool, cases: Cases) -> Ranks:
    """Exact ranks of targets by the length of the prefix in common with the query's codes.

    Counted, not searched: with c_l items under the query's prefix of length l and m codes in
    common, c_(m+1) - 1 items are better and c_m - c_(m+1) - 1 tied (the query and the target
    taken out). O((N + T) L).
    """
    codes = pool.rows[pool.row_of]
    num_levels = codes.shape[1]
    common = common_prefix(codes[cases.queries], codes[cases.targets])
    under = np.empty((len(cases), num_levels + 2), dtype=np.int64)
    under[:, 0] = len(codes)
    under[:, -1] = 1  # the query alone agrees with itself beyond the last level
    prefix = np.zeros(len(codes), dtype=np.int64)
    for level in range(num_levels):
        # Ranks instead of products of sizes: they never outgrow an integer.
        step = prefix * (int(codes[:, level].max()) + 1) + codes[:, level]
        prefix = np.unique(step, return_inverse=True)[1]
        under[:, level + 1] = np.bincount(prefix)[prefix[cases.queries]]
    cases_range = np.arange(len(cases))
    longer = under[cases_range, common + 1]
    return Ranks(longer - 1, under[cases_range, common] - longer - 1)


def common_prefix(left: Ints, right: Ints) -> npt.NDArray[np.int64]:
    """Length of the prefix in common, row by row of two code tables (T, L)."""
    return np.asarray(np.logical_and.accumulate(left == right, axis=1).sum(axis=1))


def unit_rows(vectors: Floats) -> Floats:
    """`vectors` (N, D) scaled to unit norm; zero vectors stay zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0))


def _rank(pool: Pool, cases: Cases, score: Scorer, track: Track) -> Ranks:
    """Ranks under `score`, which gives the scores of some rows against all rows of the pool."""
    query_of, target_of = pool.row_of[cases.queries], pool.row_of[cases.targets]
    by_query = np.argsort(query_of, kind="stable")
    distinct, firsts = np.unique(query_of[by_query], return_index=True)
    ends = np.append(firsts, len(by_query))
    count = _Counter(np.bincount(pool.row_of, minlength=len(pool.rows)))
    num_better, num_tied = np.empty((2, len(cases)), dtype=np.int64)
    height = max(1, _BLOCK_ENTRIES // len(pool.rows))
    starts = range(0, len(distinct), height)
    for start in track(starts, "searching", len(starts)):
        block = distinct[start : start + height]
        for place, scores in enumerate(score(block), start=start):
            # One row at a time stays in the processor's cache, and is scored once for its cases.
            own = scores[distinct[place]]
            for case in by_query[ends[place] : ends[place + 1]]:
                bar = scores[target_of[case]]
                # The query is taken out of both counts, the target out of the ties.
                num_better[case] = count(scores > bar) - (own > bar)
                num_tied[case] = count(scores == bar) - (own == bar) - 1
    return Ranks(num_better, num_tied)


class _Counter:
    """Counts items under a mask over rows (G,), each row as often as items have it."""

    def __init__(self, multiplicity: npt.NDArray[np.int64]) -> None:
        self._crowded = np.flatnonzero(multiplicity > 1)
        self._more = multiplicity[self._crowded] - 1

    def __call__(self, mask: npt.NDArray[np.bool_]) -> int:
        return int(np.count_nonzero(mask)) + int(self._more[mask[self._crowded]].sum())
