"""What each level of codes adds, in bits, beside the most that it could have added.

A level can use every code and still say next to nothing: k-means spends codes on single
points, and most items share one. Dead codes do not show it; this does. The bounds below say when a
level has collapsed. Training and the default gate read the same ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sidmint.types import Ints

NOTHING_LEFT = 0.05
"""Bits. Where the levels before leave no more than this to say, a level owes nothing."""
LEAST_SHARE = 0.1
"""A level that adds less than this share of what it could adds nothing worth its place."""

FIRST_PERPLEXITY_SHARE, LATER_PERPLEXITY_SHARE = 0.4, 0.2
"""Of the codebook: the least perplexity of the first level, and of each later one.

Tables on Beauty, Toys and Office (3 x 256; docs/RESULTS.md, "What levels carry") have .8 or more at
the first level, `sim_rq` .42; codebooks started on an untrained encoder have .12 to .26. At later
levels sound tables have .58 or more, the blocks of `rq_opq` on Office .22. Residual k-means that
spent its codes on single items has .01 to .14 there, with every code in use: .03 on Office, whose
third level then keeps 47 of 100 items in one code."""

DEAD_CODE_SHARE = 0.2
"""The most codes that no item has, of the codebook, at any level."""


@dataclass(frozen=True)
class LevelInformation:
    """`bits` = H(code | codes before it), `possible` = min(log2 K, log2 N - bits before)."""

    bits: float
    possible: float

    @property
    def share(self) -> float:
        """Bits / possible, in [0, 1]; 1 where nothing was left to add.

        Where the levels before it tell nearly all items apart (`NOTHING_LEFT`), as they do in
        a catalogue of few items a code, a share of almost nothing would be noise.
        """
        if self.possible <= NOTHING_LEFT:
            return 1.0
        return min(1.0, self.bits / self.possible)


def information(
    effective: Sequence[float], sizes: Sequence[int], num_items: int
) -> tuple[LevelInformation, ...]:
    """`LevelInformation` of each level from its branching B_l = exp(H(S_l | S_<l)).

    `sizes` are the rows of the codebooks (K_1, ..., K_L). N items can tell no more than log2 N
    bits: what is possible at a level is what those before have left of them. Duplicates cannot be
    told apart by anybody; their share is in the possible all the same.
    """
    left = float(np.log2(num_items))
    found = []
    for children, size in zip(effective, sizes, strict=True):
        bits = max(0.0, float(np.log2(children)))
        found.append(LevelInformation(bits, max(0.0, min(float(np.log2(size)), left))))
        left -= bits
    return tuple(found)


def effective_children(codes: Ints) -> tuple[float, ...]:
    """B_l = exp(H(S_1..S_l) - H(S_1..S_l-1)) of each level of `codes` (N, L), N from 1."""
    prefix = np.zeros(len(codes), dtype=np.int64)
    entropies = [0.0]
    for level in range(codes.shape[1]):
        span = int(codes[:, level].max()) + 1
        prefix = np.unique(prefix * span + codes[:, level], return_inverse=True)[1].reshape(-1)
        shares = np.bincount(prefix) / len(codes)
        entropies.append(float(-(shares * np.log(shares)).sum()))
    return tuple(np.exp(np.diff(entropies)).tolist())
