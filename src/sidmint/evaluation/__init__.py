"""How well Semantic IDs serve retrieval on held-out behaviour. Knows no tokenizer and no path."""

from sidmint.evaluation.cold import ColdReach, cold_reach
from sidmint.evaluation.item_to_item import ItemToItem, item_to_item
from sidmint.evaluation.protocol import Cases, held_out_cases, random_negatives
from sidmint.evaluation.ranking import (
    Ranks,
    area_under_curve,
    expected_hits,
    hit_rate,
    random_hit_rate,
    retention,
)
from sidmint.evaluation.segments import (
    SEGMENTS,
    SegmentScore,
    assign_segments,
    score_segments,
    segments_by_count,
)
from sidmint.evaluation.uncertainty import (
    Difference,
    Interval,
    Statistic,
    bootstrap,
    paired_difference,
    percentile_interval,
    resampled_means,
)

__all__ = [
    "Cases",
    "held_out_cases",
    "random_negatives",
    "ItemToItem",
    "item_to_item",
    "Ranks",
    "expected_hits",
    "hit_rate",
    "random_hit_rate",
    "retention",
    "area_under_curve",
    "SEGMENTS",
    "SegmentScore",
    "assign_segments",
    "score_segments",
    "segments_by_count",
    "ColdReach",
    "cold_reach",
    "Interval",
    "Difference",
    "Statistic",
    "bootstrap",
    "paired_difference",
    "resampled_means",
    "percentile_interval",
]
