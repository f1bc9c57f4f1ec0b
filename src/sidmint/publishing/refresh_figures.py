"""What a refresh did to a table, as metrics: how the new items differ, and what room is left."""

from __future__ import annotations

import numpy as np

from sidmint.diagnostics import (
    chance_stability,
    count_codes,
    doubled_collision_rate,
    full_prefix_shares,
    known_prefix_shares,
    population_stability,
)
from sidmint.diagnostics.buckets import bucket_sizes
from sidmint.publishing.placing import Placed, PublishedIds
from sidmint.seeds import generator_for
from sidmint.types import Ints

Metrics = dict[str, float]


def refresh_figures(
    before: PublishedIds, placed: Placed, num_dimensions: int, published_mse: float | None
) -> Metrics:
    """Figures of the items that the tokenizer read, beside the published ones.

    `published_mse` is the release's own `reconstruction_mse`. Both errors are divided by the same
    number of dimensions, so their ratio is that of errors relative to the published items' spread;
    without it `refresh_error_ratio` is left out. Codes are the tokenizer's own, but for usage,
    which is compared after resolution on both sides.
    """
    taken, codes = before.codes(), placed.coded.codes
    num_coded = len(codes)
    room = placed.resolved.without_room
    added = _num_distinct(np.concatenate([taken, codes])) - _num_distinct(taken)
    found: Metrics = {
        "refresh_num_new": placed.table.height - before.table.height,
        "refresh_num_moved": len(placed.moved),
        "refresh_collision_rate": 1 - added / num_coded,
        "refresh_without_room": 0 if before.has_suffix else int(room.sum()),
    }
    if published_mse:
        mse = placed.coded.squared_error / (num_coded * num_dimensions)
        found["refresh_error_ratio"] = mse / published_mse
    for length, share in enumerate(known_prefix_shares(taken, codes), start=1):
        found[f"refresh_decodable_{length}"] = share
    return found | _shifts(before, placed)


def table_figures(before: PublishedIds, placed: Placed) -> Metrics:
    """Figures of the whole table as it would be published: what ids alone tell.

    Collisions and usage are measured where a table shows the tokenizer's own codes, under
    `suffix`; other policies have moved some, and the figures of the trained version stand.
    """
    columns = before.code_columns
    codes = np.ascontiguousarray(placed.table.select(columns).to_numpy(), dtype=np.int32)
    suffixes = placed.table["suffix"].to_numpy()
    parts = np.column_stack([codes, suffixes]) if before.has_suffix else codes
    found: Metrics = {
        "num_items": placed.table.height,
        "num_null_ids": placed.table["semantic_id"].null_count(),
        "resolved_collision_rate": 1 - _num_distinct(parts) / len(parts),
    }
    for length, share in enumerate(full_prefix_shares(codes, before.sizes), start=1):
        found[f"full_prefix_share_{length}"] = share
    if before.resolution == "suffix":
        counts = count_codes(codes, before.sizes)
        found |= counts.metrics()
        found["suffixed_item_rate"] = counts.collisions.collided_item_rate
        found["doubled_collision_rate"] = doubled_collision_rate(counts.collisions.buckets)
    return found


def _shifts(before: PublishedIds, placed: Placed) -> Metrics:
    """Stability index of each level, as it is and beyond what chance gives as many items."""
    old, new = before.codes(), placed.resolved.codes.values
    found: Metrics = {}
    beyond = [0.0]
    for level, size in enumerate(before.sizes, start=1):
        if not len(new):
            index = chance = 0.0
        else:
            usage = [np.bincount(c[:, level - 1], minlength=size) for c in (old, new)]
            index = population_stability(*usage)
            # Seeded by name alone: what is judged does not depend on a run's seed.
            draws = generator_for(0, "refresh", "shift", str(level))
            chance = chance_stability(usage[0], len(new), draws)
        beyond.append(max(0.0, index - chance))
        found[f"refresh_psi_{level}"] = index
        found[f"refresh_shift_{level}"] = beyond[-1]
    return found | {"refresh_largest_shift": max(beyond)}


def _num_distinct(codes: Ints) -> int:
    return bucket_sizes(codes)[-1].num_distinct
