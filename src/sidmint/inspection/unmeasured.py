"""Why a metric of the gate could not be measured on a table made elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping

NEEDS_VECTORS = (
    *("conflict_rate", "benign_pair_share", "duplicate_floor", "reconstruction_mse"),
    *("relative_mse", "reconstruction_cosine", r"overlap_rate_\d+"),
    r"effective_codebook_size_\d+",
    r"(?:effective_rank|participation_ratio|top_eigenvalue_share|dimension_correlation)_raw",
)
NEEDS_LOG = ("num_cases", "auc_prefix", "auc_exact", r"prefix_hr_at_\d+")
NEEDS_BOTH = ("auc_embedding", r"(?:hr_original|hr|retention)_at_\d+")
NEEDS_NOTHING = (
    *("num_items", "num_null_ids", "num_distinct_codes", "collision_rate", "collided_item_rate"),
    *("largest_bucket", "resolved_collision_rate", "suffixed_item_rate", "composition_entropy"),
    *("n_eff", "n_eff_share", r"perplexity_(?:share_)?\d+", r"dead_codes?_(?:share_)?\d+"),
    *(r"gini_\d+", r"branching_\d+", r"information_(?:share_)?\d+", r"top_code_share_\d+"),
)


def why_unmeasured(
    metric: str,
    told: Mapping[str, str],
    has_vectors: bool,
    has_log: bool,
    num_levels: int,
) -> str:
    """One reason without a full stop. `told` are those that measuring gave, by metric."""
    if metric in told:
        return told[metric]
    lacking = _lacking(metric, has_vectors, has_log)
    if lacking is None:
        return "known only where sidmint trained and assigned the codes"
    if lacking:
        return "needs " + " and ".join(lacking)
    if "*" in told and not _is_one_of(metric, (*NEEDS_NOTHING, *NEEDS_VECTORS)):
        return told["*"]
    if re.search(r"_at_\d+$", metric):
        return "no such cutoff in evaluate.cutoffs, or as many as there are items"
    return f"the table has {num_levels} levels" if re.search(r"_\d+$", metric) else "has no value"


def _lacking(metric: str, has_vectors: bool, has_log: bool) -> list[str] | None:
    """Options that would have to be given; None for a metric that no option brings."""
    both = _is_one_of(metric, NEEDS_BOTH)
    needs_vectors = both or _is_one_of(metric, NEEDS_VECTORS)
    needs_log = both or _is_one_of(metric, NEEDS_LOG)
    if not (needs_vectors or needs_log or _is_one_of(metric, NEEDS_NOTHING)):
        return None
    options = (
        ("--vectors", needs_vectors and not has_vectors),
        ("--interactions", needs_log and not has_log),
    )
    return [option for option, is_lacking in options if is_lacking]


def _is_one_of(metric: str, patterns: tuple[str, ...]) -> bool:
    return any(re.fullmatch(pattern, metric) for pattern in patterns)
