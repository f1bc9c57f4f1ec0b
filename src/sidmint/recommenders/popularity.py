"""popularity: the same list for everybody, by events in training. The floor."""

from __future__ import annotations

import numpy as np

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


@RECOMMENDERS.register("popularity")
class Popularity(Recommender):
    """score(i) = training events on i, whatever the history."""

    name = "popularity"

    def _fit(
        self,
        sequences: Sequences,
        table: IdTable,
        validation: HeldOut | None,
        seed: int,
        device: str,
        track: Track,
    ) -> FitReport:
        self._counts = np.bincount(sequences.items, minlength=len(table)).astype(np.float32)
        return FitReport()

    def _recommend(self, histories: Sequences, k: int, track: Track) -> Recommendations:
        one = best_of(self._counts[None], k)
        users = len(histories)
        return Recommendations(
            np.repeat(one.items, users, axis=0), np.repeat(one.scores, users, axis=0)
        )

    def _predictions(self, histories: Sequences) -> Floats:
        smoothed = self._counts + 1.0
        return np.tile(np.log(smoothed / smoothed.sum()), (len(histories), 1))

    def state(self) -> Arrays:
        """`counts` (N,)."""
        return {"counts": self._counts}

    def _load_state(self, state: Arrays, table: IdTable, device: str) -> None:
        self._counts = np.asarray(state["counts"], dtype=np.float32)
