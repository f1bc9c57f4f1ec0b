"""How evenly the codes of each level are used, and how prefixes branch (DRQ 5.4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidmint.diagnostics.prefixes import prefix_order
from sidmint.errors import BadInput
from sidmint.types import Ints


@dataclass(frozen=True)
class Utilization:
    """Usage of one codebook: `counts` (K,) items a code, unused codes included as zeros."""

    counts: npt.NDArray[np.int64]

    @property
    def size(self) -> int:
        """K, the rows of the codebook."""
        return len(self.counts)

    @property
    def prior(self) -> npt.NDArray[np.float64]:
        """Share of items that has each code: p (K,)."""
        return np.asarray(self.counts / self.counts.sum(), dtype=np.float64)

    @property
    def perplexity(self) -> float:
        """exp(H(p)): 1 when one code takes every item, K when all are used alike."""
        return float(np.exp(entropy(self.counts)))

    @property
    def num_active(self) -> int:
        """Codes that at least one item has."""
        return int(np.count_nonzero(self.counts))

    @property
    def num_dead(self) -> int:
        """Codes that no item has."""
        return self.size - self.num_active

    @property
    def gini(self) -> float:
        """Gini index of `counts` over all K codes, in [0, 1 - 1/K].

        Dead codes count as zeros. Over active codes alone the index would be 0 for a
        codebook in which one code takes everything.
        """
        rising = np.sort(self.counts).astype(np.float64)
        ranks = np.arange(1, self.size + 1)
        return float((2 * ranks - self.size - 1) @ rising / (self.size * rising.sum()))


@dataclass(frozen=True)
class Branching:
    """How prefixes of growing length split the catalogue; every tuple has one entry a level."""

    effective: tuple[float, ...]
    """B_l = exp(H(S_l | S_<l)): the effective number of codes that continue a prefix."""
    num_prefixes: tuple[int, ...]
    """Distinct prefixes of each length."""

    @property
    def n_eff(self) -> float:
        """Product of B_l = exp(H(S)): the effective number of distinct codes."""
        return float(np.prod(self.effective))

    @property
    def children(self) -> tuple[float, ...]:
        """Mean number of distinct codes that continue a prefix, a level."""
        parents = (1, *self.num_prefixes[:-1])
        return tuple(own / parent for own, parent in zip(self.num_prefixes, parents, strict=True))


def entropy(counts: npt.ArrayLike) -> float:
    """Shannon entropy in nats of the distribution proportional to `counts` (zeros add nothing)."""
    used = np.asarray(counts, dtype=np.float64)
    used = used[used > 0]
    total = used.sum()
    if total == 0:
        raise BadInput("the entropy of no items is not defined; the catalogue is empty")
    # max: for one used code the difference is 0 up to rounding, and may come out below it.
    return float(max(np.log(total) - (used @ np.log(used)) / total, 0.0))


def utilization(codes: Ints, size: int) -> Utilization:
    """Usage of a codebook of `size` rows by `codes` (N,), the codes of one level.

    Source: DRQ 5.4. Give the whole catalogue: usage over a batch or a sample makes live codes
    look dead.
    """
    if codes.ndim != 1 or len(codes) == 0:
        raise BadInput(f"utilization wants the codes of one level, got shape {codes.shape}")
    if codes.min() < 0 or codes.max() >= size:
        raise BadInput(
            f"codes run from {codes.min()} to {codes.max()}, outside a codebook of {size} rows"
        )
    return Utilization(np.bincount(codes, minlength=size).astype(np.int64))


def branching(codes: Ints) -> Branching:
    """Conditional branching of `codes` (N, L), from the first level down.

    B_l = exp(H(S_1..S_l) - H(S_1..S_l-1)); the product over levels is exp(H(S)). This is the
    best single picture of a hierarchy: every codebook can be fully used, level by level, while
    few whole codes are distinct. For tokenizers without a hierarchy the numbers are those of
    reading the levels in their stored order.
    """
    order = prefix_order(codes)
    sizes = [order.sizes(length) for length in range(1, codes.shape[1] + 1)]
    entropies = np.array([0.0, *(entropy(each) for each in sizes)])
    return Branching(
        effective=tuple(np.exp(np.diff(entropies)).tolist()),
        num_prefixes=tuple(len(each) for each in sizes),
    )
