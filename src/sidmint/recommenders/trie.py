"""The published ids as a trie in flat arrays: which codes may follow a prefix."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from sidmint.types import Ints


@dataclass(frozen=True)
class Trie:
    """Prefixes of sorted ids, level by level, as compressed rows (CSR).

    Node n of level l is the n-th distinct prefix of l + 1 codes in sorted order. Its last code
    is `codes[l][n]`; its children are the nodes `first_child[l][n] .. first_child[l][n + 1]` of
    level l + 1. `roots` counts the first codes. Nodes of the last level are items: the n-th in
    the order of ids.
    """

    codes: tuple[Tensor, ...]
    first_child: tuple[Tensor, ...]
    widest: tuple[int, ...]
    """The most children of one node of the level before; for level 0 the number of roots."""

    @property
    def num_levels(self) -> int:
        """L."""
        return len(self.codes)

    @property
    def num_items(self) -> int:
        """N."""
        return len(self.codes[-1])

    @staticmethod
    def of(sorted_codes: Ints, device: torch.device | str = "cpu") -> Trie:
        """The trie of `sorted_codes` (N, L): distinct rows in lexicographic order.

        O(N L), without a loop over nodes.
        """
        changed = np.ones(sorted_codes.shape, dtype=bool)
        changed[1:] = sorted_codes[1:] != sorted_codes[:-1]
        opens = np.logical_or.accumulate(changed, axis=1)  # row n begins a prefix of l + 1 codes
        starts = [np.flatnonzero(opens[:, level]) for level in range(sorted_codes.shape[1])]
        codes = [sorted_codes[rows, level] for level, rows in enumerate(starts)]
        first_child, widest = [], [len(starts[0])]
        for upper, lower in pairwise(starts):
            edges = np.append(np.searchsorted(lower, upper), len(lower))
            first_child.append(edges)
            widest.append(int(np.diff(edges).max()))
        return Trie(
            tuple(_tensor(level, device) for level in codes),
            tuple(_tensor(edges, device) for edges in first_child),
            tuple(widest),
        )

    def children(self, level: int, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Children of `nodes` (...) of level `level - 1`, as (..., C) nodes, and which exist.

        C is the most that a node of that level has; places beyond a node's own repeat its first
        child and are marked False. At level 0 every root is a child, whatever `nodes` holds.
        """
        places = torch.arange(self.widest[level], device=nodes.device)
        if level == 0:
            shape = (*nodes.shape, len(places))
            return places.expand(shape), torch.ones(shape, dtype=torch.bool, device=nodes.device)
        first = self.first_child[level - 1][nodes].unsqueeze(-1)
        count = self.first_child[level - 1][nodes + 1].unsqueeze(-1) - first
        exists = places < count
        return first + torch.where(exists, places, 0), exists

    def child_rows(self, level: int, nodes_E: Tensor) -> tuple[Tensor, Tensor]:
        """Children of `nodes_E` of level `level - 1` in rows: starts (E + 1,) and nodes (Z,).

        `children` without its empty places; for levels from 1.
        """
        first = self.first_child[level - 1][nodes_E]
        counts = self.first_child[level - 1][nodes_E + 1] - first
        starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        places = torch.arange(int(starts[-1]), device=nodes_E.device)
        return starts, places + torch.repeat_interleave(first - starts[:-1], counts)

    def parents(self, level: int) -> Tensor:
        """The node of level `level - 1` above each node of `level`; the root, 0, at level 0."""
        nodes = torch.arange(len(self.codes[level]), device=self.codes[level].device)
        if level == 0:
            return torch.zeros_like(nodes)
        return torch.searchsorted(self.first_child[level - 1], nodes, right=True) - 1

    def paths(self) -> Tensor:
        """(N, L): the node of each level on the way to each item."""
        nodes = torch.arange(self.num_items, device=self.codes[0].device)
        found = [nodes]
        for level in range(self.num_levels - 1, 0, -1):
            nodes = self.parents(level)[nodes]
            found.append(nodes)
        return torch.stack(found[::-1], dim=1)


def _tensor(values: Ints | np.ndarray, device: torch.device | str) -> Tensor:  # type: ignore[type-arg]
    return torch.from_numpy(values.astype(np.int64)).to(device)
