"""How sure the hit rates are, and by how much they differ from the champion's.

Users are drawn, not cases: the cases of one user are no independent draws. Figures over the whole
table (collisions, utilization) count every item there is and have no such error.

Shape letters: T test cases, C columns, R resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from sidmint.contracts import describe_metric
from sidmint.evaluation import (
    Interval,
    Ranks,
    expected_hits,
    percentile_interval,
    resampled_means,
)

CONFIDENCE = 0.95
_KEY = ("user_id", "query_id", "target_id")
_SPACES = ("original", "reconstructed", "prefix")

Floats64 = npt.NDArray[np.float64]
NO_DIFFERENCE: Final = "no difference that the data show"
Word = Literal["better", "worse", "no difference that the data show"]


@dataclass(frozen=True)
class Answers:
    """How held-out cases were answered, in a search over `num_items` items.

    `table` has one row a case: user_id, query_id, target_id, and for each space (original,
    reconstructed, prefix) SPACE_better and SPACE_tied, the items above the target and beside it.
    """

    table: pl.DataFrame
    num_items: int


@dataclass(frozen=True)
class Differences:
    """Candidate minus champion over the `num_shared` cases that both answered, by metric."""

    num_shared: int
    num_users: int
    by_metric: Mapping[str, Interval]


@dataclass(frozen=True)
class Certainty:
    """What is known of one candidate: its own figures, and its differences to the champion."""

    intervals: Mapping[str, Interval]
    differences: Differences | None
    """None where there is no champion, or how it answered is not known."""

    def word(self, metric: str) -> Word | None:
        """What the difference in `metric` says; None where it has no interval."""
        found = self.differences.by_metric.get(metric) if self.differences else None
        return None if found is None else word(metric, found)


def hit_rate_intervals(
    answers: Answers, cutoffs: Sequence[int], generator: np.random.Generator
) -> dict[str, Interval]:
    """hr_at_K, prefix_hr_at_K and retention_at_K of each cutoff with their 95 % intervals.

    A retention is left out where in some resample the original vectors are no better than
    chance, or where the cutoff takes in the whole catalogue: it has no interval then.
    """
    if answers.table.is_empty():
        return {}
    estimate, resampled = _drawn(_hits(answers.table, cutoffs), answers.table, generator)
    exact, drawn = (_metrics(means, cutoffs, answers.num_items) for means in (estimate, resampled))
    return {
        name: percentile_interval(float(exact[name][0]), drawn[name], CONFIDENCE)
        for name in exact
        if name in drawn
    }


def hit_rate_differences(
    candidate: Answers, champion: Answers, cutoffs: Sequence[int], generator: np.random.Generator
) -> Differences:
    """The same metrics, candidate minus champion, over the cases that both have.

    A case is a user, a query and a target; it counts as often as both sides have it. Each
    resample draws the same users for both sides, so that what is hard for both drops out.
    """
    ours, theirs = _shared(candidate.table, champion.table)
    if ours.is_empty():
        return Differences(0, 0, {})
    both = np.concatenate((_hits(ours, cutoffs), _hits(theirs, cutoffs)), axis=1)
    exact, drawn = (
        _subtracted(
            _metrics(means[:, : both.shape[1] // 2], cutoffs, candidate.num_items),
            _metrics(means[:, both.shape[1] // 2 :], cutoffs, champion.num_items),
        )
        for means in _drawn(both, ours, generator)
    )
    found = {
        name: percentile_interval(float(exact[name][0]), drawn[name], CONFIDENCE)
        for name in exact
        if name in drawn
    }
    return Differences(len(ours), ours["user_id"].n_unique(), found)


def word(metric: str, difference: Interval) -> Word:
    """What a difference says: nothing where its interval holds 0, else which side is better."""
    if difference.low <= 0 <= difference.high:
        return NO_DIFFERENCE
    rises = difference.estimate > 0
    return "better" if rises == (describe_metric(metric).better == "higher") else "worse"


def _hits(table: pl.DataFrame, cutoffs: Sequence[int]) -> Floats64:
    """Expected hits (T, C): for each cutoff original, reconstructed and prefix."""
    ranks = [
        Ranks(*(table[f"{space}_{side}"].to_numpy() for side in ("better", "tied")))
        for space in _SPACES
    ]
    columns = [expected_hits(each, cutoff) for cutoff in cutoffs for each in ranks]
    return np.stack(columns, axis=1)


def _drawn(
    columns: Floats64, table: pl.DataFrame, generator: np.random.Generator
) -> tuple[Floats64, Floats64]:
    """Means of `columns` over all cases (1, C), and over each resample of the users (R, C).

    All metrics are figures of the same draws: drawing for each of them took twelve times as long.
    """
    users = table["user_id"].rank("dense").to_numpy().astype(np.int64)
    resampled = resampled_means(columns, generator, groups=users)
    return columns.mean(axis=0, keepdims=True), resampled


def _metrics(means: Floats64, cutoffs: Sequence[int], num_items: int) -> dict[str, Floats64]:
    """Each metric (R,) of column means (R, C); a retention that is not defined is left out."""
    found = {}
    for place, cutoff in enumerate(cutoffs):
        original, reconstructed, prefix = means[:, 3 * place : 3 * place + 3].T
        found[f"hr_at_{cutoff}"] = reconstructed
        found[f"prefix_hr_at_{cutoff}"] = prefix
        chance = cutoff / (num_items - 1)
        if chance < 1 and (original > chance).all():
            found[f"retention_at_{cutoff}"] = (reconstructed - chance) / (original - chance)
    return found


def _subtracted(
    ours: Mapping[str, Floats64], theirs: Mapping[str, Floats64]
) -> dict[str, Floats64]:
    return {name: ours[name] - theirs[name] for name in ours if name in theirs}


def _shared(left: pl.DataFrame, right: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of both tables that are one case, in one order."""
    count = pl.int_range(pl.len()).over(_KEY).alias("repetition")
    numbered = [table.with_columns(count).with_row_index("row") for table in (left, right)]
    rows = numbered[0].join(
        numbered[1], on=[*_KEY, "repetition"], how="inner", maintain_order="left"
    )
    return left[rows["row"]], right[rows["row_right"]]
