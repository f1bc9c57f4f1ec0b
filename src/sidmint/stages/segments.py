"""segments: the evaluation split by head, torso, tail and cold items, and where cold items land.

Reads ingest, embed, train, assign, evaluate and recommend; writes segments.parquet, cold.json
and metrics.json, and where a recommender was trained recommended.parquet and, beside a champion,
comparison.parquet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from sidmint.artifacts import Artifacts
from sidmint.contracts import NO_LOG, STANDINGS, Items
from sidmint.diagnostics import Reconstruction, reconstruction
from sidmint.diagnostics.reconstruction import total
from sidmint.evaluation import (
    SEGMENTS,
    ColdReach,
    Ranks,
    SegmentScore,
    assign_segments,
    cold_reach,
    score_segments,
    segments_by_count,
)
from sidmint.evaluation.recommended import Recommended, recommended_by_segment
from sidmint.params import Params
from sidmint.progress import Track, silent
from sidmint.rows import MOST_BYTES, ROWS_AT_ONCE, Rows, mean_of, rows_made
from sidmint.types import Ints, Outcome

if TYPE_CHECKING:
    from sidmint.tokenizers.base import Tokenizer

RESULT_VERSION = 5


def segments(
    params: Params, artifacts: Artifacts, tokenizer: str, track: Track = silent
) -> Outcome:
    """Hit rates by the popularity of the target, and how ids serve items without history.

    Ranks come from evaluate: nothing is searched again. A figure that a segment cannot have (no
    case, no cold item, original vectors no better than chance) is left out of the metrics and
    null in the table: a gate rule on it then fails for want of it.
    """
    items = artifacts.items(Items.COLD, Items.STANDING, Items.NUM_TRAIN)
    cold = items[Items.COLD].to_numpy()
    num_train = items[Items.NUM_TRAIN].to_numpy()
    if params.segments.counts is None:
        shares = params.segments.head_share, params.segments.torso_share
        segment_of = assign_segments(num_train, cold, *shares)
    else:
        segment_of = segments_by_count(num_train, cold, params.segments.counts)
    cutoffs = artifacts.table("evaluate", "hit_rates", tokenizer)["k"].unique().sort().to_list()
    cases = artifacts.table("evaluate", "cases", tokenizer)
    scores = score_segments(
        segment_of,
        cases["target_row"].to_numpy(),
        _ranks(cases, "original"),
        _ranks(cases, "reconstructed"),
        cutoffs,
    )
    cold_metrics, cold_page = _cold(artifacts, tokenizer, items)
    metrics = {**cold_metrics, **_segment_metrics(scores)}
    recommended = _recommended(params, artifacts, tokenizer, segment_of)
    metrics |= recommended.metrics if recommended else {}
    with artifacts.writing("segments", tokenizer) as out:
        out.table("segments", _segment_table(scores, cutoffs))
        out.json("cold", cold_page)
        if recommended is not None:
            out.table("recommended", recommended.by_segment)
            if recommended.comparison is not None:
                out.table("comparison", recommended.comparison)
        out.metrics(metrics)
    if not (~cold).any():
        return Outcome(f"{tokenizer}: no segment has a case: {NO_LOG}", metrics)
    return Outcome(_headline(tokenizer, scores, cutoffs, metrics), metrics)


def _ranks(cases: pl.DataFrame, space: str) -> Ranks:
    better, tied = (
        cases[f"{space}_{side}"].to_numpy().astype(np.int64) for side in ("better", "tied")
    )
    return Ranks(better, tied)


def _cold(
    artifacts: Artifacts, tokenizer: str, items: pl.DataFrame
) -> tuple[dict[str, float], dict[str, Any]]:
    """Metrics of the cold items, and the page cold.json that describes them, by standing too.

    Reach (`cold_coverage` and the like) is asked of every cold item: a recommender has learned
    none of them. The error is asked of those that the tokenizer was not fitted on, and of nobody
    where it was fitted on all.
    """
    from sidmint.tokenizers import storage

    cold = items[Items.COLD].to_numpy()
    fitted_on = artifacts.json("train", "tokenizer", tokenizer)["fitted_on"]
    counts = {"num_cold_items": int(cold.sum()), "num_warm_items": int((~cold).sum())}
    page: dict[str, Any] = {**counts, "tokenizer_fitted_on": fitted_on}
    standings = items[Items.STANDING]
    if not cold.any() or cold.all():
        return {"num_cold_items": counts["num_cold_items"]}, page
    codes = artifacts.codes("codes", tokenizer)
    published = cold_reach(artifacts.codes("sids", tokenizer), cold)
    joined = cold_reach(codes, cold)
    model = storage.load(artifacts.folder("train", tokenizer))
    vectors = artifacts.vectors()
    new = _new_to_tokenizer(cold, standings, fitted_on)
    metrics = {
        "num_cold_items": counts["num_cold_items"],
        "cold_coverage": published.coverage,
        "cold_new_id_share": joined.new_id_share,
        "cold_new_prefix_share": joined.new_prefix_share(min(2, codes.shape[1])),
    }
    if new.any():
        metrics["cold_relative_mse"] = _error_of(new, model, vectors, codes).relative_mse
    page |= {
        "saw_cold_content": fitted_on == "all",
        "distance_to_quantized": _distances(model, vectors, codes, cold),
        "warm_items_in_joined_bucket": _spread(joined.warm_neighbours[-1]),
        "new_prefix_share_by_length": _new_prefixes(joined),
        "by_standing": _by_standing(standings.filter(cold), published, joined),
    }
    return metrics, page


def _new_to_tokenizer(
    cold: npt.NDArray[np.bool_], standings: pl.Series, fitted_on: str
) -> npt.NDArray[np.bool_]:
    """The cold items that it was not fitted on (`train.fit_on`)."""
    if fitted_on == "known":
        return np.asarray((standings == "withheld").to_numpy())
    return np.asarray(cold & (fitted_on == "warm"))


def _by_standing(
    standings: pl.Series, published: ColdReach, joined: ColdReach
) -> dict[str, dict[str, float]]:
    """Reach of the cold items of each standing that there are; one entry of each a cold item."""
    found = {}
    for name in STANDINGS:
        members = (standings == name).to_numpy()
        if members.any():
            found[name] = {
                "num_items": int(members.sum()),
                "coverage": float(published.covered[members].mean()),
                "new_id_share": float((joined.warm_neighbours[-1][members] == 0).mean()),
            }
    return found


def _error_of(
    chosen: npt.NDArray[np.bool_], model: Tokenizer, vectors: Rows, codes: Ints
) -> Reconstruction:
    """Of the chosen items, on the scale of all; `rows.MOST_BYTES` of vectors at a time."""
    rows, mean = np.flatnonzero(chosen), mean_of(vectors)
    at_once = max(1, MOST_BYTES // (4 * vectors.shape[1]))
    pieces = (rows[start : start + at_once] for start in range(0, len(rows), at_once))
    return total(
        reconstruction(vectors[piece], model.reconstruct(codes[piece]), mean) for piece in pieces
    )


def _distances(
    model: Tokenizer, vectors: Rows, codes: Ints, cold: npt.NDArray[np.bool_]
) -> dict[str, dict[str, float]]:
    """Distance in latent space from an item to the sum of its codewords, cold beside warm."""
    latent, codebooks = rows_made(vectors, model.latent), model.codebooks()
    pieces = (slice(at, at + ROWS_AT_ONCE) for at in range(0, len(codes), ROWS_AT_ONCE))
    gaps = np.concatenate(
        [np.linalg.norm(latent[rows] - codebooks.decode(codes[rows]), axis=1) for rows in pieces]
    )
    return {"cold": _spread(gaps[cold]), "warm": _spread(gaps[~cold])}


def _spread(values: npt.NDArray[Any]) -> dict[str, float]:
    return {
        "mean": float(values.mean()),
        "median": float(np.median(values)),
        "p90": float(np.quantile(values, 0.9)),
        "max": float(values.max()),
    }


def _new_prefixes(reach: ColdReach) -> list[float]:
    return [reach.new_prefix_share(length + 1) for length in range(len(reach.warm_neighbours))]


def _recommended(
    params: Params, artifacts: Artifacts, tokenizer: str, segment_of: npt.NDArray[np.int8]
) -> Recommended | None:
    """The recommender's figures by segment, beside the champion's; None where it was left out."""
    rows = _answers(params, artifacts, tokenizer)
    if rows is None or rows.is_empty():
        return None
    items = artifacts.items(Items.ITEM_ID, Items.COLD, Items.NUM_TRAIN)
    members = items.select(
        Items.ITEM_ID,
        pl.Series("segment", [SEGMENTS[index] for index in segment_of]),
        (~pl.col(Items.COLD) & (pl.col(Items.NUM_TRAIN) <= params.segments.few_shot)).alias(
            "few_shot"
        ),
    )
    return recommended_by_segment(
        rows,
        _answers(params, artifacts, "champion"),
        members,
        params.segments.allowance,
        params.seed,
    )


def _answers(params: Params, artifacts: Artifacts, tokenizer: str) -> pl.DataFrame | None:
    """Rows of stage recommend with the place that its credit counts; None without any."""
    if params.recommend is None:
        return None
    if not (artifacts.folder("recommend", tokenizer) / "rows.parquet").is_file():
        return None  # there is no champion
    counted = "place" if params.recommend.credit == "item" else "tuple_place"
    rows = artifacts.table("recommend", "rows", tokenizer)
    return rows.with_columns(pl.col(counted).alias("place"))


def _segment_metrics(scores: Sequence[SegmentScore]) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for score in scores:
        metrics[f"num_cases_{score.segment}"] = score.num_cases
        metrics |= {f"{name}_{score.segment}": value for name, value in score.figures.items()}
    return metrics


def _segment_table(scores: Sequence[SegmentScore], cutoffs: Sequence[int]) -> pl.DataFrame:
    counts = {"segment": pl.String, "num_items": pl.Int32, "num_cases": pl.Int32}
    names = ("hr_original", "hr", "retention")
    figures = {f"{name}_at_{cutoff}": pl.Float64 for cutoff in cutoffs for name in names}
    rows = [
        {
            "segment": score.segment,
            "num_items": score.num_items,
            "num_cases": score.num_cases,
            **{name: score.figures.get(name) for name in figures},
        }
        for score in scores
    ]
    return pl.DataFrame(rows, schema={**counts, **figures})


def _headline(
    tokenizer: str,
    scores: Sequence[SegmentScore],
    cutoffs: Sequence[int],
    metrics: Mapping[str, float],
) -> str:
    cases = ", ".join(f"{score.num_cases:,} {score.segment}" for score in scores)
    told = [f"{tokenizer}: cases {cases}"]
    for score in scores:
        rate = score.figures.get(f"hr_at_{cutoffs[-1]}") if cutoffs else None
        if rate is not None:
            told.append(f"{score.segment} hits@{cutoffs[-1]} {rate:.1%}")
    if "cold_coverage" in metrics:
        told.append(f"cold coverage {metrics['cold_coverage']:.1%}")
    return "; ".join(told)
