"""What each process of `processes.in_processes` does, for the tests of shared fits."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

import worlds
from sidmint.errors import BadInput
from sidmint.quantization import collective
from sidmint.tokenizers import make_tokenizer
from sidmint.tokenizers.batches import Batch, SingleItems, own_share
from sidmint.tokenizers.training import Losses, Schedule, train

Fitted = tuple[dict[str, np.ndarray], list[tuple[int, str, float]], list[float]]
Shared = tuple[list[int], int, list[list[float]], float]


def shares(num_rows: int) -> dict[str, Any]:
    """What the functions of `collective` give, of rows that name themselves."""
    own, rank = collective.own_rows(num_rows), collective.rank()
    rows = torch.arange(num_rows * 2.0).view(num_rows, 2)
    numbers = torch.tensor([num_rows - 1, 0, num_rows // 2, 0])
    return {
        "own": (own.start, own.stop),
        "gathered": collective.gathered(rows[own], num_rows).tolist(),
        "picked": collective.picked(rows[own], numbers).tolist(),
        "summed": collective.summed(torch.tensor([rank, 1])).tolist(),
        "first": int(collective.from_first(torch.tensor(rank + 10))),
        "num_rows": collective.num_rows_in_all(own.stop - own.start),
        "num_processes": collective.num_processes(),
    }


def batch_share(rows: list[int], num_pairs: int) -> Shared:
    """Of the own share of a batch: rows, pairs, normal numbers; and the next random number."""
    generator = torch.Generator().manual_seed(0)
    batch = own_share(Batch(torch.tensor(rows), num_pairs), "tokenizers.some")
    normal = batch.draw_normal(2, generator).tolist()
    after = float(torch.rand(1, generator=generator))
    return batch.rows_B.tolist(), batch.num_pairs, normal, after


def refusal(rows: list[int], num_pairs: int) -> str:
    """How a batch that is too small is refused."""
    try:
        own_share(Batch(torch.tensor(rows), num_pairs), "tokenizers.some")
    except BadInput as error:
        return str(error)
    return ""


def fit(name: str, settings: dict[str, Any], with_pairs: bool = False) -> Fitted:
    """State, curve and perplexities of a fit on smooth items."""
    vectors = worlds.smooth_items()
    pairs = worlds.neighbour_pairs(vectors) if with_pairs else None
    tokenizer = make_tokenizer(name, settings)
    log = tokenizer.fit(vectors, pairs, seed=3, device="cpu")
    curve = [(point.step, point.metric, point.value) for point in log.curve]
    return tokenizer.state(), curve, list(log.perplexities)


def overflow_in_the_last() -> str:
    """How training is refused whose loss is infinite in the last process alone."""
    module = nn.Linear(1, 1)

    def objective(batch: Batch) -> Losses:
        size = module(batch.rows_B[:, None].float()).square().mean()
        last = collective.rank() == collective.num_processes() - 1
        value = size * float("inf" if last else 1)
        return Losses(value, size, {"small": size, "large": value})

    rows = torch.arange(1, 11)
    schedule = Schedule(steps=4, batch_size=4, learning_rate=0.1, patience=1)
    generator = torch.Generator().manual_seed(0)
    try:
        train(module, objective, SingleItems(rows), rows, schedule, generator, "tokenizers.some")
    except BadInput as error:
        return str(error)
    return ""
