"""A small click model: a factorization machine of user and item, and a perceptron beside it.

The user is the mean of the items clicked last, in the representation of the candidate:
nothing but the representation of items differs between two models of one budget.

Shape letters: B users asked for, C candidates a user, n items of a history, N items, w width,
F features.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from sidmint.errors import BadInput
from sidmint.progress import Track, silent
from sidmint.ranking.examples import Examples
from sidmint.ranking.representations import Bags
from sidmint.seeds import generator_for, seed_for
from sidmint.settings import Settings
from sidmint.types import Floats, Ints

_LEAST_WIDTH = 2
_LEAST_BATCH, _LEAST_STEPS = 64, 24
"""A small log wants small batches: an epoch of two steps teaches nothing."""
_PREDICTED_AT_ONCE = 4096


class ClickSettings(Settings):
    """The model and how it is trained, the same for every representation."""

    width: int = Field(16, ge=_LEAST_WIDTH)
    """Numbers an item where rows are scarce; a representation with fewer rows has wider ones."""
    hidden: int = Field(16, ge=1)
    history: int = Field(10, ge=1)
    """Newest items that stand for a user."""
    epochs: int = Field(8, ge=1)
    batch_size: int = Field(4096, ge=1)
    """Clicks a step, each with its negatives; fewer where an epoch would have under 24 steps."""
    learning_rate: float = Field(0.02, gt=0)
    """Of rows that are looked up, each met now and then."""
    dense_learning_rate: float = Field(0.001, gt=0)
    """Of matrices, which every example moves."""
    weight_decay: float = Field(1.0, ge=0)
    """AdamW's. It, the epochs and both rates were chosen on Beauty's events before the cut of
    the benchmark, the newest fifth of which judged."""


class ItemTower(nn.Module):
    """Every item as (N, w + 1) numbers: its vector, and what it adds to the log-odds alone."""

    features: Tensor
    offsets: Tensor
    vectors: Tensor

    def __init__(self, items: Bags | Floats, width: int, hidden: int) -> None:
        super().__init__()
        self.items = items
        if isinstance(items, Bags):
            self.rows = nn.Parameter(torch.randn(items.num_rows, width + 1) * width**-0.5 / 2)
            self.register_buffer("features", torch.from_numpy(items.features))
            self.register_buffer("offsets", torch.from_numpy(items.offsets[:-1].copy()))
        else:
            self.register_buffer("vectors", torch.from_numpy(items))
            self.layers = nn.Sequential(
                nn.Linear(items.shape[1], hidden), nn.ReLU(), nn.Linear(hidden, width + 1)
            )

    def forward(self) -> Tensor:
        """(N, w + 1)."""
        if isinstance(self.items, Bags):
            return functional.embedding_bag(self.features, self.rows, self.offsets, mode="sum")
        return self.layers(self.vectors)  # type: ignore[no-any-return]


class ClickModel(nn.Module):
    """log-odds(u, i) = b + b_i + <u, v_i> / sqrt(w) + MLP([u, v_i, u * v_i]).

    u is the mean of v over the history, 0 for an empty one.
    """

    def __init__(self, tower: ItemTower, width: int, hidden: int) -> None:
        super().__init__()
        self.tower, self.width = tower, width
        self.start = nn.Parameter(torch.zeros(()))
        self.cross = nn.Sequential(nn.Linear(3 * width, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, history_Bn: Tensor, candidates_BC: Tensor) -> Tensor:
        """Log-odds (B, C) of a click on each candidate; -1 in a history is no item."""
        items_Nw = self.tower()
        vectors_Nw = items_Nw[:, : self.width].contiguous()
        is_item = history_Bn >= 0
        offsets = functional.pad(is_item.sum(dim=1).cumsum(0)[:-1], (1, 0))
        users_Bw = functional.embedding_bag(history_Bn[is_item], vectors_Nw, offsets, mode="mean")
        found = functional.embedding(candidates_BC, items_Nw)
        vectors_BCw, alone_BC = found[..., : self.width], found[..., self.width]
        users_BCw = users_Bw[:, None].expand_as(vectors_BCw)
        product = users_BCw * vectors_BCw
        crossed = self.cross(torch.cat([users_BCw, vectors_BCw, product], dim=-1)).squeeze(-1)
        odds_BC: Tensor = self.start + alone_BC + product.sum(-1) * self.width**-0.5 + crossed
        return odds_BC


def num_parameters(model: nn.Module) -> int:
    """Numbers that are learned."""
    return sum(parameter.numel() for parameter in model.parameters())


def rows_within(budget: int, settings: ClickSettings) -> int:
    """Rows of `settings.width` that fit into a model of `budget` parameters.

    Raises `BadInput` where not two do.
    """
    rows = (budget - _head_size(settings.width, settings.hidden)) // (settings.width + 1)
    if rows < 2:
        least = _head_size(settings.width, settings.hidden) + 2 * (settings.width + 1)
        raise BadInput(f"{budget} parameters are too few for a click model; give {least} or more")
    return rows


def build_click_model(
    items: Bags | Floats, budget: int, settings: ClickSettings, seed: int
) -> ClickModel:
    """The model with the most parameters, at most `budget`, for this representation.

    Bags with few rows get wider rows, vectors a wider tower: what one representation spends on
    rows, another spends on what it makes of few. What is left over would not pay for one number
    more an item, or one more hidden unit of the tower. Raises `BadInput` where nothing fits.
    """
    torch.manual_seed(seed_for(seed, "ranking", "start"))
    width, tower_hidden = settings.width, 0
    if isinstance(items, Bags):
        width = _largest(
            lambda w: items.num_rows * (w + 1) + _head_size(w, settings.hidden), budget
        )
    else:
        size = items.shape[1]
        head = _head_size(width, settings.hidden)
        tower_hidden = _largest(lambda h: h * (size + 1) + (h + 1) * (width + 1) + head, budget)
    if width < _LEAST_WIDTH or (not isinstance(items, Bags) and tower_hidden < 1):
        raise BadInput(
            f"{budget} parameters are too few for items of this kind; give more, or leave the "
            "representation out"
        )
    return ClickModel(ItemTower(items, width, tower_hidden), width, settings.hidden)


def fit_clicks(
    model: ClickModel,
    examples: Examples,
    settings: ClickSettings,
    seed: int,
    label: str = "clicks",
    track: Track = silent,
) -> None:
    """Minimise the log-loss of clicks and negatives, each alike, by Adam; rates fall to zero.

    Batches are drawn by the seed's "batches", so that every representation sees the same. Two
    calls with equal arguments on one machine and number of threads learn the same bits.
    """
    history, candidates = _tensors(examples.history_items), _tensors(examples.candidates)
    clicked = torch.zeros(candidates.shape)
    clicked[:, 0] = 1
    with torch.no_grad():  # the base rate to start from
        model.start.fill_(-math.log(max(1, candidates.shape[1] - 1)))
    generator = generator_for(seed, "ranking", "batches")
    batch = min(settings.batch_size, max(_LEAST_BATCH, len(examples) // _LEAST_STEPS))
    steps = settings.epochs * math.ceil(len(examples) / batch)
    optimizer = torch.optim.AdamW(
        _parameter_groups(model, settings), weight_decay=settings.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    for epoch in track(range(settings.epochs), label, settings.epochs):
        order = torch.from_numpy(generator.permutation(len(examples)))
        for rows in order.split(batch):  # type: ignore[no-untyped-call]
            optimizer.zero_grad(set_to_none=True)
            loss = functional.binary_cross_entropy_with_logits(
                model(history[rows], candidates[rows]), clicked[: len(rows)]
            )
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        if not math.isfinite(loss.item()):
            raise BadInput(f"{label}: the loss is not finite in epoch {epoch + 1}")


def click_probabilities(
    model: ClickModel, history_items: Ints, candidates: Ints
) -> npt.NDArray[np.float64]:
    """p(click) (B, C) of each candidate after each history (B, n), -1 for no item."""
    history, asked = _tensors(history_items), _tensors(candidates)
    parts = []
    with torch.no_grad():
        for begin in range(0, len(asked), _PREDICTED_AT_ONCE):
            rows = slice(begin, begin + _PREDICTED_AT_ONCE)
            parts.append(torch.sigmoid(model(history[rows], asked[rows]).double()))
    return torch.cat(parts).numpy()


def _head_size(width: int, hidden: int) -> int:
    """Parameters beside the items: the perceptron and the start."""
    return hidden * (3 * width + 1) + hidden + 1 + 1


def _parameter_groups(model: ClickModel, settings: ClickSettings) -> list[dict[str, object]]:
    rows = [p for name, p in model.named_parameters() if name == "tower.rows"]
    dense = [p for name, p in model.named_parameters() if name != "tower.rows"]
    groups: list[dict[str, object]] = [{"params": dense, "lr": settings.dense_learning_rate}]
    return [*groups, {"params": rows, "lr": settings.learning_rate}] if rows else groups


def _largest(cost: Callable[[int], int], budget: int) -> int:
    """The largest number whose cost, which is linear in it, is within `budget`."""
    base = cost(0)
    return (budget - base) // (cost(1) - base)


def _tensors(rows: Ints) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(rows, dtype=np.int64))
