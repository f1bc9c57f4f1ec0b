"""What is known of prefixes themselves: a vector a node of the trie, beside what codes share.

Codes are shared by many items; that two items follow each other belongs to the two alone. Meta's
"prefix n-grams" (arXiv 2504.02137) give a vector to every prefix that exists, here at the input
and, as keys that the state of a history is held against, at the output. All vectors begin at 0:
an item that training never saw is known by its codes, and by nothing else.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sidmint.recommenders.sampled import sampled_products
from sidmint.recommenders.trie import Trie


class PrefixMemory(nn.Module):
    """Vectors of all prefixes of two codes and more; of one code, what codes share is enough."""

    paths: Tensor

    def __init__(self, trie: Trie, width: int) -> None:
        super().__init__()
        self.trie = trie
        self.register_buffer("paths", trie.paths(), persistent=False)
        shapes = [(len(codes), width) for codes in trie.codes[1:]]
        self.read = nn.ParameterList(nn.Parameter(torch.zeros(shape)) for shape in shapes)
        self.written = nn.ParameterList(nn.Parameter(torch.zeros(shape)) for shape in shapes)

    def inputs(self, rows: Tensor) -> Tensor:
        """The sum (..., d) of the vectors of all prefixes of items `rows`."""
        nodes = self.paths[rows]
        parts = [functional.embedding(nodes[..., at + 1], t) for at, t in enumerate(self.read)]
        return torch.stack(parts).sum(dim=0)

    def add_to(self, logits_EK: Tensor, level: int, queries_Ed: Tensor, nodes_E: Tensor) -> Tensor:
        """Logits of codes at `level` (from 1) with what memory says of the prefixes they make.

        `nodes_E` are the prefixes before them, nodes of `level - 1`. The logit of a code that
        makes no known prefix stays as it is.
        """
        starts, children_Z = self.trie.child_rows(level, nodes_E)
        raised = sampled_products(queries_Ed, self.written[level - 1], starts, children_Z)
        rows = torch.repeat_interleave(
            torch.arange(len(nodes_E), device=nodes_E.device), starts.diff()
        )
        places = rows * logits_EK.shape[1] + self.trie.codes[level][children_Z]
        return logits_EK.flatten().index_add(0, places, raised).view_as(logits_EK)
