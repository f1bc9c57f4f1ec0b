"""Figures that codes alone allow: usage, branching, collisions, and the ids as published."""

from __future__ import annotations

from sidmint.diagnostics import collisions, count_codes
from sidmint.information import information
from sidmint.inspection.figures import Figures
from sidmint.inspection.layout import CodeTable


def measure_codes(table: CodeTable, figures: Figures) -> None:
    """Add to `figures` what the codes of `table` say, its suffix left out."""
    codes = table.codes
    counts = count_codes(codes.values, codes.sizes)
    shared, branches, usage = counts.collisions, counts.branching, counts.usage
    # An item without codes is refused when the table is read.
    figures.metrics |= {"num_null_ids": 0, **counts.metrics()}
    if shared.num_distinct == shared.num_items:
        figures.notes.append(
            "no two items share a code; if codes were moved to make it so, the collisions before "
            "that cannot be seen here"
        )
    added = information(branches.effective, codes.sizes, codes.num_items)
    figures.levels |= {
        "size": [used.size for used in usage],
        "active_codes": [used.num_active for used in usage],
        "dead_codes": [used.num_dead for used in usage],
        "perplexity": [used.perplexity for used in usage],
        "gini": [used.gini for used in usage],
        "branching": list(branches.effective),
        "num_prefixes": list(branches.num_prefixes),
        "information": [each.bits for each in added],
        "possible_information": [each.possible for each in added],
        "top_code_share": [used.top_share for used in usage],
    }


def measure_ids(table: CodeTable, figures: Figures) -> None:
    """Add whether ids are unique as they stand; after `measure_codes`."""
    published = table.as_published
    if published is None:
        num_collided = round(figures.metrics["collided_item_rate"] * table.codes.num_items)
        figures.unmeasured["resolved_collision_rate"] = (
            f"{num_collided:,} items share a code and nothing in the table tells them apart, so "
            "these are codes before resolution; published like this, their ids are ambiguous"
        )
        return
    figures.metrics["resolved_collision_rate"] = collisions(published).collision_rate
    if table.suffixes is not None:
        figures.metrics["suffixed_item_rate"] = figures.metrics["collided_item_rate"]
