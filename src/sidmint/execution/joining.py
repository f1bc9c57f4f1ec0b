"""Parts of a table as one file."""

from __future__ import annotations

from pathlib import Path

from sidmint.execution.shards import ROW_GROUP, Shards


def join(shards: Shards, path: Path) -> None:
    """Write all rows of `shards` into one Parquet file at `path`, in the order of their key.

    A few row groups are in memory at a time. The same parts give the same bytes, and so does the
    same table however it is cut.
    """
    shards.scan().sink_parquet(
        path, compression="zstd", statistics=True, row_group_size=ROW_GROUP, maintain_order=True
    )
