"""recommend: a recommender is trained on a table's ids and asked for held-out events.

Reads ingest, embed and assign (or the champion's table in data/champion); writes rows.parquet
(one row a seed and case), curve.parquet, the recommender of the first seed, and metrics.json.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from sidmint.artifacts import Artifacts
from sidmint.contracts import NO_LOG, Interactions, Items, SemanticIds
from sidmint.errors import BadInput
from sidmint.evaluation import recommendation as judged
from sidmint.params import Params, RecommendParams
from sidmint.progress import Track, silent
from sidmint.publishing.snapshot import champion_ids
from sidmint.recommenders.base import FitReport, Recommendations, Recommender
from sidmint.recommenders.cases import TEST, TRAIN, VALIDATION, Split, split_sequences
from sidmint.recommenders.id_table import IdTable, codes_in, id_table_of
from sidmint.recommenders.sequences import Sequences
from sidmint.recommenders.storage import make_recommender, save
from sidmint.seeds import seed_for
from sidmint.types import Ints, Outcome

RESULT_VERSION = 5

CHAMPION = "champion"
"""Takes the place of a tokenizer's name: the published table, under today's settings."""

_HEALTH_USERS = 2000
_PARTS = {"train": TRAIN, "validation": VALIDATION, "test": TEST, "cold": TEST}


def recommend(
    params: Params, artifacts: Artifacts, tokenizer: str, track: Track = silent
) -> Outcome:
    """Train `recommend.seeds` recommenders on one table and score their lists.

    Every table gets the same recommender, settings, seeds, events and cases, the champion's
    table too (`tokenizer` is "champion"): what differs is the ids. An item of the log that a
    table has no id for cannot be recommended; a case that asks for one is a miss.
    """
    settings = params.recommend
    if settings is None:
        return _skipped(artifacts, tokenizer, "recommend is null in params.yaml")
    if not artifacts.has_log():
        return _skipped(artifacts, tokenizer, NO_LOG)
    published = _published(params, artifacts, tokenizer)
    if published is None:
        return _skipped(artifacts, tokenizer, "there is no champion yet")
    world = _world(artifacts, published)
    rounds = []
    with _threads(settings.threads):
        for number in range(settings.seeds):
            where = f"recommend.settings ({settings.recommender})"
            recommender = make_recommender(settings.recommender, settings.settings, where)
            seed = seed_for(params.seed, "recommend", str(number))
            device = params.train.device
            rounds.append(_one_round(recommender, world, settings, seed, device, track))
    metrics = _metrics(rounds, world, settings)
    with artifacts.writing("recommend", tokenizer) as out:
        out.table("rows", _rows(rounds, world))
        out.table("curve", _curve(rounds))
        save(rounds[0].recommender, world.table, out.folder)
        out.metrics(metrics)
    said = "; ".join([_headline(tokenizer, settings, metrics), *rounds[0].report.notes])
    return Outcome(said, metrics)


def places_of(
    params: RecommendParams,
    seed: int,
    device: str,
    artifacts: Artifacts,
    published: pl.DataFrame,
    track: Track = silent,
) -> tuple[list[str], Ints]:
    """Who was asked, and the place (C,) of each held-out event in a recommender's list; 0: none.

    One training on the table `published` (columns as in sids.parquet). `seed` is that of the
    recommender. Cases on items without an id are misses, last of all.
    """
    world = _world(artifacts, published)
    recommender = make_recommender(params.recommender, params.settings, "recommend.settings")
    with _threads(params.threads):
        found = _one_round(recommender, world, params, seed, device, track)
    users = [*world.cases[Interactions.USER_ID], *world.missed[Interactions.USER_ID]]
    misses = np.zeros(world.missed.height, dtype=np.int32)
    return users, np.append(found.places, misses)


def check_recommender(params: Params) -> None:
    """Build the recommender of the run, untrained, so that a wrong setting is found at once."""
    if params.recommend is not None:
        name = params.recommend.recommender
        make_recommender(name, params.recommend.settings, f"recommend.settings ({name})")


@dataclass(frozen=True)
class _World:
    """One table and the questions put to it, items as rows of the table."""

    table: IdTable
    split: Split
    cases: pl.DataFrame
    """user_id, position and item_id of each case that is asked."""
    bucket_codes: Ints
    """Codes before resolution, by table row."""
    cold: npt.NDArray[np.bool_]
    missed: pl.DataFrame
    """Cases on items that the table has no id for: misses, asked of nobody."""


@dataclass(frozen=True)
class _Round:
    recommender: Recommender
    report: FitReport
    places: Ints
    tuple_places: Ints
    found: Recommendations


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Torch's threads for a while. Their number is a setting, since it changes the last bits."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _one_round(
    recommender: Recommender,
    world: _World,
    settings: RecommendParams,
    seed: int,
    device: str,
    track: Track,
) -> _Round:
    split = world.split
    report = recommender.fit(
        split.train, world.table, split.validation, seed=seed, device=device, track=track
    )
    found = recommender.recommend(
        split.test.histories,
        min(max(settings.cutoffs), len(world.table)),
        exclude_history=settings.history_masked,
        track=track,
    )
    places = judged.target_places(found.items, split.test.targets)
    by_tuple = judged.tuple_places(found.items, split.test.targets, world.bucket_codes)
    return _Round(recommender, report, places, by_tuple, found)


def _published(params: Params, artifacts: Artifacts, tokenizer: str) -> pl.DataFrame | None:
    """The table to judge: assign's, or the champion's where there is one."""
    if tokenizer != CHAMPION:
        return artifacts.table("assign", "sids", tokenizer)
    return champion_ids(artifacts.layout)


def _world(artifacts: Artifacts, published: pl.DataFrame) -> _World:
    items = artifacts.items()
    catalogue = items.select(Items.ITEM_ID, Items.COLD).with_row_index("catalogue_row")
    known = published.join(catalogue, on=SemanticIds.ITEM_ID, how="inner", maintain_order="left")
    if known.is_empty():
        raise BadInput("the table has no item of today's catalogue, so nobody can use its ids")
    vectors = artifacts.embeddings().vectors[known["catalogue_row"].to_numpy()]
    events = artifacts.interactions().join(
        known.select(Items.ITEM_ID).with_row_index("row"),
        on=Interactions.ITEM_ID,
        how="left",
        maintain_order="left",
    )
    asked = events.filter(pl.col("row").is_not_null())
    users = asked[Interactions.USER_ID].rank("dense").to_numpy().astype(np.int64) - 1
    rows = asked["row"].to_numpy().astype(np.int32)
    parts = asked[Interactions.SPLIT].replace_strict(_PARTS, return_dtype=pl.Int8).to_numpy()
    split = split_sequences(users, rows, parts)
    named = (Interactions.USER_ID, Interactions.POSITION, Interactions.ITEM_ID)
    is_case = pl.col(Interactions.SPLIT).is_in(["test", "cold"])
    missed = events.filter(pl.col("row").is_null() & is_case)
    return _World(
        table=id_table_of(known, vectors),
        split=split,
        cases=asked.select(named)[split.test_events],
        bucket_codes=codes_in(known),
        cold=known[Items.COLD].to_numpy(),
        missed=missed.select(named),
    )


def _metrics(rounds: list[_Round], world: _World, settings: RecommendParams) -> dict[str, float]:
    """Means over seeds; what lists are made of and whether history matters, of the first seed."""
    misses = np.zeros(world.missed.height, dtype=np.int32)
    by_item = [np.append(one.places, misses) for one in rounds]
    by_tuple = [np.append(one.tuple_places, misses) for one in rounds]
    metrics: dict[str, float] = {"num_recommend_cases": len(by_item[0])}
    if not len(by_item[0]):
        return metrics
    judging = by_item if settings.credit == "item" else by_tuple
    each = [judged.list_metrics(places, settings.cutoffs) for places in judging]
    metrics |= {name: float(np.mean([one[name] for one in each])) for name in each[0]}
    for cutoff in settings.cutoffs:
        rates = [judged.hits(places, cutoff).mean() for places in by_tuple]
        metrics[f"recommend_tuple_hr_at_{cutoff}"] = float(np.mean(rates))
    if len(rounds) > 1:
        values = [one["recommend_ndcg_at_10"] for one in each]
        metrics["recommend_ndcg_spread"] = float(np.std(values, ddof=1))
    return metrics | _health(rounds[0], world) | _decodable(world)


def _health(first: _Round, world: _World) -> dict[str, float]:
    top = first.found.items[:, :10]
    if not len(top):
        return {}
    made_of = judged.spread(top, world.cold)
    histories = world.split.test.histories
    asked = histories.take(np.arange(min(_HEALTH_USERS, len(histories))))
    nobody = Sequences.of([[]])
    with_history = first.recommender.predictions(asked)
    effect = judged.history_effect(with_history, first.recommender.predictions(nobody)[0])
    listed = top[:_HEALTH_USERS]
    return {
        "recommend_coverage": made_of.coverage,
        "recommend_gini": made_of.gini,
        "recommend_cold_share": made_of.cold_share,
        "recommend_history_effect": effect,
        "recommend_distinct_items": len(np.unique(listed[listed >= 0])),
    }


def _decodable(world: _World) -> dict[str, float]:
    """Share of cold items whose prefix of l codes stands on an item of a training event.

    It says what a generative recommender can reach before any is trained: codes after a prefix
    that training never wrote are guesses.
    """
    codes = world.bucket_codes
    if not world.cold.any():
        return {}
    seen = np.zeros(len(codes), dtype=bool)
    seen[world.split.train.items] = True
    found = {}
    for length in range(1, codes.shape[1] + 1):
        _, prefix = np.unique(codes[:, :length], axis=0, return_inverse=True)
        known = np.isin(prefix.reshape(-1)[world.cold], prefix.reshape(-1)[seen])
        found[f"decodable_{length}"] = float(known.mean())
    return found


def _rows(rounds: list[_Round], world: _World) -> pl.DataFrame:
    """One row a seed and case; `place` and `tuple_place` are 0 where the list lacks the target."""
    misses = np.zeros(world.missed.height, dtype=np.int32)
    cases = pl.concat([world.cases, world.missed])
    frames = [
        cases.with_columns(
            pl.lit(number, dtype=pl.Int32).alias("seed"),
            pl.Series("place", np.append(one.places, misses)),
            pl.Series("tuple_place", np.append(one.tuple_places, misses)),
        )
        for number, one in enumerate(rounds)
    ]
    return pl.concat(frames).sort("seed", Interactions.USER_ID, Interactions.POSITION)


def _curve(rounds: list[_Round]) -> pl.DataFrame:
    """Checks of each training; seconds are left out, since equal runs are equal bytes."""
    schema = {"seed": pl.Int32, "step": pl.Int64, "metric": pl.String, "value": pl.Float64}
    rows = [
        (number, int(check["epoch"]), metric, float(value))
        for number, one in enumerate(rounds)
        for check in one.report.curve
        for metric, value in check.items()
        if metric not in ("epoch", "seconds")
    ]
    return pl.DataFrame(rows, schema=schema, orient="row").sort("seed", "metric", "step")


def _skipped(artifacts: Artifacts, tokenizer: str, why: str) -> Outcome:
    with artifacts.writing("recommend", tokenizer) as out:
        out.json("skipped", {"reason": why})
        out.metrics({})
    return Outcome(f"{tokenizer}: no recommender was trained: {why}")


def _headline(tokenizer: str, settings: RecommendParams, metrics: dict[str, float]) -> str:
    if "recommend_ndcg_at_10" not in metrics:
        return f"{tokenizer}: no held-out case to ask {settings.recommender} for"
    spread = metrics.get("recommend_ndcg_spread")
    over = f" +- {spread:.4f} over {settings.seeds} seeds" if spread is not None else ""
    return (
        f"{tokenizer} used by {settings.recommender}: HR@10 {metrics['recommend_hr_at_10']:.4f}, "
        f"NDCG@10 {metrics['recommend_ndcg_at_10']:.4f}{over}, "
        f"{metrics['num_recommend_cases']:,} cases"
    )
