"""All that the codes alone tell, from one pass over them and one sort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sidmint.diagnostics.buckets import bucket_sizes
from sidmint.diagnostics.collisions import Collisions
from sidmint.diagnostics.packing import CodeArray
from sidmint.diagnostics.utilization import (
    Branching,
    Utilization,
    branching_of,
    utilization_by_level,
)


@dataclass(frozen=True)
class CodeCounts:
    """Usage of every codebook, how prefixes branch, and how whole codes are shared."""

    usage: tuple[Utilization, ...]
    """One entry a level."""
    branching: Branching
    collisions: Collisions


def count_codes(codes: CodeArray, sizes: Sequence[int]) -> CodeCounts:
    """`CodeCounts` of `codes` (N, L), whose codebooks have `sizes` rows.

    The same figures as `utilization`, `branching` and `collisions`, of which the last two would
    sort once each. Codes of any integer type, in memory or in a file; memory beyond them is
    that of `bucket_sizes`, and 8 bytes a codeword.
    """
    usage = utilization_by_level(codes, sizes)
    buckets = bucket_sizes(codes)
    return CodeCounts(usage, branching_of(buckets), Collisions(buckets[-1]))
