"""What each process of `processes.in_processes` does, for the tests of shared fits."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

import worlds
from sidmint.errors import BadInput
from sidmint.quantization import collective, passes
from sidmint.rows import as_float32, rows_made
from sidmint.tokenizers import Tokenizer, make_tokenizer
from sidmint.tokenizers.batches import Batch, SingleItems, own_share
from sidmint.tokenizers.training import Losses, Schedule, train
from sidmint.types import Floats, Pairs

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
    return _fitted(make_tokenizer(name, settings), vectors, pairs)


def fit_in_passes(settings: dict[str, Any]) -> Fitted:
    """The same of `rq_kmeans`, to which the items are given a piece at a time."""
    vectors = rows_made(worlds.smooth_items(), as_float32, most_bytes=0)
    return _fitted(make_tokenizer("rq_kmeans", settings), vectors, None)


def with_duplicates() -> Floats:
    """Items of which two and more lie at one distance from anything."""
    return np.repeat(worlds.smooth_items(100), 4, axis=0)


def from_one_point(points: torch.Tensor, num_codes: int, _: torch.Generator) -> torch.Tensor:
    """A start that leaves all codes but the first empty."""
    return points[:1].expand(num_codes, -1).clone()


def reseeded_in_passes() -> list[tuple[int, list[int]]]:
    """How many codes of a level were given a point, and the codes that came of it."""
    usual, passes.started = passes.started, from_one_point
    try:
        vectors = rows_made(with_duplicates(), as_float32, most_bytes=0)
        generator = torch.Generator().manual_seed(3)
        levels = passes.residual_kmeans_in_passes(vectors, (30, 8), generator)
    finally:
        passes.started = usual
    return [(level.num_reseeded, level.codes_N.tolist()) for level in levels]


def _fitted(tokenizer: Tokenizer, vectors: Any, pairs: Pairs | None) -> Fitted:
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
