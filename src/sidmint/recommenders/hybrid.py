"""hybrid: another recommender's list with some places given to semantic_knn: the cold floor."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from sidmint.errors import BadInput
from sidmint.progress import Track
from sidmint.recommenders.base import (
    RECOMMENDERS,
    Arrays,
    FitReport,
    Recommendations,
    Recommender,
)
from sidmint.recommenders.id_table import IdTable
from sidmint.recommenders.sequences import HeldOut, Sequences
from sidmint.settings import Settings, parse_settings
from sidmint.types import Floats, Ints


class HybridConfig(Settings):
    """Settings of `hybrid`."""

    base: str = "causal"
    settings: dict[str, Any] = Field(default_factory=dict)
    """Of the base."""
    one_in: int | None = Field(None, ge=2)
    """Every one_in-th place is semantic_knn's: 10 gives it the last of ten. None: of 2, 3, 5 and 10
    the one with the highest NDCG@10 on validation cases, 10 where there are none."""


_TRIED = (10, 5, 3, 2)
_JUDGED_AT, _MOST_CASES = 10, 5000


@RECOMMENDERS.register("hybrid")
class Hybrid(Recommender):
    """Places one_in, 2 one_in, ... show the nearest item that the list does not have yet.

    The list of k items begins the list of more. Scores are minus the place: those of the two
    sources cannot be compared.
    """

    name = "hybrid"
    Config: ClassVar[type[Settings]] = HybridConfig
    config: HybridConfig
    _one_in: int

    def __init__(self, config: Settings | None = None) -> None:
        super().__init__(config)
        if self.config.base in ("hybrid", "semantic_knn"):
            raise BadInput(f"hybrid mixes semantic_knn into another; base is {self.config.base}")
        kind = RECOMMENDERS[self.config.base]
        where = f"recommend.settings.settings ({self.config.base})"
        self._base = kind(parse_settings(kind.Config, self.config.settings, where))
        self._knn = RECOMMENDERS["semantic_knn"]()

    def _fit(
        self,
        sequences: Sequences,
        table: IdTable,
        validation: HeldOut | None,
        seed: int,
        device: str,
        track: Track,
    ) -> FitReport:
        self._knn.fit(sequences, table, seed=seed, device=device, track=track)
        report = self._base.fit(sequences, table, validation, seed=seed, device=device, track=track)
        cases = validation and validation.drawn(_MOST_CASES, seed)
        self._one_in = self.config.one_in or self._best_on(cases, len(table), track)
        return replace(
            report, notes=(*report.notes, f"one place in {self._one_in} is semantic_knn's")
        )

    def _best_on(self, cases: HeldOut | None, num_items: int, track: Track) -> int:
        """Of equal ones that which changes the base's list the least."""
        if not cases:
            return _TRIED[0]
        base, near = self._sources(cases.histories, min(_JUDGED_AT, num_items), track)
        return max(_TRIED, key=lambda one_in: cases.ndcg(_mixed(base, near, one_in)))

    def _sources(self, histories: Sequences, k: int, track: Track) -> tuple[Ints, Ints]:
        base = self._base.recommend(histories, k, track=track).items
        return base, self._knn.recommend(histories, k, track=track).items

    def _recommend(self, histories: Sequences, k: int, track: Track) -> Recommendations:
        items = _mixed(*self._sources(histories, k, track), self._one_in)
        places = -np.arange(1, k + 1, dtype=np.float32)
        return Recommendations(items, np.where(items >= 0, places, -np.inf).astype(np.float32))

    def _predictions(self, histories: Sequences) -> Floats:
        return self._base.predictions(histories)

    def state(self) -> Arrays:
        """The states of both, their names after `base.` and `knn.`, and `one_in` (1,)."""
        states = {
            f"{side}.{name}": value
            for side, inner in (("base", self._base), ("knn", self._knn))
            for name, value in inner.state().items()
        }
        return {**states, "one_in": np.array([self._one_in], dtype=np.int64)}

    def _load_state(self, state: Arrays, table: IdTable, device: str) -> None:
        for side, inner in (("base", self._base), ("knn", self._knn)):
            own = {
                name.removeprefix(f"{side}."): value
                for name, value in state.items()
                if name.startswith(f"{side}.")
            }
            inner.load_state(own, table, device)
        self._one_in = int(state["one_in"][0])


def _mixed(base: Ints, near: Ints, one_in: int) -> Ints:
    """Lists (U, k) of both: every `one_in`-th place is that of `near`."""
    lists = [_mix(*each, one_in) for each in zip(base, near, strict=True)]
    return np.array(lists, dtype=np.int32).reshape(base.shape)


def _mix(base: Ints, near: Ints, one_in: int) -> list[int]:
    """One list: each source in its order, no item twice, the other source where one ends."""
    sources = [iter(base[base >= 0].tolist()), iter(near[near >= 0].tolist())]
    taken: dict[int, None] = {}
    for place in range(1, len(base) + 1):
        order = sources if place % one_in else sources[::-1]
        fresh = (item for source in order for item in source if item not in taken)
        item = next(fresh, None)
        if item is None:
            break
        taken[item] = None
    return [*taken, *[-1] * (len(base) - len(taken))]
