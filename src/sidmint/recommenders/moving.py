"""What a recommender has learned, over another table of ids: weights go where the same code is.

A code that the old table did not have begins at zero, and so does the vector of a prefix that it
did not have: what is new is known by the codes that it shares with what is known.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from sidmint.recommenders.trie import Trie


def in_shape_of(like: Tensor, known: Tensor | None, fill: float = 0.0) -> Tensor:
    """`known` cut and filled up to the shape of `like`, at the end of every axis.

    `fill` stands where `known` has no value; all of it where there is no `known`.
    """
    values = torch.full_like(like, fill)
    if known is not None:
        common = tuple(slice(0, min(sizes)) for sizes in zip(known.shape, like.shape, strict=True))
        values[common] = known[common]
    return values


def level_by_level(known: Tensor, known_sizes: Sequence[int], sizes: Sequence[int]) -> Tensor:
    """Rows (sum of `sizes`, d) of a table that holds the codes of all levels one after another."""
    levels = list(torch.split(known, list(known_sizes)))
    levels += [known[:0]] * (len(sizes) - len(levels))
    return torch.cat(
        [
            functional.pad(table[:size], (0, 0, 0, max(0, size - len(table))))
            for table, size in zip(levels, sizes, strict=False)
        ]
    )


def known_nodes(trie: Trie, known: Trie) -> list[Tensor]:
    """Of each level of `trie`, the nodes of `known` with the same prefixes; -1 where it has none.

    Levels that `known` does not have are -1 throughout.
    """
    found: list[Tensor] = []
    for level, codes in enumerate(trie.codes):
        if level >= known.num_levels:
            found.append(torch.full_like(codes, -1))
            continue
        above = codes.new_zeros(len(codes)) if level == 0 else found[-1][trie.parents(level)]
        span = int(max(codes.max(), known.codes[level].max())) + 1
        keys = above * span + codes
        known_keys = known.parents(level) * span + known.codes[level]  # rise, as ids are sorted
        at = torch.searchsorted(known_keys, keys).clamp(max=len(known_keys) - 1)
        found.append(torch.where((above >= 0) & (known_keys[at] == keys), at, -1))
    return found


def node_by_node(known: Tensor, nodes: Tensor) -> Tensor:
    """The rows `nodes` of `known` (n, d); zeros where a node is -1."""
    return known[nodes.clamp(min=0)] * (nodes >= 0).unsqueeze(1)
