"""last_item: what followed the last item in training, then what is popular."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

from sidmint.progress import Track
from sidmint.recommenders.base import (
    RECOMMENDERS,
    Arrays,
    FitReport,
    Recommendations,
    Recommender,
    best_of,
)
from sidmint.recommenders.id_table import IdTable
from sidmint.recommenders.sequences import HeldOut, Sequences
from sidmint.types import Floats

_BLOCK = 1024
"""Users scored at once."""


@RECOMMENDERS.register("last_item")
class LastItem(Recommender):
    """score(i) = how often i came right after the last item, ties by popularity.

    A first-order Markov chain on training transitions. Popularity is scaled below 1, so that
    it never overrules a transition.
    """

    name = "last_item"

    def _fit(
        self,
        sequences: Sequences,
        table: IdTable,
        validation: HeldOut | None,
        seed: int,
        device: str,
        track: Track,
    ) -> FitReport:
        inner = np.ones(len(sequences.items), dtype=bool)
        inner[sequences.offsets[:-1][sequences.lengths > 0]] = False
        after = np.flatnonzero(inner)
        shape = (len(table), len(table))
        before, later = sequences.items[after - 1], sequences.items[after]
        counts = sparse.coo_array((np.ones(len(after)), (before, later)), shape=shape).tocsr()
        counts.sum_duplicates()
        self._follows = counts.astype(np.float32)
        self._counts = np.bincount(sequences.items, minlength=len(table)).astype(np.float32)
        return FitReport()

    def _recommend(self, histories: Sequences, k: int, track: Track) -> Recommendations:
        blocks = [
            best_of(self._scores(histories.take(users)), k)
            for users in _blocks(len(histories), _BLOCK)
        ]
        return Recommendations(
            np.concatenate([block.items for block in blocks]),
            np.concatenate([block.scores for block in blocks]),
        )

    def _predictions(self, histories: Sequences) -> Floats:
        scores = self._scores(histories) + 1.0 / len(self._counts)
        shares = scores / scores.sum(axis=1, keepdims=True)
        return np.asarray(np.log(shares), dtype=np.float32)

    def _scores(self, histories: Sequences) -> Floats:
        popular = self._counts / (self._counts.max(initial=0.0) + 1.0)
        scores = np.tile(popular, (len(histories), 1))
        some = np.flatnonzero(histories.lengths)
        last = histories.items[histories.offsets[1:][some] - 1]
        scores[some] += self._follows[last].toarray()
        return np.asarray(scores, dtype=np.float32)

    def state(self) -> Arrays:
        """The transition counts as CSR (`data`, `indices`, `indptr`), and `counts` (N,)."""
        follows = self._follows
        return {
            "data": follows.data,
            "indices": follows.indices.astype(np.int32),
            "indptr": follows.indptr.astype(np.int64),
            "counts": self._counts,
        }

    def _load_state(self, state: Arrays, table: IdTable, device: str) -> None:
        parts = (state["data"], state["indices"], state["indptr"])
        self._follows = sparse.csr_array(parts, shape=(len(table), len(table)))
        self._counts = np.asarray(state["counts"], dtype=np.float32)


def _blocks(count: int, height: int) -> list[npt.NDArray[np.int64]]:
    return [np.arange(at, min(at + height, count)) for at in range(0, max(count, 1), height)]
