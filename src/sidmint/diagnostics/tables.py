"""A diagnosis as tables for plots and pages: rows in a fixed order, levels counted from 1."""

from __future__ import annotations

import numpy as np
import polars as pl

from sidmint.diagnostics.conflicts import QualifiedCollisions
from sidmint.diagnostics.diagnosis import Diagnosis

_BUCKET_ROWS = 50
"""Items listed of one bucket; its full size stands beside them."""


def usage_table(diagnosis: Diagnosis) -> pl.DataFrame:
    """One row a code: level, code, num_items; unused codes are there with 0."""
    return pl.concat(
        pl.DataFrame({"num_items": used.counts.astype(np.int32)})
        .with_row_index("code")
        .select(pl.lit(level, pl.Int32).alias("level"), pl.col("code").cast(pl.Int32), "num_items")
        for level, used in enumerate(diagnosis.usage, start=1)
    )


def overlap_table(diagnosis: Diagnosis) -> pl.DataFrame:
    """One row a level and kappa: the overlap rate, its two parts, and what they leave usable."""
    return pl.DataFrame(
        [
            {
                "level": level,
                "kappa": kappa,
                "overlap_rate": each.overlap_rate,
                "distribution_penalty": each.distribution_penalty,
                "geometry_penalty": each.geometry_penalty,
                "effective_codebook_size": each.effective_codebook_size,
            }
            for (level, kappa), each in sorted(diagnosis.overlaps.items())
        ],
        schema_overrides={"level": pl.Int32},
    )


def robustness_table(diagnosis: Diagnosis) -> pl.DataFrame:
    """One row a level and kappa: items whose code there, or prefix down to there, noise changes.

    Without rows where noisy latents were not encoded.
    """
    rows = [
        (level, kappa, code, prefix)
        for kappa, each in diagnosis.robustness.items()
        for level, (code, prefix) in enumerate(
            zip(each.changed_codes, each.changed_prefixes, strict=True), start=1
        )
    ]
    schema = {
        "level": pl.Int32,
        "kappa": pl.Float64,
        "changed_code_share": pl.Float64,
        "changed_prefix_share": pl.Float64,
    }
    return pl.DataFrame(sorted(rows), schema=schema, orient="row")


def levels_table(diagnosis: Diagnosis) -> pl.DataFrame:
    """One row a level: usage of its codebook, branching, and the errors left after it."""
    usage, branches = diagnosis.usage, diagnosis.branching
    return pl.DataFrame(
        {
            "level": range(1, len(usage) + 1),
            "size": [used.size for used in usage],
            "perplexity": [used.perplexity for used in usage],
            "dead_codes": [used.num_dead for used in usage],
            "gini": [used.gini for used in usage],
            "branching": branches.effective,
            "num_prefixes": branches.num_prefixes,
            "information": [added.bits for added in diagnosis.information],
            "possible_information": [added.possible for added in diagnosis.information],
            "top_code_share": [used.top_share for used in usage],
            "relative_mse": [error.relative_mse for error in diagnosis.input_errors],
            "cosine": [error.cosine for error in diagnosis.input_errors],
            "latent_relative_mse": [error.relative_mse for error in diagnosis.latent_errors],
            "latent_cosine": [error.cosine for error in diagnosis.latent_errors],
        },
        schema_overrides=dict.fromkeys(("level", "size", "dead_codes", "num_prefixes"), pl.Int32),
    )


def spectrum_table(diagnosis: Diagnosis) -> pl.DataFrame:
    """One row a space and rank: the share of variance along each principal direction."""
    rows = [
        (space, rank, share)
        for space, cloud in diagnosis.spectra.items()
        for rank, share in enumerate(cloud.eigenvalue_shares.tolist(), start=1)
    ]
    schema = {"space": pl.String, "rank": pl.Int32, "eigenvalue_share": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def worst_buckets_table(
    qualified: QualifiedCollisions, items: pl.LazyFrame, most: int
) -> pl.DataFrame:
    """Up to `most` buckets, those with most items in conflict first, then the largest.

    One row an item: bucket (from 1), item_id, title, kind ("conflict" if the item shares the
    bucket with an unrelated one, else "benign") and the size of the whole bucket. `items` has
    item_id and title, in the row order of the codes, and is read for the rows that are listed. Of
    a long bucket the first items are listed.
    """
    collided = np.flatnonzero(qualified.bucket_of >= 0)
    bucket_of = qualified.bucket_of[collided]
    sizes = np.bincount(bucket_of)
    conflicts = np.bincount(bucket_of[qualified.in_conflict[collided]], minlength=len(sizes))
    worst = np.lexsort((np.arange(len(sizes)), -sizes, -conflicts))[:most]
    rank_of = np.zeros(len(sizes), dtype=np.int32)
    rank_of[worst] = np.arange(1, len(worst) + 1)
    rows = collided[rank_of[bucket_of] > 0]
    kinds = np.where(qualified.in_conflict[rows], "conflict", "benign").tolist()
    named = items.select("item_id", "title").with_row_index("row")
    listed = (
        named.filter(pl.col("row").is_in(rows))
        .drop("row")
        .collect()
        .with_columns(
            bucket=pl.Series(rank_of[qualified.bucket_of[rows]], dtype=pl.Int32),
            kind=pl.Series(kinds, dtype=pl.String),
            size=pl.Series(sizes[qualified.bucket_of[rows]], dtype=pl.Int32),
        )
    )
    return (
        listed.sort("bucket", "item_id")
        .filter(pl.int_range(pl.len()).over("bucket") < _BUCKET_ROWS)
        .select("bucket", "item_id", "title", "kind", "size")
    )
