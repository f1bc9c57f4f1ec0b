"""What every recommender can do: learn from sequences and ids, and rank items for a history.

Items enter in any row order. Inside, they stand in the order of their Semantic IDs, so that a
permuted catalogue gives permuted lists to the bit, and ties go to the smaller id.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from sidmint.errors import BadInput
from sidmint.progress import Track, silent
from sidmint.recommenders.id_table import IdTable
from sidmint.recommenders.sequences import HeldOut, Sequences
from sidmint.registry import Registry
from sidmint.settings import Settings
from sidmint.types import Floats, Ints

RECOMMENDERS: Registry[type[Recommender]] = Registry("recommender")

Arrays = Mapping[str, npt.NDArray[Any]]
"""Learned numbers by name: what safetensors keeps."""


@dataclass(frozen=True)
class Recommendations:
    """`items` (U, k) item rows, best first, -1 where there is none; `scores` (U, k) falling."""

    items: Ints
    scores: Floats


@dataclass(frozen=True)
class FitReport:
    """How a fit went: one row a check on the validation cases, and what it chose, in words."""

    curve: tuple[Mapping[str, float], ...] = ()
    notes: tuple[str, ...] = ()


class Recommender(ABC):
    """A recommender with its settings; `fit` it, then ask it.

    Subclasses see items by their place in the order of Semantic IDs (`_fit`, `_recommend`).
    """

    name: ClassVar[str]
    Config: ClassVar[type[Settings]] = Settings
    """Its settings, under `recommend.settings` in params.yaml."""
    reads_codes: ClassVar[bool] = False
    """Whether it knows an item by the codes of its id alone, and so `moved_to` other tables."""

    def __init__(self, config: Settings | None = None) -> None:
        self.config = self.Config() if config is None else config
        self._order: npt.NDArray[np.intp] | None = None
        self._rank: Ints | None = None

    def fit(
        self,
        sequences: Sequences,
        table: IdTable,
        validation: HeldOut | None = None,
        *,
        seed: int,
        device: str = "cpu",
        track: Track = silent,
    ) -> FitReport:
        """Learn from training `sequences` of item rows of `table`.

        `validation` cases choose between checkpoints where training is iterative, and are
        never trained on. Two calls with equal arguments on one machine learn the same bits.
        Raises `BadInput` for sequences that name a row that `table` does not have.
        """
        for name, events in (
            ("training", sequences.items),
            ("validation", validation.targets if validation else None),
        ):
            self._check_rows(events, len(table), name)
        order, rank = self._sort(table)
        held_out = validation and HeldOut(
            validation.histories.mapped(rank), rank[validation.targets]
        )
        return self._fit(sequences.mapped(rank), table.sorted(order), held_out, seed, device, track)

    def recommend(
        self, histories: Sequences, k: int, *, exclude_history: bool = False, track: Track = silent
    ) -> Recommendations:
        """The `k` best items after each of `histories`, ties by Semantic ID.

        `exclude_history` leaves out what stands in a user's own history. An empty history is
        served with what suits everybody. Raises `BadInput` where `k` is below 1 or above the
        number of items.
        """
        order, rank = self._fitted()
        if not 1 <= k <= len(order):
            raise BadInput(f"wanted the best {k} of {len(order)} items; k lies between 1 and that")
        self._check_rows(histories.items, len(order), "history")
        own = histories.mapped(rank)
        spare = int(_num_distinct(own).max(initial=0)) if exclude_history else 0
        found = self._recommend(own, min(len(order), k + spare), track)
        if exclude_history:
            found = without_history(found, own)
        items = np.where(found.items >= 0, order[found.items], -1)[:, :k].astype(np.int32)
        return Recommendations(items, np.ascontiguousarray(found.scores[:, :k]))

    def predictions(self, histories: Sequences) -> Floats:
        """(U, C) log-probabilities of what comes next: over items or over first codes.

        Which of them is the recommender's own; health compares them between histories.
        """
        _, rank = self._fitted()
        return self._predictions(histories.mapped(rank))

    def moved_to(self, table: IdTable) -> Self:
        """The same knowledge over another `table`, nothing learned anew.

        For items that got ids after training, and for ids of a tokenizer that was trained again:
        how good lists are then is how much of the old meaning the codes have kept. Raises
        `BadInput` for a recommender that knows items and not their codes.
        """
        raise BadInput(
            f"{self.name} knows items, and not the codes of their ids; fit it on the new table"
        )

    def item_vectors(self) -> Floats | None:
        """What it knows of each item of its table (N, c), rows as the table; None for most.

        A recommender that reads ids has no vector an item.
        """
        return None

    @abstractmethod
    def _fit(
        self,
        sequences: Sequences,
        table: IdTable,
        validation: HeldOut | None,
        seed: int,
        device: str,
        track: Track,
    ) -> FitReport: ...

    @abstractmethod
    def _recommend(self, histories: Sequences, k: int, track: Track) -> Recommendations: ...

    @abstractmethod
    def _predictions(self, histories: Sequences) -> Floats: ...

    @abstractmethod
    def state(self) -> Arrays:
        """What was learned, as plain arrays."""

    @abstractmethod
    def _load_state(self, state: Arrays, table: IdTable, device: str) -> None: ...

    def load_state(self, state: Arrays, table: IdTable, device: str = "cpu") -> None:
        """Become the recommender that `state` was taken from, over the same `table`."""
        order, _ = self._sort(table)
        self._load_state(state, table.sorted(order), device)

    def _sort(self, table: IdTable) -> tuple[npt.NDArray[np.intp], Ints]:
        """Table rows by rising Semantic ID, and the place of each row among them."""
        self._order = order = table.order()
        self._rank = rank = np.empty(len(order), dtype=np.int32)
        rank[order] = np.arange(len(order), dtype=np.int32)
        return order, rank

    def _fitted(self) -> tuple[npt.NDArray[np.intp], Ints]:
        if self._order is None or self._rank is None:
            raise BadInput(f"{self.name} has learned nothing yet; fit it first")
        return self._order, self._rank

    def _check_rows(self, rows: Ints | None, num_items: int, name: str) -> None:
        if rows is not None and len(rows) and not 0 <= rows.min() <= rows.max() < num_items:
            raise BadInput(
                f"a {name} event names item row {rows.max() if rows.min() >= 0 else rows.min()}, "
                f"but the table has {num_items} Semantic IDs; every item of the log wants one"
            )


def best_of(scores_UN: Floats, k: int) -> Recommendations:
    """The `k` highest of each row; equal scores go to the lower row. -inf is no candidate."""
    num_items = scores_UN.shape[1]
    k = min(k, num_items)
    items = np.empty((len(scores_UN), k), dtype=np.int32)
    for row, scores in enumerate(scores_UN):
        floor = np.partition(scores, num_items - k)[num_items - k]
        above = np.flatnonzero(scores > floor)
        level = np.flatnonzero(scores == floor)[: k - len(above)]
        chosen = np.sort(np.concatenate([above, level]))
        items[row] = chosen[np.argsort(-scores[chosen], kind="stable")]
    scores = np.take_along_axis(scores_UN, items, axis=1).astype(np.float32)
    return Recommendations(np.where(np.isneginf(scores), -1, items).astype(np.int32), scores)


def without_history(found: Recommendations, histories: Sequences) -> Recommendations:
    """The lists with a user's own items taken out; the places that fall free are at the end."""
    longest = int(histories.lengths.max(initial=0))
    if not longest:
        return found
    own = histories.padded(longest)
    taken = np.zeros(found.items.shape, dtype=bool)
    for place in range(longest):
        taken |= (found.items == own[:, place, None]) & (found.items >= 0)
    order = np.argsort(taken, axis=1, kind="stable")
    items = np.where(taken, -1, found.items)
    scores = np.where(taken, -np.inf, found.scores).astype(np.float32)
    return Recommendations(
        np.take_along_axis(items, order, axis=1), np.take_along_axis(scores, order, axis=1)
    )


def _num_distinct(histories: Sequences) -> npt.NDArray[np.int64]:
    """Distinct items of each history."""
    users = np.repeat(np.arange(len(histories)), histories.lengths)
    pairs = np.unique(np.stack([users, histories.items]), axis=1)
    return np.bincount(pairs[0].astype(np.int64), minlength=len(histories))
