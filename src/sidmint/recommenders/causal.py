"""causal: one position an item, and a head a level that writes its Semantic ID code by code.

The transformer runs once a history whatever the beam, and its sequences are L times shorter
than those of models that read codes one by one (MARIUS; SID-MLP).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from sidmint.recommenders.base import RECOMMENDERS
from sidmint.recommenders.beam import beam_search
from sidmint.recommenders.id_table import IdTable
from sidmint.recommenders.moving import in_shape_of, known_nodes, node_by_node
from sidmint.recommenders.neural import NeuralConfig, StateRecommender
from sidmint.recommenders.prefixes import PrefixMemory
from sidmint.recommenders.transformer import CausalTransformer
from sidmint.recommenders.trie import Trie
from sidmint.settings import Settings


class CausalConfig(NeuralConfig):
    """Settings of `causal`."""

    width: int = Field(128, ge=4)
    heads: int = Field(4, ge=1)
    hidden: int = Field(256, ge=1)
    """Width of a level's head."""
    prefix_memory: bool = True
    """Whether prefixes have vectors of their own beside those that codes share (`PrefixMemory`)."""
    beam: int = Field(50, ge=1)
    """Beams at decoding time; at least as many as items are asked for."""


class Head(nn.Module):
    """p(c_l | h, c_<l): a hidden layer on the history and the sum of the codes so far."""

    def __init__(self, width: int, hidden: int, size: int) -> None:
        super().__init__()
        self.from_history = nn.Linear(width, hidden)
        self.from_codes = nn.Linear(width, hidden, bias=False)
        self.to_codes = nn.Linear(hidden, size)

    def forward(self, known: Tensor, so_far: Tensor | None) -> tuple[Tensor, Tensor]:
        """Logits (..., K) of states (..., d) and code sums that broadcast against them.

        And the hidden layer (..., hidden) that they came from.
        """
        hidden = self.from_history(known)
        if so_far is not None:
            hidden = hidden + self.from_codes(so_far)
        hidden = functional.gelu(hidden)
        return self.to_codes(hidden), hidden


class CausalModule(nn.Module):
    """Code embeddings a level, the transformer, a head a level; the ids as a buffer."""

    codes: Tensor

    def __init__(
        self, codes: Tensor, sizes: Sequence[int], trie: Trie, config: CausalConfig
    ) -> None:
        super().__init__()
        width = config.width
        self.register_buffer("codes", codes, persistent=False)
        self.embeddings = nn.ParameterList(
            nn.Parameter(torch.randn(size, width) * 0.02) for size in sizes
        )
        self.to_input = nn.Sequential(
            nn.Linear(width * len(sizes), 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.body = CausalTransformer(
            width, config.layers, config.heads, config.dropout, config.max_length
        )
        self.dropout = nn.Dropout(config.dropout)
        self.heads = nn.ModuleList(Head(width, config.hidden, size) for size in sizes)
        # An id of one code has no prefix that its code is not.
        has_prefixes = config.prefix_memory and trie.num_levels > 1
        self.memory = PrefixMemory(trie, width) if has_prefixes else None
        if self.memory is not None:
            self.to_queries = nn.ModuleList(nn.Linear(config.hidden, width) for _ in sizes[1:])

    def inputs(self, rows_BT: Tensor) -> Tensor:
        """Item inputs (B, T, d): the sum of the code embeddings, and what an MLP makes of them."""
        rows = rows_BT.clamp(min=0)
        codes = self.codes[rows]
        parts = [table[codes[..., level]] for level, table in enumerate(self.embeddings)]
        mixed = self.to_input(torch.cat(parts, dim=-1))
        if self.memory is not None:
            parts.append(self.memory.inputs(rows))
        return torch.stack(parts).sum(dim=0) + mixed  # type: ignore[no-any-return]

    def logits(
        self, level: int, known: Tensor, so_far: Tensor | None, nodes: Tensor | None
    ) -> Tensor:
        """Logits (..., K) of the code at `level`.

        Of states (..., d), the sum of the codes before it, and their trie nodes (...); both None
        at level 0.
        """
        logits, hidden = self.heads[level](known, so_far)
        if self.memory is None or nodes is None:
            return logits  # type: ignore[no-any-return]
        queries = (known + self.to_queries[level - 1](hidden)).flatten(0, -2)
        flat = self.memory.add_to(logits.flatten(0, -2), level, queries, nodes.flatten())
        return flat.view_as(logits)


@RECOMMENDERS.register("causal")
class Causal(StateRecommender):
    """p(item | history) = prod_l p(c_l | h, c_1 .. c_l-1), searched by a beam over the trie."""

    name = "causal"
    reads_codes = True
    Config: ClassVar[type[Settings]] = CausalConfig
    config: CausalConfig
    module: CausalModule

    def build(self, table: IdTable) -> CausalModule:
        """Sets up the trie as well: ids are part of what is decoded."""
        self._trie = Trie.of(table.codes.values, self._device)
        codes = torch.from_numpy(table.codes.values).long()
        return CausalModule(codes, table.sizes, self._trie, self.config)

    def moved_to(self, table: IdTable) -> Self:
        """A code that nobody has met has the least bias of its level, and no weights."""
        return self._moved_to(table, self._carried)

    def _carried(self, moved: Self) -> dict[str, Tensor]:
        special: dict[str, Tensor] = {}
        parameters = dict(self.module.named_parameters())
        for name, like in moved.module.named_parameters():
            if name.endswith("to_codes.bias") and name in parameters:
                bias = parameters[name]
                special[name] = in_shape_of(like, bias, float(bias.min()))
        memory, known = moved.module.memory, self.module.memory
        if memory is not None and known is not None:
            nodes = known_nodes(moved._trie, self._trie)[1:]
            for what in ("read", "written"):
                for at, rows in enumerate(getattr(known, what)[: len(nodes)]):
                    special[f"memory.{what}.{at}"] = node_by_node(rows, nodes[at])
        return special

    def states(self, rows_BT: Tensor) -> Tensor:
        """(B, T + 1, d)."""
        return self.module.body(self.module.inputs(rows_BT))  # type: ignore[no-any-return]

    def loss(self, rows_BT: Tensor) -> Tensor:
        """Mean over events of the sum over levels of -log p(code | history, codes before it)."""
        module = self.module
        is_event = rows_BT >= 0
        # Once for all heads: drawing masks was a third of a step when each head drew its own.
        known: Tensor = module.dropout(self.states(rows_BT[:, :-1])[is_event])
        items = rows_BT[is_event]
        codes = module.codes[items]
        paths = None if module.memory is None else module.memory.paths[items]
        total, so_far, nodes = known.new_zeros(()), None, None
        for level, table in enumerate(module.embeddings):
            logits = module.logits(level, known, so_far, nodes)
            total = total + functional.cross_entropy(logits, codes[:, level])
            chosen = table[codes[:, level]]
            so_far = chosen if so_far is None else so_far + chosen
            nodes = None if paths is None else paths[:, level]
        return total

    def best(self, known_Bd: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """By a beam of `beam`, or of `k` where more items are asked for."""
        return self._search(known_Bd, k, max(self.config.beam, k))

    def quick_best(self, known_Bd: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """By a beam as wide as the list, which finds nearly all of it at a fifth of the cost."""
        return self._search(known_Bd, k, k)

    def _search(self, known_Bd: Tensor, k: int, width: int) -> tuple[Tensor, Tensor]:
        rows, scores = beam_search(self._trie, _CausalScorer(self.module, known_Bd), width)
        return rows[:, :k], scores[:, :k]

    def log_probabilities(self, known_Bd: Tensor) -> Tensor:
        """Over first codes (B, K_1)."""
        return functional.log_softmax(self.module.logits(0, known_Bd, None, None), dim=1)


class _CausalScorer:
    """`CodeScorer` of a batch of states: each head sees its history once, not once a beam."""

    def __init__(self, module: CausalModule, known_Bd: Tensor) -> None:
        self.module, self.known = module, known_Bd
        self.so_far_BWd: Tensor | None = None

    def first(self) -> Tensor:
        return functional.log_softmax(self.module.logits(0, self.known, None, None), dim=1)

    def following(
        self, level: int, parents_BW: Tensor, codes_BW: Tensor, nodes_BW: Tensor
    ) -> Tensor:
        chosen = self.module.embeddings[level - 1][codes_BW]
        if self.so_far_BWd is not None:
            index = parents_BW.unsqueeze(-1).expand(-1, -1, chosen.shape[-1])
            chosen = chosen + self.so_far_BWd.gather(1, index)
        self.so_far_BWd = chosen
        known = self.known.unsqueeze(1)
        logits = self.module.logits(level, known, chosen, nodes_BW)
        return functional.log_softmax(logits, dim=-1)
