"""assign: every item its codes, and codes made unique Semantic IDs.

Items are encoded `execution.shard_rows` at a time, by the engine that the command was given: a
row's codes are its own, so neither changes one. Of more items than that, codes and ids are tables
in parts (`assign_parts`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sidmint.artifacts import Artifacts
from sidmint.contracts import SemanticIds as Columns
from sidmint.execution.engine import Engine, InThisProcess
from sidmint.params import AssignParams, Params, SinkhornParams
from sidmint.progress import Track, silent
from sidmint.semantic_ids import (
    SemanticIds,
    Spread,
    resolve_by_reassignment,
    resolve_by_spreading,
    resolve_by_suffix,
    shared_codes,
)
from sidmint.stages.encoding_rows import code_table, encode_rows, id_table, rows_to_encode
from sidmint.stages.resolved import Resolved
from sidmint.types import Codes, Outcome

RESULT_VERSION = 2

_HERE = InThisProcess()


def assign(
    params: Params,
    artifacts: Artifacts,
    tokenizer: str,
    track: Track = silent,
    engine: Engine = _HERE,
) -> Outcome:
    """Encode all items, cold ones too, and resolve collisions as `assign.resolution` says."""
    tasks = rows_to_encode(artifacts, tokenizer, params.execution.shard_rows)
    policy = params.assign.resolution
    with artifacts.writing("assign", tokenizer, in_parts=len(tasks) > 1) as out:
        if len(tasks) > 1:
            from sidmint.stages.assign_parts import assign_parts

            found = assign_parts(params, artifacts, tokenizer, tasks, out, engine, track)
        else:
            item_ids = artifacts.items(Columns.ITEM_ID)[Columns.ITEM_ID].to_list()
            (codes,) = engine.map(encode_rows, tasks, "encoding", track)
            ids = _resolve(params.assign, artifacts, tokenizer, codes, item_ids)
            table = id_table(item_ids, ids)
            found = _resolved(codes, ids, table[Columns.SEMANTIC_ID].null_count())
            out.table("codes", code_table(item_ids, codes.values))
            out.table("sids", table)
        out.json("collisions", found.report(policy))
        out.metrics(found.metrics())
    return Outcome(found.headline(tokenizer, policy), found.metrics())


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
    distances = last_level_distances(model, artifacts.vectors(), codes.values)
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


def _resolved(codes: Codes, ids: SemanticIds, num_null_ids: int) -> Resolved:
    return Resolved(
        before=shared_codes(codes.values),
        after=shared_codes(ids.parts),
        without_suffix=shared_codes(ids.codes.values),
        num_null_ids=num_null_ids,
        num_moved=int(ids.moved.sum()),
        added_distance=float(ids.added_distances.sum()),
        num_oversized_groups=ids.num_oversized_groups,
        has_suffix=ids.has_suffix,
    )
