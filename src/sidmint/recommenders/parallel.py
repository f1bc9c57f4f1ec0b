"""parallel: all codes of the next item at once, and the exact score of every item (RPG).

Hou et al., "Generating Long Semantic IDs in Parallel for Recommendation", KDD 2025. Made for
long unordered ids (m = 16 to 64 codes); works on any.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from sidmint.recommenders.base import RECOMMENDERS
from sidmint.recommenders.id_table import IdTable
from sidmint.recommenders.moving import level_by_level
from sidmint.recommenders.neural import NeuralConfig, StateRecommender
from sidmint.recommenders.top import top_ranked
from sidmint.recommenders.transformer import CausalTransformer
from sidmint.settings import Settings


class ParallelConfig(NeuralConfig):
    """Settings of `parallel`; the paper's own width is 448 and dropout .5."""

    width: int = Field(128, ge=4)
    dropout: float = Field(0.5, ge=0, lt=1)
    temperature: float = Field(0.05, gt=0)
    """Of the cosines; the paper searches .03 to .07."""


class ParallelModule(nn.Module):
    """Code embeddings of all levels in one table, read and written alike."""

    codes: Tensor

    def __init__(self, codes: Tensor, sizes: Sequence[int], config: ParallelConfig) -> None:
        super().__init__()
        width, self.sizes = config.width, list(sizes)
        starts = torch.from_numpy(np.concatenate([[0], np.cumsum(sizes)[:-1]]))
        self.register_buffer("codes", codes + starts, persistent=False)
        self.embeddings = nn.Parameter(torch.randn(sum(sizes), width) * 0.02)
        self.body = CausalTransformer(
            width, config.layers, config.heads, config.dropout, config.max_length
        )
        self.head_weights = nn.Parameter(torch.randn(len(sizes), width, width) / width**0.5)
        self.head_offsets = nn.Parameter(torch.zeros(len(sizes), width))
        self.temperature = config.temperature

    def inputs(self, rows_BT: Tensor) -> Tensor:
        """Item inputs (B, T, d): the mean of the item's code embeddings."""
        return functional.embedding_bag(
            self.codes[rows_BT.clamp(min=0)].flatten(0, 1), self.embeddings, mode="mean"
        ).view(*rows_BT.shape, -1)

    def log_probabilities(self, known_Bd: Tensor) -> Tensor:
        """(B, sum of K): a log-softmax within each level.

        g_j = h + SiLU(W_j h + b_j); logits of level j = cos(g_j, E_j) / temperature.
        """
        hidden = torch.einsum("bd,jde->bje", known_Bd, self.head_weights) + self.head_offsets
        heads = functional.normalize(known_Bd.unsqueeze(1) + functional.silu(hidden), dim=-1)
        tables = torch.split(functional.normalize(self.embeddings, dim=-1), self.sizes)
        levels = [
            functional.log_softmax(heads[:, level] @ table.T / self.temperature, dim=1)
            for level, table in enumerate(tables)
        ]
        return torch.cat(levels, dim=1)


@RECOMMENDERS.register("parallel")
class Parallel(StateRecommender):
    """score(i) = sum_j log p_j(code_j(i)), exact over the catalogue: one gather, no beam."""

    name = "parallel"
    reads_codes = True
    Config: ClassVar[type[Settings]] = ParallelConfig
    config: ParallelConfig
    module: ParallelModule
    batch_users = 128

    def build(self, table: IdTable) -> ParallelModule:
        """Code embeddings from N(0, .02^2)."""
        codes = torch.from_numpy(table.codes.values).long()
        return ParallelModule(codes, table.sizes, self.config)

    def moved_to(self, table: IdTable) -> Self:
        """Embeddings of codes that nobody has met are zero: no head is near them or far."""
        sizes = self.module.sizes
        return self._moved_to(
            table,
            lambda to: {
                "embeddings": level_by_level(self.module.embeddings, sizes, to.module.sizes)
            },
        )

    def states(self, rows_BT: Tensor) -> Tensor:
        """(B, T + 1, d)."""
        return self.module.body(self.module.inputs(rows_BT))  # type: ignore[no-any-return]

    def loss(self, rows_BT: Tensor) -> Tensor:
        """Mean over events and levels of -log p_j(code_j | events before)."""
        is_event = rows_BT >= 0
        known = self.states(rows_BT[:, :-1])[is_event]
        log_probs = self.module.log_probabilities(known)
        return -log_probs.gather(1, self.module.codes[rows_BT[is_event]]).mean()

    def best(self, known_Bd: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """By the exact score."""
        log_probs = self.module.log_probabilities(known_Bd)
        scores = log_probs.new_zeros((len(known_Bd), self.num_items))
        for codes_N in self.module.codes.T:
            scores += log_probs[:, codes_N]
        return top_ranked(scores, k)

    def log_probabilities(self, known_Bd: Tensor) -> Tensor:
        """Over first codes (B, K_1)."""
        return self.module.log_probabilities(known_Bd)[:, : self.module.sizes[0]]
