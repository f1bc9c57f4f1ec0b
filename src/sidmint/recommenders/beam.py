"""Beam search over the ids that exist: batched, deterministic, no loop over beams.

Shape letters: B histories, W beams, C children of a node, K codes of a level.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from sidmint.recommenders.top import ranked, top_places
from sidmint.recommenders.trie import Trie


class CodeScorer(Protocol):
    """What a generative recommender says of the next code, beam by beam."""

    def first(self) -> Tensor:
        """Log-probabilities (B, K_1) of the first code."""
        ...

    def following(
        self, level: int, parents_BW: Tensor, codes_BW: Tensor, nodes_BW: Tensor
    ) -> Tensor:
        """Log-probabilities (B, W, K_level) of the code at `level`.

        Beam w continues beam `parents[b, w]` of the call before with `codes[b, w]`, which brings
        it to trie node `nodes[b, w]` of level `level - 1`. At level 1 all parents are 0: there
        was one beam, the empty prefix.
        """
        ...


@torch.no_grad()
def beam_search(trie: Trie, scorer: CodeScorer, width: int) -> tuple[Tensor, Tensor]:
    """The `width` best items of each history: rows (B, w) in the order of ids, and scores (B, w).

    An item's score is the sum of its codes' log-probabilities, each over the whole level: a
    code that no item has keeps its share, so that scores of different beams can be compared.
    Prefixes that no item has are never entered. w is `width` or the number of items, if that
    is smaller; where a beam ends without an item the row is -1 and the score -inf. Equal scores
    go to the smaller id. As wide as the catalogue, the search is exhaustive.
    """
    log_probs = scorer.first().unsqueeze(1)
    batch = len(log_probs)
    nodes = torch.zeros((batch, 1), dtype=torch.long, device=log_probs.device)
    scores = torch.zeros((batch, 1), dtype=log_probs.dtype, device=log_probs.device)
    parents = nodes
    for level in range(trie.num_levels):
        if level:
            codes = trie.codes[level - 1][nodes]
            log_probs = scorer.following(level, parents, codes, nodes)
        children, exists = trie.children(level, nodes)
        gained = log_probs.gather(2, trie.codes[level][children])
        candidates = (scores.unsqueeze(2) + gained).masked_fill(~exists, -torch.inf)
        chosen, scores = top_places(candidates.flatten(1), min(width, trie.num_items))
        parents = chosen // children.shape[2]
        nodes = children.flatten(1).gather(1, chosen)
    nodes, scores = ranked(nodes, scores)  # beams stand in the order of ids till here
    return torch.where(torch.isneginf(scores), -1, nodes), scores
