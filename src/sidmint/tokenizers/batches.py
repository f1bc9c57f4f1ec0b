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
from sidmint.types import Pairs


@dataclass(frozen=True)
class Batch:
    """Rows of one step. The first `num_pairs` are triggers, the next `num_pairs` their targets."""

    rows_B: Tensor
    num_pairs: int = 0


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
    """Batches of items drawn without replacement within a pass."""

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    def __call__(self, num_batches: int, size: int, generator: Generator) -> Iterator[Batch]:
        """Each batch has `size` rows, or all of them where there are fewer."""
        size = min(size, len(self.rows))
        waiting = self.rows[:0]
        for _ in range(num_batches):
            if len(waiting) < size:
                waiting = self.rows[torch.randperm(len(self.rows), generator=generator)]
            yield Batch(waiting[:size])
            waiting = waiting[size:]


class PairedItems:
    """Batches that join B triggers and their B targets (QuaSID 4.1): 2B instances.

    Every training item is a trigger once in a pass, whether it was seen with others or not:
    were only pairs drawn, items without any would never be reconstructed. A trigger's target
    is drawn among its pairs by their scores; an item without pairs is its own target, which
    the losses know as the same item. Held-out items are no targets.
    """

    def __init__(self, rows: Tensor, pairs: Pairs, num_items: int) -> None:
        triggers, targets, scores = _between(rows.numpy(), pairs, num_items)
        order = np.argsort(triggers, kind="stable")
        self._triggers = SingleItems(rows)
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
            f"the losses that need pairs out of tokenizers.{name}.losses"
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
