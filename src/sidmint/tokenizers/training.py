"""The training loop of every gradient tokenizer; there is no other.

Seeded batches over a training part, a check on a held-out part every so often, early
stopping, and the best checked state put back at the end.

Where several processes share a fit (`quantization.collective`), all draw the same batches and
each takes its part of every one. Losses and gradients are then means of those of the parts,
weighted by rows: for a loss that is a mean over rows they are those of the whole batch. What
compares the rows of a batch with each other (HaMR, InfoNCE, balanced codes) sees those of
its own part alone, as it would in a smaller batch.
"""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from sidmint.errors import BadInput
from sidmint.progress import Track, silent
from sidmint.quantization.collective import from_first, num_processes, own_rows, summed
from sidmint.quantization.residual import ResidualWalk
from sidmint.settings import Settings
from sidmint.tokenizers.base import CurvePoint, code_usage
from sidmint.tokenizers.batches import Batch, Sampler, Share, own_share

NUM_CHECKS = 40
"""Checks on the held-out part over a whole schedule, evenly spaced."""


class Schedule(Settings):
    """How long and how fast a module is trained."""

    steps: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    """Peak of the one-cycle schedule: up over the first 5 % of steps, then down to nothing."""
    patience: int = Field(ge=1)
    """Checks without a new best before training stops."""


@dataclass(frozen=True)
class Losses:
    """What one batch cost."""

    total: Tensor
    """What is minimised."""
    judged: Tensor
    """What a checkpoint is judged by: the total without terms that depend on the latent's scale."""
    terms: Mapping[str, Tensor] = field(default_factory=dict)
    walk: ResidualWalk | None = None
    """Of a quantized step: its codes are counted, and codebooks that learn from it do."""


Objective = Callable[[Batch], Losses]


def train(
    module: nn.Module,
    objective: Objective,
    sampler: Sampler,
    validation: Tensor,
    schedule: Schedule,
    generator: Generator,
    where: str,
    label: str = "training",
    sizes: tuple[int, ...] = (),
    judged: bool = True,
    after_step: Callable[[Losses], None] | None = None,
    track: Track = silent,
) -> tuple[list[CurvePoint], int]:
    """Minimise `objective` over the parameters of `module`, on the batches of `sampler`.

    Returns the curve and the number of steps taken; `module` is left in the state that cost
    least on the rows `validation`, or in its last one unless `judged` by them. Adam.
    `after_step` is for what learns without gradient.
    Two runs with one generator seed on one machine give the same bits, and so do the
    processes of one run. Raises `BadInput` naming `where` (the key in params.yaml) when a loss
    is no longer finite.
    """
    _start_alike(module)
    optimizer = torch.optim.Adam(module.parameters(), lr=schedule.learning_rate, fused=True)
    rate = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, schedule.learning_rate, total_steps=schedule.steps + 1, pct_start=0.05
    )
    every = max(1, schedule.steps // NUM_CHECKS)
    best, best_state, waited = math.inf, _copy_state(module), 0
    window, curve, step = _Window(sizes), list[CurvePoint](), 0
    batches = sampler(schedule.steps, schedule.batch_size, generator)
    with _reproducible():
        for step, whole in enumerate(track(batches, label, schedule.steps), start=1):
            batch = own_share(whole, where)
            losses = objective(batch)
            optimizer.zero_grad(set_to_none=True)
            losses.total.backward()  # type: ignore[no-untyped-call]
            costs = _over_processes(losses, module, batch.share)
            _refuse_divergence(costs, step, where, schedule)
            optimizer.step()
            rate.step()
            if after_step:
                after_step(losses)
            window.add(costs, losses.walk)
            if step % every and step != schedule.steps:
                continue
            curve += window.close(step)
            cost = _validate(objective, validation, schedule.batch_size)
            curve.append(CurvePoint(step, "validation_judged", cost))
            waited += 1
            if cost < best:
                best, best_state, waited = cost, _copy_state(module), 0
            if judged and waited >= schedule.patience:
                break
    if judged:
        module.load_state_dict(best_state)
    return curve, step


class _Window:
    """Means of the loss terms, and code usage, over the batches since the last check."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        self.sizes = sizes
        self._clear()

    def add(self, costs: Mapping[str, float], walk: ResidualWalk | None) -> None:
        self.num_batches += 1
        for name, value in costs.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        if walk is not None:
            for counts, codes_B in zip(self.counts, walk.codes_NL.T, strict=True):
                counts += torch.bincount(codes_B.cpu(), minlength=len(counts))

    def close(self, step: int) -> list[CurvePoint]:
        points = [
            CurvePoint(step, name, value / self.num_batches) for name, value in self.sums.items()
        ]
        for level, counts in enumerate(self.counts, start=1):
            perplexity, num_dead = code_usage(summed(counts).numpy())
            points.append(CurvePoint(step, f"perplexity_{level}", perplexity))
            points.append(CurvePoint(step, f"dead_codes_{level}", float(num_dead)))
        self._clear()
        return points

    def _clear(self) -> None:
        self.num_batches = 0
        self.sums: dict[str, float] = {}
        self.counts = [torch.zeros(size, dtype=torch.int64) for size in self.sizes]


def _validate(objective: Objective, rows: Tensor, batch_size: int) -> float:
    """The judged loss of held-out items, which come without pairs; each process does its share."""
    own = rows[own_rows(len(rows))]
    with torch.no_grad():
        parts = torch.split(own, batch_size) if len(own) else ()
        sums = [float(objective(Batch(part)).judged) * len(part) for part in parts]
    return float(summed(torch.tensor(sum(sums), dtype=torch.float64))) / len(rows)


def _start_alike(module: nn.Module) -> None:
    """Give every process the state of the first, whatever rounding has done before."""
    if num_processes() > 1:
        for value in module.state_dict().values():
            value.copy_(from_first(value))


def _over_processes(losses: Losses, module: nn.Module, share: Share | None) -> dict[str, float]:
    """Loss and terms of the whole batch by name; the gradients of `module` become those of it.

    One sum over the processes a step. The same numbers come to all of them, so a loss that is
    not finite in one stops them all.
    """
    costs = {"loss": losses.total.detach()} | {
        name: value.detach() for name, value in losses.terms.items()
    }
    if share is None:
        return {name: float(value) for name, value in costs.items()}
    learned = [parameter for parameter in module.parameters() if parameter.requires_grad]
    parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in learned]
    sizes = [len(costs), *(part.numel() for part in parts)]
    flat = torch.cat([torch.stack(list(costs.values())), *(part.flatten() for part in parts)])
    summed_costs, *gradients = torch.split(summed(flat * share.weight), sizes)
    for parameter, gradient in zip(learned, gradients, strict=True):
        parameter.grad = gradient.view_as(parameter)
    return dict(zip(costs, summed_costs.tolist(), strict=True))


def _refuse_divergence(
    costs: Mapping[str, float], step: int, where: str, schedule: Schedule
) -> None:
    if math.isfinite(costs["loss"]):
        return
    bad = [name for name, cost in costs.items() if name != "loss" and not math.isfinite(cost)]
    raise BadInput(
        f"training diverged: loss {' and '.join(bad) or 'total'} is not a finite number at step "
        f"{step}; lower {where}.learning_rate (now {schedule.learning_rate:g})"
    )


def _copy_state(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


@contextmanager
def _reproducible() -> Iterator[None]:
    """Deterministic algorithms inside, what was set before outside."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it
    before = torch.are_deterministic_algorithms_enabled()
    settings: Any = importlib.import_module("torch.utils.deterministic")  # has no stubs
    filled = settings.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    settings.fill_uninitialized_memory = False  # filling costs time, and nothing reads it
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        settings.fill_uninitialized_memory = filled
