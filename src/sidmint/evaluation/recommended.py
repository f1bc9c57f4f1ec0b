"""The recommender's answers by segment of what was asked for, beside the champion's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from sidmint.contracts import Interactions, Items
from sidmint.evaluation.comparison import SegmentComparison, compare_segments
from sidmint.evaluation.recommendation import gains, hits
from sidmint.evaluation.segments import SEGMENTS
from sidmint.seeds import generator_for, seed_for

ALL, FEW_SHOT = "all", "few_shot"
FIGURES = {"ndcg_at_10": gains, "hr_at_10": hits}
_CUTOFF = 10
_CASE = [Interactions.USER_ID, Interactions.POSITION]

Floats64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Recommended:
    """Tables for the page and metrics for the gate; `comparison` is None without a champion."""

    by_segment: pl.DataFrame
    comparison: pl.DataFrame | None
    metrics: Mapping[str, float]


def recommended_by_segment(
    rows: pl.DataFrame,
    champion: pl.DataFrame | None,
    members: pl.DataFrame,
    allowance: float,
    seed: int,
) -> Recommended:
    """Figures of each segment, and the comparison with the champion where its answers are known.

    `rows` and `champion` have seed, user_id, position, item_id (the target) and place, 0 where
    the list lacks it. `members` gives each item_id its segment and whether it is few_shot.
    Cases that only one side has are left out of the comparison.
    """
    cases, places = _wide(rows)
    masks = _masks(cases, members)
    figures = {name: of(places, _CUTOFF).reshape(places.shape) for name, of in FIGURES.items()}
    table, metrics = _by_segment(masks, figures, members)
    comparison = None
    if champion is not None and not champion.is_empty():
        comparison = _comparison(rows, champion, members, allowance, seed)
        metrics |= _changes(comparison)
    return Recommended(table, comparison, metrics)


def _wide(rows: pl.DataFrame) -> tuple[pl.DataFrame, npt.NDArray[np.int32]]:
    """Cases by user and position, and the place (S, C) that each seed gave the target."""
    ordered = rows.sort("seed", *_CASE)
    num_seeds = ordered["seed"].n_unique()
    cases = ordered.filter(pl.col("seed") == ordered["seed"][0]).select(*_CASE, Items.ITEM_ID)
    return cases, ordered["place"].to_numpy().reshape(num_seeds, len(cases))


def _masks(cases: pl.DataFrame, members: pl.DataFrame) -> dict[str, npt.NDArray[np.bool_]]:
    known = cases.join(members, on=Items.ITEM_ID, how="left", maintain_order="left")
    segment = known["segment"].fill_null("").to_numpy()
    masks = {ALL: np.ones(len(cases), dtype=bool)}
    masks |= {name: segment == name for name in SEGMENTS}
    masks[FEW_SHOT] = known[FEW_SHOT].fill_null(False).to_numpy()
    return masks


def _by_segment(
    masks: Mapping[str, npt.NDArray[np.bool_]],
    figures: Mapping[str, Floats64],
    members: pl.DataFrame,
) -> tuple[pl.DataFrame, dict[str, float]]:
    counts = {
        ALL: len(members),
        FEW_SHOT: int(members[FEW_SHOT].sum()),
        **{name: int((members["segment"] == name).sum()) for name in SEGMENTS},
    }
    table: list[dict[str, object]] = []
    metrics: dict[str, float] = {}
    for name, mask in masks.items():
        means = {
            figure: float(values[:, mask].mean()) if mask.any() else None
            for figure, values in figures.items()
        }
        table.append({"segment": name, "num_items": counts[name], "num_cases": mask.sum(), **means})
        if name == ALL:
            continue
        metrics[f"num_recommend_cases_{name}"] = int(mask.sum())
        for figure, value in means.items():
            if value is not None:
                metrics[f"recommend_{figure}_{name}"] = value
    schema = {
        "segment": pl.String,
        "num_items": pl.Int32,
        "num_cases": pl.Int32,
        **dict.fromkeys(FIGURES, pl.Float64),
    }
    return pl.DataFrame(table, schema=schema), metrics


def _comparison(
    rows: pl.DataFrame, champion: pl.DataFrame, members: pl.DataFrame, allowance: float, seed: int
) -> pl.DataFrame:
    shared = [*_CASE, Items.ITEM_ID]
    ours, our_places = _wide(rows.join(champion.select(shared).unique(), on=shared, how="semi"))
    _, their_places = _wide(champion.join(ours, on=shared, how="semi"))
    masks = _masks(ours, members)
    salt = str(seed_for(seed, "segments", "user split"))
    found = []
    for name, figure in FIGURES.items():
        compared = compare_segments(
            ours[Interactions.USER_ID].to_list(),
            masks,
            figure(our_places, _CUTOFF),
            figure(their_places, _CUTOFF),
            allowance,
            salt,
            generator_for(seed, "segments", "comparison", name),
        )
        found += [_row(name, each) for each in compared]
    return pl.DataFrame(found, schema=_SCHEMA, orient="row")


def _changes(comparison: pl.DataFrame) -> dict[str, float]:
    """Difference and interval of each segment as metrics, so that history and rules see them."""
    metrics: dict[str, float] = {}
    for row in comparison.filter(pl.col("num_users") > 0).iter_rows(named=True):
        of = f"recommend_{row['metric']}" + ("" if row["segment"] == ALL else f"_{row['segment']}")
        metrics |= {
            f"change_{of}": row["difference"],
            f"change_low_{of}": row["low"],
            f"change_high_{of}": row["high"],
        }
    return metrics


_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "metric": pl.String,
    "segment": pl.String,
    "num_cases": pl.Int32,
    "num_users": pl.Int32,
    "candidate": pl.Float64,
    "champion": pl.Float64,
    "difference": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "p_value": pl.Float64,
    "holds": pl.String,
    "outcome": pl.String,
    "split_difference": pl.Float64,
    "split_low": pl.Float64,
    "split_high": pl.Float64,
    "split_relative": pl.Float64,
    "split_relative_low": pl.Float64,
    "split_relative_high": pl.Float64,
    "split_p_value": pl.Float64,
    "sample_ratio_p_value": pl.Float64,
    "detectable_split": pl.Float64,
    "detectable_paired": pl.Float64,
}


def _row(metric: str, each: SegmentComparison) -> tuple[object, ...]:
    paired, split = each.paired, each.split
    return (
        metric,
        each.segment,
        each.num_cases,
        each.num_users,
        each.candidate,
        each.champion,
        *((paired.estimate, paired.low, paired.high) if paired else (None, None, None)),
        *((paired.p_value, paired.holds) if paired else (None, None)),
        each.outcome,
        *((split.difference, split.low, split.high) if split else (None, None, None)),
        *(
            (split.relative, split.relative_low, split.relative_high)
            if split
            else (None, None, None)
        ),
        each.split_p_value,
        each.sample_ratio_p_value,
        each.detectable_split,
        each.detectable_paired,
    )
