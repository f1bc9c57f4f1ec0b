"""Which items a training step sees: single items, or triggers joined with their targets.

Shape letters: B rows of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from sidmint.errors import BadInput
from sidmint.quantization.collective import num_processes, own_rows
from sidmint.types import Pairs


@dataclass(frozen=True)
class Batch:
    """Rows of one step. The first `num_pairs` are triggers, the next `num_pairs` their targets."""

    rows_B: Tensor
    num_pairs: int = 0
    share: Share | None = None
    """Which part of a batch this is; none where it is a whole one."""

    def draw_normal(self, num_columns: int, generator: Generator) -> Tensor:
        """Normal numbers (B, `num_columns`).

        All processes draw those of the whole batch: their generators stay alike, and a row
        gets the same numbers whoever does it.
        """
        return self._own(torch.randn(self._num_rows, num_columns, generator=generator))

    def draw_uniform(self, num_columns: int, generator: Generator) -> Tensor:
        """Numbers from 0 to 1, (B, `num_columns`), drawn as `draw_normal` draws."""
        return self._own(torch.rand(self._num_rows, num_columns, generator=generator))

    @property
    def _num_rows(self) -> int:
        return len(self.rows_B) if self.share is None else self.share.num_rows

    def _own(self, whole: Tensor) -> Tensor:
        return whole if self.share is None else whole[self.share.places_B]


@dataclass(frozen=True)
class Share:
    """The part of a whole batch that one process takes."""

    places_B: Tensor
    """Where its rows were in the whole."""
    num_rows: int
    """Of the whole."""

    @property
    def weight(self) -> float:
        """Its share of the rows: with it, means over shares add up to the mean over all."""
        return len(self.places_B) / self.num_rows


def own_share(batch: Batch, where: str) -> Batch:
    """The part of `batch` that is this process' to do; a trigger keeps its target.

    Raises `BadInput` naming `where` (the key in params.yaml) for fewer rows than processes.
    """
    if num_processes() == 1:
        return batch
    num_units = batch.num_pairs or len(batch.rows_B)
    if num_units < num_processes():
        raise BadInput(
            f"a batch of {num_units} {'pairs' if batch.num_pairs else 'items'} cannot be shared by "
            f"{num_processes()} processes; raise {where}.batch_size or lower train.processes"
        )
    places_B = torch.arange(num_units)[own_rows(num_units)]
    num_pairs = len(places_B) if batch.num_pairs else 0
    if num_pairs:
        places_B = torch.cat([places_B, places_B + num_units])
    return Batch(batch.rows_B[places_B], num_pairs, Share(places_B, len(batch.rows_B)))


@dataclass(frozen=True)
class Split:
    """Row numbers to train on, and row numbers held out to judge by."""

    training: Tensor
    validation: Tensor


Sampler = Callable[[int, int, Generator], Iterator[Batch]]
"""(number of batches, rows a batch, generator) -> batches."""


def split_rows(num_rows: int, share: float, generator: Generator) -> Split:
    """A seeded random split with at least one row on either side."""
    order = torch.randperm(num_rows, generator=generator)
    held_out = min(max(1, round(share * num_rows)), num_rows - 1)
    return Split(order[held_out:].sort().values, order[:held_out].sort().values)


class SingleItems:
    """Batches of items drawn without replacement within a pass.

    `groups`, asked before each pass, numbers the group of every row: items of one group then
    come side by side and so share a batch, while groups come in random order. Repulsion sees
    a collision only when both items are in one batch, which by chance is rare.
    """

    def __init__(self, rows: Tensor, groups: Callable[[Tensor], Tensor] | None = None) -> None:
        self.rows, self.groups = rows, groups

    def __call__(self, num_batches: int, size: int, generator: Generator) -> Iterator[Batch]:
        """Each batch has `size` rows, or all of them where there are fewer."""
        size = min(size, len(self.rows))
        waiting = self.rows[:0]
        for _ in range(num_batches):
            if len(waiting) < size:
                waiting = self._pass(generator)
            yield Batch(waiting[:size])
            waiting = waiting[size:]

    def _pass(self, generator: Generator) -> Tensor:
        rows = self.rows[torch.randperm(len(self.rows), generator=generator)]
        if self.groups is None:
            return rows
        groups = self.groups(rows)
        places = torch.randperm(int(groups.max()) + 1, generator=generator)
        return rows[torch.argsort(places[groups], stable=True)]


class PairedItems:
    """Batches that join B triggers and their B targets (QuaSID 4.1): 2B instances.

    Every training item is a trigger once in a pass, whether it was seen with others or not:
    were only pairs drawn, items without any would never be reconstructed. A trigger's target
    is drawn among its pairs by their scores; an item without pairs is its own target, which
    the losses know as the same item. Held-out items are no targets.
    """

    def __init__(
        self,
        rows: Tensor,
        pairs: Pairs,
        num_items: int,
        groups: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        triggers, targets, scores = _between(rows.numpy(), pairs, num_items)
        order = np.argsort(triggers, kind="stable")
        self._triggers = SingleItems(rows, groups)
        self._targets = torch.from_numpy(targets[order].astype(np.int64))
        self._ends = torch.from_numpy(np.cumsum(np.bincount(triggers, minlength=num_items)))
        self._mass = torch.from_numpy(np.cumsum(scores[order], dtype=np.float64))

    def __call__(self, num_batches: int, size: int, generator: Generator) -> Iterator[Batch]:
        """Each batch has `size` // 2 triggers, then as many targets."""
        for batch in self._triggers(num_batches, max(1, size // 2), generator):
            triggers_B = batch.rows_B
            targets_B = self._draw_targets(triggers_B, generator)
            yield Batch(torch.cat([triggers_B, targets_B]), len(triggers_B))

    def _draw_targets(self, triggers_B: Tensor, generator: Generator) -> Tensor:
        draws_B = torch.rand(len(triggers_B), generator=generator, dtype=torch.float64)
        ends_B = self._ends[triggers_B]
        starts_B = torch.where(triggers_B > 0, self._ends[(triggers_B - 1).clamp(min=0)], 0)
        mass = torch.cat([self._mass.new_zeros(1), self._mass])
        wanted_B = mass[starts_B] + draws_B * (mass[ends_B] - mass[starts_B])
        drawn_B = torch.searchsorted(self._mass, wanted_B, right=True)
        drawn_B = torch.minimum(torch.maximum(drawn_B, starts_B), ends_B - 1)
        alone_B = starts_B == ends_B
        return torch.where(alone_B, triggers_B, self._targets[drawn_B.clamp(min=0)])


def check_pairs(pairs: Pairs | None, num_items: int, name: str) -> Pairs:
    """`pairs`, if they are there, name known rows and have positive scores; else `BadInput`."""
    if pairs is None or not len(pairs):
        raise BadInput(
            f"tokenizer {name!r} learns from item pairs and got none; give it those of the pairs "
            "stage (lower pairs.min_common_users or pairs.min_score if it found none), or take "
            f"what needs pairs (of losses, or align) out of tokenizers.{name}"
        )
    for side, rows in (("trigger", pairs.triggers), ("target", pairs.targets)):
        bad = np.flatnonzero((rows < 0) | (rows >= num_items))
        if len(bad):
            raise BadInput(
                f"pair {int(bad[0])} names {side} row {int(rows[bad[0]])}, but there are "
                f"{num_items} items (rows 0 to {num_items - 1}); number pairs by the rows of the "
                "vectors that are fitted"
            )
    if not (np.isfinite(pairs.scores) & (pairs.scores > 0)).all():
        raise BadInput(
            "pair scores must be positive and finite; they are what targets are drawn by"
        )
    return pairs


def _between(rows: np.ndarray, pairs: Pairs, num_items: int) -> tuple[np.ndarray, ...]:
    """Triggers, targets and scores of the pairs whose items are both among `rows`."""
    among = np.zeros(num_items, dtype=bool)
    among[rows] = True
    kept = among[pairs.triggers] & among[pairs.targets] & (pairs.triggers != pairs.targets)
    if not kept.any():
        raise BadInput("no pair joins two items that are trained on; the pairs are too few")
    return pairs.triggers[kept], pairs.targets[kept], pairs.scores[kept]
