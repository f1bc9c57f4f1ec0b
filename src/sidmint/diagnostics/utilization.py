"""How evenly the codes of each level are used, and how prefixes branch (DRQ 5.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidmint.diagnostics.buckets import BucketSizes, bucket_sizes
from sidmint.diagnostics.entropy import entropy
from sidmint.errors import BadInput
from sidmint.packing import ROWS_AT_ONCE, CodeArray


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
    def top_share(self) -> float:
        """Share of items that has the most frequent code."""
        return float(self.counts.max() / self.counts.sum())

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


def utilization(codes: CodeArray, size: int) -> Utilization:
    """Usage of a codebook of `size` rows by `codes` (N,), the codes of one level.

    Source: DRQ 5.4. Give the whole catalogue: usage over a batch or a sample makes live codes
    look dead.
    """
    if codes.ndim != 1:
        raise BadInput(f"utilization wants the codes of one level, got shape {codes.shape}")
    return utilization_by_level(codes[:, None], (size,))[0]


def utilization_by_level(codes: CodeArray, sizes: Sequence[int]) -> tuple[Utilization, ...]:
    """`utilization` of every level of `codes` (N, L), in one pass over its rows.

    `sizes` are the rows of each codebook. Codes may be of any integer type and lie in a file;
    memory beyond them does not grow with N.
    """
    if codes.ndim != 2 or codes.shape[1] != len(sizes) or len(codes) == 0:
        raise BadInput(
            f"utilization wants at least one row and one codebook size a level, got codes of "
            f"shape {codes.shape} and sizes {tuple(sizes)}"
        )
    counts = [np.zeros(size, dtype=np.int64) for size in sizes]
    for start in range(0, len(codes), ROWS_AT_ONCE):
        piece = codes[start : start + ROWS_AT_ONCE]
        for level, count in enumerate(counts):
            column = piece[:, level].astype(np.int64)
            if column.min() < 0 or column.max() >= len(count):
                raise BadInput(
                    f"codes of level {level + 1} run from {column.min()} to {column.max()}, "
                    f"outside a codebook of {len(count)} rows; give the sizes that they were "
                    "made with"
                )
            count += np.bincount(column, minlength=len(count))
    return tuple(Utilization(count) for count in counts)


def merge_utilization(one: Utilization, other: Utilization) -> Utilization:
    """Usage of one codebook by all rows, from its usage by two parts of them."""
    return Utilization(one.counts + other.counts)


def branching(codes: CodeArray) -> Branching:
    """Conditional branching of `codes` (N, L), from the first level down.

    B_l = exp(H(S_1..S_l) - H(S_1..S_l-1)); the product over levels is exp(H(S)). This is the
    best single picture of a hierarchy: every codebook can be fully used, level by level, while
    few whole codes are distinct. For tokenizers without a hierarchy the numbers are those of
    reading the levels in their stored order.
    """
    return branching_of(bucket_sizes(codes))


def branching_of(buckets: Sequence[BucketSizes]) -> Branching:
    """`branching` from the buckets of the prefixes of length 1, 2, ... L."""
    entropies = np.array([0.0, *(each.entropy for each in buckets)])
    return Branching(
        effective=tuple(np.exp(np.diff(entropies)).tolist()),
        num_prefixes=tuple(each.num_distinct for each in buckets),
    )
