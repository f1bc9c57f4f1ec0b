"""Parts of a table as one file."""

from __future__ import annotations

from errno import EIO
from pathlib import Path

import polars as pl

from sidmint.execution.shards import ROW_GROUP, Shards


def join(shards: Shards, path: Path) -> None:
    """Write all rows of `shards` into one Parquet file at `path`, in the order of their key.

    A few row groups are in memory at a time. The same parts give the same bytes, and so does the
    same table however it is cut. `OSError` where the disk refuses.
    """
    try:
        shards.scan().sink_parquet(
            path, compression="zstd", statistics=True, row_group_size=ROW_GROUP, maintain_order=True
        )
    except pl.exceptions.ComputeError as error:
        # Where the disk refuses, Polars says that the content is bad; the parts were opened before.
        raise OSError(EIO, f"Polars could not write it: {error}", str(path)) from error
