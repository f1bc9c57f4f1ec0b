"""assign for more items than `execution.shard_rows`: codes and ids as tables in parts.

Memory does not grow with the catalogue, but under `reassign`, which looks up the codes of a
prefix group wherever they lie. Codes, ids and figures are those of a table in one file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import polars as pl

from sidmint.artifacts import Artifacts, StageWriter
from sidmint.contracts import SemanticIds as Columns
from sidmint.diagnostics.code_blocks import count_code_blocks
from sidmint.disk import digest
from sidmint.errors import BadInput
from sidmint.execution.engine import Engine
from sidmint.execution.number_columns import NumberColumns
from sidmint.execution.shards import Shards
from sidmint.execution.splitting import digest_of
from sidmint.execution.writing import ShardWriter
from sidmint.layout import Layout
from sidmint.params import Params
from sidmint.partitions import Spill
from sidmint.progress import Track
from sidmint.semantic_ids import SharedCodes
from sidmint.sharded_ids import (
    ShardedIds,
    resolve_shards_by_reassignment,
    resolve_shards_by_suffix,
)
from sidmint.spill_files import spilling
from sidmint.stages.encoding_rows import RowsToEncode, code_table, encode_rows, id_table
from sidmint.stages.resolved import Resolved


@dataclass(frozen=True)
class Run:
    """Rows of a file one behind the other."""

    path: Path
    first: int
    num_rows: int


@dataclass(frozen=True)
class PartToEncode:
    """A part of the table of codes, and the items it is of."""

    rows: RowsToEncode
    items: tuple[Run, ...]
    """Where these items lie."""
    writer: ShardWriter
    index: int
    made_with: str
    """Digest of the tokenizer."""

    @property
    def task_bytes(self) -> int:
        """That of its rows."""
        return self.rows.task_bytes


def assign_parts(
    params: Params,
    artifacts: Artifacts,
    tokenizer: str,
    tasks: Sequence[RowsToEncode],
    out: StageWriter,
    engine: Engine,
    track: Track,
) -> Resolved:
    """Write `codes` and `sids` of the items of `tasks`, a part a task, and say what came of them.

    Goes on from parts of codes that are complete. Raises `BadInput` for `sinkhorn`, which deals
    out the items of all buckets at once, and for a part of codes that is not as it was written.
    """
    from sidmint.stages.assign import RESULT_VERSION
    from sidmint.tokenizers import storage

    if params.assign.resolution == "sinkhorn":
        raise BadInput(
            f"assign.resolution sinkhorn wants all {tasks[-1].stop:,} items in memory, and there "
            f"are more than execution.shard_rows ({params.execution.shard_rows:,}); set it to "
            "suffix or reassign, or execution.shard_rows higher"
        )
    folder = artifacts.folder("train", tokenizer)
    model = storage.load(folder)
    sizes = tuple(model.config.sizes)
    writer = out.parts("codes", Columns.ITEM_ID)
    writer.begin()
    made_with = digest_of(digest(folder / storage.DESCRIPTION), RESULT_VERSION)
    if model.uses_categories:
        made_with = digest_of(made_with, *artifacts.categories().fill_null("").to_list())
    runs = _runs_of(artifacts, tasks)
    parts = [
        PartToEncode(rows, run, writer, index, made_with)
        for index, (rows, run) in enumerate(zip(tasks, runs, strict=True))
    ]
    for _ in engine.map(encode_part, parts, "encoding", track):
        pass
    codes = writer.finish(len(parts))
    artifacts.layout.local.mkdir(exist_ok=True)
    with spilling(artifacts.layout.local) as spill:
        table = _Table(codes, sizes, spill, params.execution.work_bytes)
        before = table.shared(NumberColumns(codes, table.columns), sizes)
        ids = table.resolved(params.assign.resolution, artifacts, tokenizer)
        return _written(table, ids, out.parts("sids", Columns.ITEM_ID), before, track)


@dataclass(frozen=True)
class _Table:
    """The codes of all items, and the room that there is to work on them."""

    codes: Shards
    sizes: tuple[int, ...]
    spill: Spill
    memory: int

    @property
    def columns(self) -> tuple[str, ...]:
        """Those of the codes."""
        return tuple(map(Columns.code, range(1, len(self.sizes) + 1)))

    def shared(self, rows: NumberColumns, sizes: Sequence[int]) -> SharedCodes:
        """`shared_codes` of all rows."""
        found = count_code_blocks(
            rows, sizes, spill=self.spill.below(0), memory=self.memory
        ).collisions
        alone = found.buckets.num_buckets[found.buckets.sizes == 1].sum()
        return SharedCodes(
            num_items=found.num_items,
            num_distinct_codes=found.num_distinct,
            num_collided_items=found.num_items - int(alone),
            largest_bucket=found.largest_bucket,
        )

    def resolved(self, policy: str, artifacts: Artifacts, tokenizer: str) -> ShardedIds:
        """Ids of all items; their changes lie in `spill`."""
        blocks, spill = NumberColumns(self.codes, self.columns), self.spill.below(1)
        if policy == "suffix":
            return resolve_shards_by_suffix(blocks, self.sizes, spill=spill, memory=self.memory)
        from sidmint.tokenizers import storage
        from sidmint.tokenizers.last_level import last_level_distances

        model = storage.load(artifacts.folder("train", tokenizer))
        distances = last_level_distances(model, artifacts.vectors(), np.concatenate(list(blocks)))
        return resolve_shards_by_reassignment(
            blocks, self.sizes, distances, spill=spill, memory=self.memory
        )


def _written(
    table: _Table, ids: ShardedIds, writer: ShardWriter, before: SharedCodes, track: Track
) -> Resolved:
    """Write the ids, then count them as they were written."""
    num_moved, num_null, most_suffix, added = 0, 0, 0, 0.0
    writer.begin()
    for index in track(range(len(table.codes.parts)), "making ids unique"):
        own = ids.shard(index)
        item_ids = pl.read_parquet(table.codes.path(index), columns=[Columns.ITEM_ID]).to_series()
        rows = id_table(item_ids, own)
        writer.write(index, rows, digest_of(table.codes.parts[index].sha256))
        num_moved += int(own.moved.sum())
        num_null += rows[Columns.SEMANTIC_ID].null_count()
        most_suffix = max(most_suffix, int(own.suffixes.max()))
        added += float(own.added_distances.sum())
    sids = writer.finish(len(table.codes.parts))
    published, sizes = table.columns, table.sizes
    if ids.has_suffix:
        published, sizes = (*published, Columns.SUFFIX), (*sizes, most_suffix + 1)
    moved = NumberColumns(sids, table.columns)
    return Resolved(
        before=before,
        after=table.shared(NumberColumns(sids, published), sizes),
        without_suffix=table.shared(moved, table.sizes) if num_moved else before,
        num_null_ids=num_null,
        num_moved=num_moved,
        added_distance=added,
        num_oversized_groups=ids.num_oversized_groups,
        has_suffix=ids.has_suffix,
    )


def _runs_of(artifacts: Artifacts, tasks: Sequence[RowsToEncode]) -> list[tuple[Run, ...]]:
    """Where the items of each task lie; the table is opened once."""
    shards = artifacts.shards("ingest", "items")
    if shards is None:
        path = artifacts.folder("ingest") / "items.parquet"
        return [(Run(path, task.start, task.stop - task.start),) for task in tasks]
    ends = np.cumsum([0, *(part.rows for part in shards.parts)])
    found = []
    for task in tasks:
        first, last = np.searchsorted(ends, [task.start, task.stop - 1], side="right") - 1
        found.append(
            tuple(
                Run(
                    shards.path(part),
                    max(task.start - int(ends[part]), 0),
                    min(task.stop, int(ends[part + 1])) - max(task.start, int(ends[part])),
                )
                for part in range(int(first), int(last) + 1)
            )
        )
    return found


def encode_part(task: PartToEncode) -> None:
    """Write the codes of those items, unless the part is there and was made of the same."""
    artifacts = Artifacts(Layout(task.rows.root))
    rows = task.rows
    item_ids = pl.concat(
        pl.scan_parquet(run.path).select(Columns.ITEM_ID).slice(run.first, run.num_rows).collect()
        for run in task.items
    )[Columns.ITEM_ID].to_list()
    vectors = np.ascontiguousarray(artifacts.array("embed", "embeddings")[rows.start : rows.stop])
    made_of = digest_of(
        task.made_with,
        sha256("\n".join(item_ids).encode()).hexdigest(),
        sha256(vectors.data).hexdigest(),
    )
    if not task.writer.is_complete(task.index, made_of):
        codes = encode_rows(rows)
        task.writer.write(task.index, code_table(item_ids, codes.values), made_of)
