"""semantic_knn: what is like the last items, by their vectors. The floor for cold items."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from sidmint.errors import BadInput
from sidmint.neighbours import build_index, on_device, search
from sidmint.progress import Track
from sidmint.recommenders.base import (
    RECOMMENDERS,
    Arrays,
    FitReport,
    Recommendations,
    Recommender,
    without_history,
)
from sidmint.recommenders.id_table import IdTable
from sidmint.recommenders.sequences import HeldOut, Sequences
from sidmint.settings import Settings
from sidmint.types import Floats

_TEMPERATURE = 0.1
"""Of the cosines, where they are read as probabilities."""


class SemanticKnnConfig(Settings):
    """Settings of `semantic_knn`."""

    last: int = Field(3, ge=1)
    """How many of the newest items speak for a user."""
    decay: float = Field(0.6, gt=0, le=1)
    """Weight of an item against that of the one after it."""


@RECOMMENDERS.register("semantic_knn")
class SemanticKnn(Recommender):
    """score(i) = cos(v_i, sum over the last n items of decay^age v): one search in a faiss index.

    The items that speak are not recommended themselves: each would be nearest to itself. An
    empty history asks with the mean vector of training events.
    """

    name = "semantic_knn"
    Config: ClassVar[type[Settings]] = SemanticKnnConfig
    config: SemanticKnnConfig

    def _fit(
        self,
        sequences: Sequences,
        table: IdTable,
        validation: HeldOut | None,
        seed: int,
        device: str,
        track: Track,
    ) -> FitReport:
        if table.vectors is None:
            raise BadInput("semantic_knn looks items up by their vectors; the table has none")
        self._vectors = np.ascontiguousarray(table.vectors, dtype=np.float32)
        counts = np.bincount(sequences.items, minlength=len(table)).astype(np.float32)
        self._everybody = (counts @ self._vectors / max(counts.sum(), 1.0)).astype(np.float32)
        self._index = on_device(build_index(self._vectors))
        return FitReport()

    def _recommend(self, histories: Sequences, k: int, track: Track) -> Recommendations:
        speaking = histories.last(self.config.last)
        wanted = min(k + self.config.last, len(self._vectors))
        rows, cosines = search(self._index, self._queries(speaking), wanted)
        found = without_history(Recommendations(rows, cosines), speaking)
        return Recommendations(found.items[:, :k], found.scores[:, :k])

    def _predictions(self, histories: Sequences) -> Floats:
        queries = self._queries(histories.last(self.config.last))
        norms = np.linalg.norm(queries, axis=1, keepdims=True)
        lengths = np.linalg.norm(self._vectors, axis=1)
        cosines = (queries / np.maximum(norms, 1e-12)) @ self._vectors.T
        scaled = cosines / np.maximum(lengths, 1e-12) / _TEMPERATURE
        top = scaled.max(axis=1, keepdims=True)
        total = np.log(np.exp(scaled - top).sum(axis=1, keepdims=True))
        return np.asarray(scaled - top - total, dtype=np.float32)

    def _queries(self, speaking: Sequences) -> Floats:
        """(U, D): the weighted sum of the items that speak."""
        lengths = speaking.lengths
        users = np.repeat(np.arange(len(speaking)), lengths)
        age = np.repeat(speaking.offsets[1:], lengths) - 1 - np.arange(len(speaking.items))
        weights = (self.config.decay ** age.astype(np.float32))[:, None]
        queries = np.zeros((len(speaking), self._vectors.shape[1]), dtype=np.float32)
        np.add.at(queries, users, weights * self._vectors[speaking.items])
        queries[lengths == 0] = self._everybody
        return queries

    def state(self) -> Arrays:
        """`vectors` (N, D) in the order of ids, and `everybody` (D,)."""
        return {"vectors": self._vectors, "everybody": self._everybody}

    def _load_state(self, state: Arrays, table: IdTable, device: str) -> None:
        self._vectors = np.ascontiguousarray(state["vectors"], dtype=np.float32)
        self._everybody = np.asarray(state["everybody"], dtype=np.float32)
        self._index = on_device(build_index(self._vectors))
