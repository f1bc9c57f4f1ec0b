"""How sure a figure is, and whether two differ: the bootstrap over test cases or users.

Shape letters: T test cases, C columns of figures, G groups that are drawn whole, R resamples,
B resamples of one block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidmint.errors import BadInput

Floats64 = npt.NDArray[np.float64]

Statistic = Callable[[Floats64], Floats64]
"""A figure (R,) of resampled column means (R, C): a ratio of two columns, say."""

_BLOCK_COUNTS = 2**21
"""How often each group was drawn, held at once: 16 MB."""


@dataclass(frozen=True)
class Interval:
    """A figure, and where it would lie in `confidence` of repeated experiments."""

    estimate: float
    low: float
    high: float
    confidence: float


@dataclass(frozen=True)
class Difference:
    """Candidate minus champion, its interval, and the two-sided p-value of no difference."""

    estimate: float
    low: float
    high: float
    confidence: float
    p_value: float


def bootstrap(
    values: npt.ArrayLike,
    generator: np.random.Generator,
    *,
    statistic: Statistic | None = None,
    groups: npt.NDArray[np.integer] | None = None,
    num_resamples: int = 2000,
    confidence: float = 0.95,
) -> Interval:
    """The interval of `statistic` of the column means of `values`, by resampling (Efron 1979).

    `values` is (T,) or (T, C), one row a test case; `statistic` takes column means (R, C) and
    gives (R,), by default the first column. With `groups` (T,), whole groups are drawn:
    cases of one user are no independent draws, and an interval that takes them for such is too
    narrow. A group weighs as much as it has cases, so the estimate is that of all cases.

    Percentile intervals: they follow any monotone change of scale, so that a rate stays within
    [0, 1] and a ratio may be skewed, and they agree with the p-value of `paired_difference`.
    The bias and skew that BCa would correct shrink with the number of cases. Pitfall: with few
    groups they are too narrow (for ten they cover about 90 % in place of 95), and for a single
    one they have no width at all.

    Depends on `generator` and the arguments alone. O(R G C) time, 16 MB or 8 G bytes of counts.
    Raises `BadInput` for no case, NaN or infinity in `values` or the statistic, and shapes that
    do not fit.
    """
    columns = _columns(values, "values")
    estimate, figures = _resampled(
        columns, statistic or _first_column, generator, groups, num_resamples
    )
    return percentile_interval(estimate, figures, confidence)


def resampled_means(
    values: npt.ArrayLike,
    generator: np.random.Generator,
    *,
    groups: npt.NDArray[np.integer] | None = None,
    num_resamples: int = 2000,
) -> Floats64:
    """Column means (R, C) of `values` over each resample: what `bootstrap` makes figures of.

    Drawing is what a bootstrap costs. Where many figures are wanted of the same cases, draw once
    and give each figure to `percentile_interval`.
    """
    return _resampled_means(_columns(values, "values"), generator, groups, num_resamples)


def percentile_interval(estimate: float, figures: Floats64, confidence: float = 0.95) -> Interval:
    """`Interval` of a figure from its values (R,) over the resamples."""
    return Interval(estimate, *_percentiles(figures, confidence), confidence)


def paired_difference(
    candidate: npt.ArrayLike,
    champion: npt.ArrayLike,
    generator: np.random.Generator,
    *,
    statistic: Statistic | None = None,
    groups: npt.NDArray[np.integer] | None = None,
    num_resamples: int = 2000,
    confidence: float = 0.95,
) -> Difference:
    """Candidate minus champion over the same cases, as a `Difference`.

    Row t of both sides, (T,) or (T, C), is one test case; other arguments are those of
    `bootstrap`. Each resample draws the same cases for both sides and forms statistic(candidate
    means) - statistic(champion means): what makes a case hard for both drops out, and less
    noise is left than between two intervals.

    The p-value asks how often resampling turns the sign: 2 min(#{d <= 0} + 1, #{d >= 0} + 1) /
    (R + 1), at most 1. The added one keeps it above 0 (Davison and Hinkley 1997, ch. 4), so no
    p-value is below 2 / (R + 1): raise `num_resamples` where a correction for many
    comparisons asks for less. Two equal sides give 1.
    """
    ours, theirs = _columns(candidate, "candidate"), _columns(champion, "champion")
    if ours.shape != theirs.shape:
        raise BadInput(
            f"a paired difference wants the same cases and columns on both sides, got {ours.shape} "
            f"of the candidate and {theirs.shape} of the champion; evaluate both on one split"
        )
    if statistic is None:
        # Differences first: a shift by a constant then has no width, not even by rounding.
        both, statistic = ours - theirs, _first_column
    else:
        statistic = _between(statistic, ours.shape[1])
        both = np.concatenate((ours, theirs), axis=1)
    estimate, figures = _resampled(both, statistic, generator, groups, num_resamples)
    turned = 1 + min(np.count_nonzero(figures <= 0), np.count_nonzero(figures >= 0))
    p_value = min(1.0, 2 * int(turned) / (num_resamples + 1))
    return Difference(estimate, *_percentiles(figures, confidence), confidence, p_value)


def _columns(values: npt.ArrayLike, name: str) -> Floats64:
    """Values (T,) or (T, C) as (T, C) float64."""
    columns = np.asarray(values, dtype=np.float64)
    columns = columns[:, None] if columns.ndim == 1 else columns
    if columns.ndim != 2 or 0 in columns.shape:
        raise BadInput(
            f"a bootstrap wants {name} of shape (cases,) or (cases, columns) and at least one "
            f"case, got {np.shape(values)}"
        )
    bad = np.flatnonzero(~np.isfinite(columns).all(axis=1))
    if len(bad):
        raise BadInput(
            f"a bootstrap wants finite {name}, got {columns[bad[0]].tolist()} in row {bad[0]} "
            f"({len(bad)} such rows); leave out cases whose figure is not defined, on both sides"
        )
    return columns


def _resampled(
    columns: Floats64,
    statistic: Statistic,
    generator: np.random.Generator,
    groups: npt.NDArray[np.integer] | None,
    num_resamples: int,
) -> tuple[float, Floats64]:
    """The statistic of all cases, and of each resample (R,)."""
    means = _resampled_means(columns, generator, groups, num_resamples)
    estimate = _figures(columns.mean(axis=0, keepdims=True), statistic)
    return float(estimate[0]), _figures(means, statistic)


def _resampled_means(
    columns: Floats64,
    generator: np.random.Generator,
    groups: npt.NDArray[np.integer] | None,
    num_resamples: int,
) -> Floats64:
    """Column means (R, C) of each resample: how often each group was drawn, times its sums."""
    if num_resamples < 1:
        raise BadInput(f"a bootstrap wants at least one resample, got {num_resamples}")
    sums, sizes = (columns, None) if groups is None else _group_sums(columns, groups)
    num_groups = len(sums)
    height = min(num_resamples, max(1, _BLOCK_COUNTS // num_groups))
    counts_BG = np.empty((height, num_groups))
    means = np.empty((num_resamples, columns.shape[1]))
    for start in range(0, num_resamples, height):
        block = counts_BG[: num_resamples - start]
        for row in block:
            drawn = generator.integers(num_groups, size=num_groups)
            row[:] = np.bincount(drawn, minlength=num_groups)
        num_cases = len(columns) if sizes is None else (block @ sizes)[:, None]
        means[start : start + height] = block @ sums / num_cases
    return means


def _group_sums(
    columns: Floats64, groups: npt.NDArray[np.integer]
) -> tuple[Floats64, npt.NDArray[np.intp]]:
    """Column sums (G, C) and numbers of cases (G,) of the groups."""
    if groups.shape != columns.shape[:1] or groups.dtype.kind not in "iu":
        raise BadInput(
            f"groups want one whole number a case, got {groups.dtype} of shape {groups.shape} for "
            f"{len(columns)} cases"
        )
    _, group_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    sums = [np.bincount(group_of, column) for column in columns.T]
    return np.stack(sums, axis=1), sizes


def _first_column(means: Floats64) -> Floats64:
    return means[:, 0]


def _between(statistic: Statistic, num_columns: int) -> Statistic:
    """The statistic of the first `num_columns` columns minus that of the others."""

    def difference(means: Floats64) -> Floats64:
        sides = means[:, :num_columns], means[:, num_columns:]
        ours, theirs = (_figures(side, statistic) for side in sides)
        return ours - theirs

    return difference


def _figures(means: Floats64, statistic: Statistic) -> Floats64:
    """Statistic (R,) of column means (R, C)."""
    with np.errstate(divide="ignore", invalid="ignore"):  # told below, in words
        figures = np.asarray(statistic(means), dtype=np.float64)
    if figures.shape != means.shape[:1]:
        raise BadInput(
            f"a statistic wants one figure a resample: column means of shape {means.shape} gave "
            f"shape {figures.shape}"
        )
    undefined = np.count_nonzero(~np.isfinite(figures))
    if undefined:
        raise BadInput(
            f"the statistic is not a number for {undefined} of {len(figures)} resamples, as a "
            "ratio is where nothing is left below the line; give more cases or larger cutoffs"
        )
    return figures


def _percentiles(figures: Floats64, confidence: float) -> tuple[float, float]:
    if not 0 < confidence < 1:
        raise BadInput(f"confidence lies between 0 and 1, got {confidence}")
    low, high = np.quantile(figures, ((1 - confidence) / 2, (1 + confidence) / 2))
    return float(low), float(high)
