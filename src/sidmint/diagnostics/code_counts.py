"""All that the codes alone tell, from one pass over them and one sort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sidmint.diagnostics.buckets import bucket_sizes
from sidmint.diagnostics.collisions import Collisions
from sidmint.diagnostics.utilization import (
    Branching,
    Utilization,
    branching_of,
    utilization_by_level,
)
from sidmint.information import information
from sidmint.packing import CodeArray


@dataclass(frozen=True)
class CodeCounts:
    """Usage of every codebook, how prefixes branch, and how whole codes are shared."""

    usage: tuple[Utilization, ...]
    """One entry a level."""
    branching: Branching
    collisions: Collisions

    def metrics(self) -> dict[str, float]:
        """Figures by their names in `contracts.METRICS`, whole codes first, then by level."""
        shared, effective = self.collisions, self.branching.effective
        sizes = [used.size for used in self.usage]
        found: dict[str, float] = {
            "num_items": shared.num_items,
            "num_distinct_codes": shared.num_distinct,
            "collision_rate": shared.collision_rate,
            "collided_item_rate": shared.collided_item_rate,
            "largest_bucket": shared.largest_bucket,
            "composition_entropy": shared.composition_entropy,
            "n_eff": shared.n_eff,
            "n_eff_share": shared.n_eff_share,
        }
        added = information(effective, sizes, shared.num_items)
        for level, used in enumerate(self.usage, start=1):
            found |= {
                f"perplexity_{level}": used.perplexity,
                f"perplexity_share_{level}": used.perplexity / used.size,
                f"dead_codes_{level}": used.num_dead,
                f"dead_code_share_{level}": used.num_dead / used.size,
                f"gini_{level}": used.gini,
                f"branching_{level}": effective[level - 1],
                f"information_{level}": added[level - 1].bits,
                f"information_share_{level}": added[level - 1].share,
                f"top_code_share_{level}": used.top_share,
            }
        return found


def count_codes(codes: CodeArray, sizes: Sequence[int]) -> CodeCounts:
    """`CodeCounts` of `codes` (N, L), whose codebooks have `sizes` rows.

    The same figures as `utilization`, `branching` and `collisions`, of which the last two would
    sort once each. Codes of any integer type, in memory or in a file; memory beyond them is
    that of `bucket_sizes`, and 8 bytes a codeword.
    """
    usage = utilization_by_level(codes, sizes)
    buckets = bucket_sizes(codes)
    return CodeCounts(usage, branching_of(buckets), Collisions(buckets[-1]))
