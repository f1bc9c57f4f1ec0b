"""What the page says of vectors that were joined from several sources."""

from __future__ import annotations

import polars as pl

from sidmint.embedding.source import JOINED
from sidmint.reporting.tables import Table, number

_FIGURES = (
    "mean_cosine",
    "effective_rank",
    "participation_ratio",
    "top_eigenvalue_share",
    "dimension_correlation",
)


def sources_table(measured: pl.DataFrame) -> Table:
    """Sources as two rows each, before and after; `measured` is sources.parquet of stage embed."""
    columns = ["weight", "num_items", "dimensions", *_FIGURES]
    heads = ["source", *(column.removeprefix("num_").replace("_", " ") for column in columns)]
    rows = [
        [f"{row['source']}, {row['state']}", *(number(row[column]) for column in columns)]
        for row in measured.iter_rows(named=True)
    ]
    return Table(heads, rows)


def sources_words(measured: pl.DataFrame) -> str:
    """What the joined vectors have that plain concatenation would not, in a sentence."""
    joined = measured.filter(pl.col("source") == JOINED)
    names = measured.filter(pl.col("source") != JOINED)["source"].unique(maintain_order=True)
    ranks = dict(joined.select("state", "effective_rank").iter_rows())
    cosines = dict(joined.select("state", "mean_cosine").iter_rows())
    return (
        f"Vectors are joined from {', '.join(names)}. Side by side at unit norm they would have an "
        f"effective rank of {number(ranks['before'])} and a mean cosine of "
        f"{number(cosines['before'])}; with weights, PCA and whitening they have "
        f"{number(ranks['after'])} and {number(cosines['after'])}."
    )
