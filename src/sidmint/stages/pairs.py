"""Stage `pairs`: items that belong together in the training interactions.

Reads the catalogue of `ingest`; writes pairs.parquet and metrics.json. Validation, test and
cold events never enter: positives learnt from them would be answers given away.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from sidmint.artifacts import Artifacts
from sidmint.contracts import Interactions, Items, PairsTable
from sidmint.errors import BadInput
from sidmint.pairs import swing
from sidmint.params import Params
from sidmint.progress import Track, silent
from sidmint.seeds import seed_for
from sidmint.types import Outcome, Pairs

RESULT_VERSION = 2


def pairs(params: Params, artifacts: Artifacts, track: Track = silent) -> Outcome:
    """Swing pairs of the catalogue on disk (`sidmint.pairs.swing` has the formula).

    Raises `BadInput` when a training event names an item that the catalogue does not hold.
    A log without any pair is no error, nor is a catalogue without a log: not every tokenizer
    reads pairs.
    """
    item_ids = artifacts.items()[Items.ITEM_ID]
    events = _training_events(artifacts.interactions(), item_ids)
    found = swing(
        events["user"].to_numpy(),
        events["row"].to_numpy(),
        num_items=len(item_ids),
        seed=seed_for(params.seed, "pairs", "users read"),
        track=track,
        **params.pairs.model_dump(),
    )
    metrics = _metrics(found, events["row"].n_unique())
    with artifacts.writing("pairs") as out:
        out.table("pairs", _table(found, item_ids))
        out.metrics(metrics)
    return Outcome(_headline(metrics, params), metrics)


def _training_events(interactions: pl.DataFrame, item_ids: pl.Series) -> pl.DataFrame:
    """Training events as integers: `user`, numbered by user id, and `row` of the item."""
    rows = pl.DataFrame({Items.ITEM_ID: item_ids}).with_row_index("row")
    events = (
        interactions.lazy()
        .filter(pl.col(Interactions.SPLIT) == "train")
        .select(
            pl.col(Interactions.USER_ID).rank("dense").alias("user"),
            pl.col(Interactions.ITEM_ID),
        )
        .join(rows.lazy(), on=Interactions.ITEM_ID, how="left", maintain_order="left")
        .collect()
    )
    unknown = events.filter(pl.col("row").is_null())[Interactions.ITEM_ID]
    if len(unknown):
        raise BadInput(
            f"{len(unknown)} training interactions name items that the catalogue lacks, "
            f"the first of them {unknown[0]!r}; delete data/build/ingest and `sidmint run`"
        )
    return events


def _table(found: Pairs, item_ids: pl.Series) -> pl.DataFrame:
    return pl.DataFrame(
        {
            PairsTable.TRIGGER: item_ids.gather(found.triggers),
            PairsTable.TARGET: item_ids.gather(found.targets),
            PairsTable.SCORE: found.scores,
        }
    )


def _metrics(found: Pairs, num_met: int) -> dict[str, float]:
    """Counts, and shares of the `num_met` items that have a training event; no share of none."""
    num_triggers = len(np.unique(found.triggers))
    counts: dict[str, float] = {"num_pairs": len(found), "num_triggers": num_triggers}
    if num_met:
        counts["trigger_share"] = num_triggers / num_met
    return counts | ({"pairs_per_trigger": len(found) / num_triggers} if num_triggers else {})


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
