"""assign: every item its codes, and codes made unique Semantic IDs.

Items are encoded `execution.shard_rows` at a time, by the engine that the command was given: a
row's codes are its own, so neither changes a byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from sidmint.artifacts import Artifacts
from sidmint.contracts import SemanticIds as Columns
from sidmint.errors import BadInput
from sidmint.execution.engine import Engine, InThisProcess
from sidmint.layout import Layout
from sidmint.params import AssignParams, Params, SinkhornParams
from sidmint.progress import Track, silent
from sidmint.rows import ROWS_AT_ONCE
from sidmint.semantic_ids import (
    SemanticIds,
    SharedCodes,
    Spread,
    resolve_by_reassignment,
    resolve_by_spreading,
    resolve_by_suffix,
    shared_codes,
)
from sidmint.types import Codes, Ints, Outcome

RESULT_VERSION = 2

_HERE = InThisProcess()


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


def assign(
    params: Params,
    artifacts: Artifacts,
    tokenizer: str,
    track: Track = silent,
    engine: Engine = _HERE,
) -> Outcome:
    """Encode all items, cold ones too, and resolve collisions as `assign.resolution` says."""
    item_ids = artifacts.items()[Columns.ITEM_ID].to_list()
    vectors = artifacts.array("embed", "embeddings")
    size = params.execution.shard_rows
    tasks = [
        RowsToEncode(
            artifacts.layout.root,
            tokenizer,
            start,
            min(start + size, len(vectors)),
            vectors.shape[1],
        )
        for start in range(0, len(vectors), size)
    ]
    encoded = list(engine.map(encode_rows, tasks, "encoding", track))
    codes = Codes(np.concatenate([each.values for each in encoded]), encoded[0].sizes)
    ids = _resolve(params.assign, artifacts, tokenizer, codes, item_ids)
    table = id_table(item_ids, ids)
    before, after = shared_codes(codes.values), shared_codes(ids.parts)
    metrics = _metrics(before, after, ids, table)
    with artifacts.writing("assign", tokenizer) as out:
        out.table("codes", _code_table(item_ids, codes.values))
        out.table("sids", table)
        out.json("collisions", _report(params.assign.resolution, before, after, ids))
        out.metrics(metrics)
    return Outcome(_headline(tokenizer, params.assign.resolution, before, ids), metrics)


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


def _resolve(
    settings: AssignParams,
    artifacts: Artifacts,
    tokenizer: str,
    codes: Codes,
    item_ids: Sequence[str],
) -> SemanticIds:
    if settings.resolution == "suffix":
        return resolve_by_suffix(codes, item_ids)
    from sidmint.tokenizers import storage
    from sidmint.tokenizers.last_level import last_level_distances

    model = storage.load(artifacts.folder("train", tokenizer))
    distances = last_level_distances(model, artifacts.embeddings().vectors, codes.values)
    if settings.resolution == "reassign":
        return resolve_by_reassignment(codes, item_ids, distances)
    spread = _balanced(settings.sinkhorn)
    return resolve_by_spreading(codes, item_ids, distances, spread, settings.sinkhorn.rounds)


def _balanced(settings: SinkhornParams) -> Spread:
    """Codes of a bucket by transport between its items and all last codes."""
    import torch

    from sidmint.quantization.sinkhorn import dealt_codes

    def spread(distances: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        costs = torch.from_numpy(distances)
        return np.asarray(dealt_codes(costs, settings.epsilon, settings.iterations).numpy())

    return spread


def _metrics(
    before: SharedCodes, after: SharedCodes, ids: SemanticIds, table: pl.DataFrame
) -> dict[str, float]:
    alone = shared_codes(ids.codes.values)
    return {
        "num_items": before.num_items,
        "num_null_ids": table[Columns.SEMANTIC_ID].null_count(),
        "num_distinct_codes": before.num_distinct_codes,
        "collision_rate": before.collision_rate,
        "collided_item_rate": before.collided_item_rate,
        "largest_bucket": before.largest_bucket,
        "resolved_collision_rate": after.collision_rate,
        "moved_item_rate": float(ids.moved.mean()),
        "suffixed_item_rate": alone.collided_item_rate,
        "added_distortion": float(ids.added_distances.mean()),
    }


def _report(
    policy: str, before: SharedCodes, after: SharedCodes, ids: SemanticIds
) -> dict[str, object]:
    return {
        "policy": policy,
        "before": _as_plain(before),
        "after": _as_plain(after),
        "moves": int(ids.moved.sum()),
        "added_squared_distance": float(ids.added_distances.sum()),
        "num_suffixed_items": shared_codes(ids.codes.values).num_collided_items,
        "num_oversized_groups": ids.num_oversized_groups,
    }


def _as_plain(shared: SharedCodes) -> dict[str, float]:
    return {
        "num_items": shared.num_items,
        "num_distinct_codes": shared.num_distinct_codes,
        "collision_rate": shared.collision_rate,
        "collided_item_rate": shared.collided_item_rate,
        "largest_bucket": shared.largest_bucket,
    }


def _headline(tokenizer: str, policy: str, before: SharedCodes, ids: SemanticIds) -> str:
    said = (
        f"{tokenizer}: {before.num_items:,} items in {before.num_distinct_codes:,} codes "
        f"(collision rate {before.collision_rate:.3f}), made unique by {policy}"
    )
    if policy != "suffix":
        said += f", {ids.moved.sum():,} moved"
    if ids.num_oversized_groups:
        said += (
            f"; {ids.num_oversized_groups:,} groups hold more items than the last level has codes "
            "and got suffixes"
        )
    if policy == "sinkhorn" and ids.has_suffix:
        num_left = shared_codes(ids.codes.values).num_collided_items
        said += f"; {num_left:,} items still share a code and got suffixes"
    return said


def _code_table(item_ids: Sequence[str], values: Ints) -> pl.DataFrame:
    columns = {Columns.code(level + 1): values[:, level] for level in range(values.shape[1])}
    return pl.DataFrame({Columns.ITEM_ID: list(item_ids), **columns})


def id_table(item_ids: Sequence[str], ids: SemanticIds) -> pl.DataFrame:
    """The table sids.parquet (`contracts.SemanticIds`) of `ids`, a row an item."""
    return _code_table(item_ids, ids.codes.values).with_columns(
        pl.Series(Columns.SUFFIX, ids.suffixes),
        pl.Series(Columns.SEMANTIC_ID, ids.strings(), dtype=pl.String),
    )
