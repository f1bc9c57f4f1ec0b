"""sasrec: a causal transformer over item ids with the full softmax. The fair bar.

It uses no Semantic ID but for ties: what ids must be compared with.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sidmint.recommenders.base import RECOMMENDERS
from sidmint.recommenders.id_table import IdTable
from sidmint.recommenders.neural import NeuralConfig, StateRecommender
from sidmint.recommenders.softmax import softmax_loss
from sidmint.recommenders.top import top_ranked
from sidmint.recommenders.transformer import CausalTransformer
from sidmint.types import Floats


class SasRecModule(nn.Module):
    """One embedding an item, read and written alike."""

    def __init__(self, num_items: int, config: NeuralConfig) -> None:
        super().__init__()
        self.items = nn.Parameter(torch.randn(num_items, config.width) * 0.02)
        self.body = CausalTransformer(
            config.width, config.layers, config.heads, config.dropout, config.max_length
        )


@RECOMMENDERS.register("sasrec")
class SasRec(StateRecommender):
    """p(next = i) = softmax_i(h . e_i) over the whole catalogue (Kang & McAuley 2018).

    Cross-entropy over all items in place of the paper's binary loss on sampled negatives: with
    the latter SASRec looks 10 to 15 % worse than it is (Klenitskiy & Vasilev 2023).
    """

    name = "sasrec"
    module: SasRecModule

    def build(self, table: IdTable) -> SasRecModule:
        """Item embeddings from N(0, .02^2), as places are."""
        return SasRecModule(len(table), self.config)

    def item_vectors(self) -> Floats:
        """The embedding of each item (N, d)."""
        _, rank = self._fitted()
        return self.module.items.detach().float().cpu().numpy()[rank]  # type: ignore[no-any-return]

    def states(self, rows_BT: Tensor) -> Tensor:
        """(B, T + 1, d)."""
        return self.module.body(self.module.items[rows_BT.clamp(min=0)])  # type: ignore[no-any-return]

    def loss(self, rows_BT: Tensor) -> Tensor:
        """Mean over events of -log p(event | events before it)."""
        is_event = rows_BT >= 0
        known = self.states(rows_BT[:, :-1])[is_event]
        return softmax_loss(known, self.module.items, rows_BT[is_event])

    def best(self, known_Bd: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """By log-probability."""
        return top_ranked(self.log_probabilities(known_Bd), k)

    def log_probabilities(self, known_Bd: Tensor) -> Tensor:
        """Over items (B, N)."""
        return functional.log_softmax(known_Bd @ self.module.items.T, dim=1)
