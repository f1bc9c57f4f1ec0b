"""Items as an engine encodes them, some rows at a time, and the tables that come of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from sidmint.artifacts import Artifacts
from sidmint.contracts import SemanticIds as Columns
from sidmint.errors import BadInput
from sidmint.layout import Layout
from sidmint.rows import ROWS_AT_ONCE
from sidmint.semantic_ids import SemanticIds
from sidmint.types import Codes, Ints


@dataclass(frozen=True)
class RowsToEncode:
    """Items `start` to `stop` of the workspace at `root`, for one of its tokenizers."""

    root: Path
    tokenizer: str
    start: int
    stop: int
    num_dimensions: int

    @property
    def task_bytes(self) -> int:
        """Vectors as float32 three times over (as read, as latents, what is left of them), ids."""
        rows = min(self.stop - self.start, ROWS_AT_ONCE)
        return rows * self.num_dimensions * 12 + (self.stop - self.start) * 200


def encode_rows(task: RowsToEncode) -> Codes:
    """The codes of those items; `BadInput` names the first whose vector is not finite."""
    from sidmint.tokenizers import check_vectors, storage

    artifacts = Artifacts(Layout(task.root))
    model = storage.load(artifacts.folder("train", task.tokenizer))
    vectors = artifacts.array("embed", "embeddings")
    categories = artifacts.categories() if model.uses_categories else None
    pieces = []
    for start in range(task.start, task.stop, ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE, task.stop)
        try:
            piece = check_vectors(vectors[start:stop], model.num_dimensions)
        except BadInput:  # ids are read to name one alone
            check_vectors(vectors[start:stop], None, artifacts.item_ids_of(start, stop))
            raise
        own = None if categories is None else categories[start:stop].to_list()
        pieces.append(model.encode(piece, categories=own))
    return Codes(np.concatenate(pieces), model.config.sizes)


def rows_to_encode(
    artifacts: Artifacts, tokenizer: str, shard_rows: int
) -> tuple[RowsToEncode, ...]:
    """All items of the catalogue, `shard_rows` at a time, for `tokenizer`."""
    num_items, num_dimensions = artifacts.array("embed", "embeddings").shape
    return tuple(
        RowsToEncode(
            artifacts.layout.root,
            tokenizer,
            start,
            min(start + shard_rows, num_items),
            num_dimensions,
        )
        for start in range(0, num_items, shard_rows)
    )


def code_table(item_ids: Sequence[str] | pl.Series, values: Ints) -> pl.DataFrame:
    """The table codes.parquet of `values` (n, L), a row an item."""
    columns = {Columns.code(level + 1): values[:, level] for level in range(values.shape[1])}
    return pl.DataFrame({Columns.ITEM_ID: item_ids, **columns})


def id_table(item_ids: Sequence[str] | pl.Series, ids: SemanticIds) -> pl.DataFrame:
    """The table sids.parquet (`contracts.SemanticIds`) of `ids`, a row an item."""
    return code_table(item_ids, ids.codes.values).with_columns(
        pl.Series(Columns.SUFFIX, ids.suffixes),
        pl.Series(Columns.SEMANTIC_ID, ids.strings(), dtype=pl.String),
    )
