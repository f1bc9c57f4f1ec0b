"""Stage `pairs`: items that belong together in the training interactions.

Reads the catalogue of `ingest`; writes pairs.parquet and metrics.json. Validation, test and
cold events never enter: positives learnt from them would be answers given away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import overload

import numpy as np
import polars as pl

from sidmint.artifacts import Artifacts
from sidmint.catalogue.id_rows import IdRows
from sidmint.contracts import Interactions, Items, PairsTable
from sidmint.errors import BadInput
from sidmint.event_log import build_event_log
from sidmint.execution.splitting import split
from sidmint.pairs import swing_of_log
from sidmint.params import Params
from sidmint.partitions import MemorySpill, Spill
from sidmint.progress import Track, silent
from sidmint.ranges import Array
from sidmint.seeds import seed_for
from sidmint.spill_files import spilling
from sidmint.types import Outcome, Pairs

RESULT_VERSION = 2


def pairs(params: Params, artifacts: Artifacts, track: Track = silent) -> Outcome:
    """Swing pairs of the catalogue on disk (`sidmint.pairs.swing` has the formula).

    Of more items than `execution.shard_rows` the log is counted in files and pairs are a table in
    parts: the same pairs, in memory that grows with users and items, not with their events.

    Raises `BadInput` when a training event names an item that the catalogue does not hold.
    A log without any pair is no error, nor is a catalogue without a log: not every tokenizer
    reads pairs.
    """
    item_ids = artifacts.items(Items.ITEM_ID).to_series()
    shard_rows = params.execution.shard_rows
    in_parts = len(item_ids) > shard_rows
    events = TrainingEvents(artifacts, item_ids)
    settings = params.pairs.model_dump()
    most_users = settings.pop("max_users_per_item")
    with _room(artifacts, in_parts) as spill, artifacts.writing("pairs") as out:
        log = build_event_log(
            events if in_parts else list(events),  # each block is asked for twice
            num_users=events.num_users,
            num_items=len(item_ids),
            most_users=most_users,
            seed=seed_for(params.seed, "pairs", "users read"),
            spill=spill,
        )
        found = swing_of_log(log, **settings, track=track)
        counted = _Counted(num_met=int((np.diff(log.user_starts) > 0).sum()))
        tables = counted.through(found, item_ids)
        if in_parts and (first := next((some for some in tables if len(some)), None)) is not None:
            folder = out.parts("pairs", _KEY, unique=False).folder
            split(chain([first], tables), folder, _KEY, "swing", shard_rows, unique=False)
        else:
            out.table("pairs", pl.concat([_EMPTY, *tables]))
        out.metrics(counted.metrics())
    return Outcome(_headline(counted.metrics(), params), counted.metrics())


_KEY = PairsTable.TRIGGER
_EMPTY = pl.DataFrame(
    schema={
        PairsTable.TRIGGER: pl.String,
        PairsTable.TARGET: pl.String,
        PairsTable.SCORE: pl.Float32,
    }
)


@contextmanager
def _room(artifacts: Artifacts, in_files: bool) -> Iterator[Spill]:
    if not in_files:
        yield MemorySpill()
        return
    artifacts.layout.local.mkdir(exist_ok=True)
    with spilling(artifacts.layout.local) as spill:
        yield spill


class TrainingEvents(Sequence[tuple[Array, Array]]):
    """Training events as (users, item rows) (n,) each, a block a part of the log.

    Users are numbered in the order of their ids, below `num_users`. A part is read whenever its
    block is asked for.
    """

    def __init__(self, artifacts: Artifacts, item_ids: pl.Series) -> None:
        self._rows = IdRows(item_ids)
        shards = artifacts.shards("ingest", "interactions")
        self._parts = (
            [pl.scan_parquet(shards.path(index)) for index in range(len(shards.parts))]
            if shards
            else [artifacts.scan("ingest", "interactions")]
        )
        self._starts, self.num_users = list[int](), 0
        last: str | None = None
        for part in self._parts:
            users = part.select(Interactions.USER_ID).collect().to_series()
            goes_on = not users.is_empty() and users[0] == last
            self._starts.append(self.num_users - goes_on)
            self.num_users = self._starts[-1] + users.n_unique()
            last = users[-1] if len(users) else last

    def __len__(self) -> int:
        return len(self._parts)

    @overload
    def __getitem__(self, index: int) -> tuple[Array, Array]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[tuple[Array, Array]]: ...
    def __getitem__(
        self, index: int | slice
    ) -> tuple[Array, Array] | Sequence[tuple[Array, Array]]:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        events = (
            self._parts[index]
            .select(
                (pl.col(Interactions.USER_ID).rank("dense").cast(pl.Int64) - 1).alias("user"),
                Interactions.ITEM_ID,
                Interactions.SPLIT,
            )
            .filter(pl.col(Interactions.SPLIT) == "train")
            .collect()
        )
        rows = self._rows.of(events[Interactions.ITEM_ID])
        _require_known(events[Interactions.ITEM_ID], rows)
        users = events["user"].to_numpy() + self._starts[index]
        return users.astype(np.int32), rows.astype(np.int32)


def _require_known(item_ids: pl.Series, rows: Array) -> None:
    unknown = item_ids.filter(pl.Series(rows < 0))
    if len(unknown):
        raise BadInput(
            f"{len(unknown)} training interactions name items that the catalogue lacks, "
            f"the first of them {unknown[0]!r}; delete data/build/ingest and `sidmint run`"
        )


@dataclass
class _Counted:
    """Counts of pairs as they pass, of which there may be too many to keep."""

    num_met: int
    """Items that have a training event."""
    num_pairs: int = 0
    num_triggers: int = 0

    def through(self, found: Iterable[Pairs], item_ids: pl.Series) -> Iterator[pl.DataFrame]:
        """`found` as tables, counted. No trigger comes in two of them."""
        for some in found:
            self.num_pairs += len(some)
            self.num_triggers += len(np.unique(some.triggers))
            yield pl.DataFrame(
                {
                    PairsTable.TRIGGER: item_ids.gather(some.triggers),
                    PairsTable.TARGET: item_ids.gather(some.targets),
                    PairsTable.SCORE: some.scores,
                }
            )

    def metrics(self) -> dict[str, float]:
        """Counts, and shares of the items that have a training event; no share of none."""
        counts: dict[str, float] = {
            "num_pairs": self.num_pairs,
            "num_triggers": self.num_triggers,
        }
        if self.num_met:
            counts["trigger_share"] = self.num_triggers / self.num_met
        if self.num_triggers:
            counts["pairs_per_trigger"] = self.num_pairs / self.num_triggers
        return counts


def _headline(metrics: dict[str, float], params: Params) -> str:
    if "trigger_share" not in metrics:
        return "no pairs: there is no training interaction to learn them from"
    if not metrics["num_pairs"]:
        return (
            f"no pairs: no two items share {params.pairs.min_common_users} training users "
            f"with a score over {params.pairs.min_score}"
        )
    return (
        f"{metrics['num_pairs']:,} pairs; {metrics['trigger_share']:.1%} of the items trained on "
        f"are a trigger, with {metrics['pairs_per_trigger']:.1f} targets on average"
    )
