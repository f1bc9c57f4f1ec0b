"""Two tables under one recommender, user by user: the paired comparison.

Shape letters: S training seeds of an arm, U users, R resamples, B resamples of one block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from sidmint.errors import BadInput

Floats64 = npt.NDArray[np.float64]

_BLOCK_COUNTS = 2**21
"""How often each user was drawn, held at once: 16 MB."""


@dataclass(frozen=True)
class ArmDifference:
    """Candidate minus champion: estimate, interval, p-value, and which variance they hold."""

    estimate: float
    low: float
    high: float
    p_value: float
    num_users: int
    holds: Literal["users", "users and seeds"]


def compare_arms(
    candidate: npt.ArrayLike,
    champion: npt.ArrayLike,
    generator: np.random.Generator,
    *,
    num_resamples: int = 2000,
    confidence: float = 0.95,
) -> ArmDifference:
    """The difference of two arms over the same users, by a BCa bootstrap (Efron 1987).

    `candidate` (S, U) and `champion` (T, U) hold a score a training seed and user, higher is
    better. Users are drawn with replacement, the same for both arms. With two or more seeds on
    both sides the seeds of each arm are drawn too, independently, since a seed's luck is its
    own: a difference smaller than training noise is then no difference. The mean of S drawn
    seeds spreads too little by sqrt((S - 1) / S), which is made up for. With one seed the
    interval holds users alone, and `holds` says so.

    Bias correction from the share of resamples below the estimate, acceleration from the
    jackknife over users, which is closed for a mean: sum d^3 / (6 (sum d^2)^1.5) with d the
    centred differences. Arms that answer all users alike differ by 0, without width. The
    p-value is 2 min(#{<= 0} + 1, #{>= 0} + 1) / (R + 1).

    Raises `BadInput` for no user, arms over other users, and scores that are not finite.
    """
    ours, theirs = _scores(candidate, "candidate"), _scores(champion, "champion")
    if ours.shape[1] != theirs.shape[1]:
        raise BadInput(
            f"a paired comparison wants the same users on both sides, got {ours.shape[1]} of the "
            f"candidate and {theirs.shape[1]} of the champion"
        )
    differences = ours.mean(axis=0) - theirs.mean(axis=0)
    estimate = float(differences.mean())
    draws_seeds = min(len(ours), len(theirs)) > 1
    figures = _resampled(ours, theirs, generator, num_resamples, draws_seeds)
    low, high = _bca(estimate, figures, differences, confidence)
    turned = 1 + min(np.count_nonzero(figures <= 0), np.count_nonzero(figures >= 0))
    return ArmDifference(
        estimate=estimate,
        low=low,
        high=high,
        p_value=min(1.0, 2 * int(turned) / (num_resamples + 1)),
        num_users=len(differences),
        holds="users and seeds" if draws_seeds else "users",
    )


def _scores(values: npt.ArrayLike, name: str) -> Floats64:
    scores = np.atleast_2d(np.asarray(values, dtype=np.float64))
    if scores.ndim != 2 or 0 in scores.shape:
        raise BadInput(f"{name} scores want a shape (seeds, users), got {np.shape(values)}")
    if not np.isfinite(scores).all():
        raise BadInput(f"{name} scores want finite numbers; leave out users without a score")
    return scores


def _resampled(
    ours: Floats64,
    theirs: Floats64,
    generator: np.random.Generator,
    num_resamples: int,
    draws_seeds: bool,
) -> Floats64:
    """The difference of each resample (R,)."""
    num_users = ours.shape[1]
    # Centred by user and by arm, so that what both sides share leaves no rounding behind.
    common = ours.mean(axis=0)
    columns = np.concatenate([ours - common, theirs - common]).T
    height = min(num_resamples, max(1, _BLOCK_COUNTS // num_users))
    figures = np.empty(num_resamples)
    for start in range(0, num_resamples, height):
        size = min(height, num_resamples - start)
        drawn = generator.integers(num_users, size=(size, num_users))
        counts = np.stack([np.bincount(row, minlength=num_users) for row in drawn])
        means = counts @ columns / num_users
        sides = means[:, : len(ours)], means[:, len(ours) :]
        if draws_seeds:
            first, second = (_mean_of_drawn(side, generator) for side in sides)
        else:
            first, second = (side.mean(axis=1) for side in sides)
        figures[start : start + size] = first - second
    return figures


def _mean_of_drawn(means_BS: Floats64, generator: np.random.Generator) -> Floats64:
    """Mean over seeds drawn with replacement, its spread about the true mean made whole."""
    num_seeds = means_BS.shape[1]
    drawn = generator.integers(num_seeds, size=means_BS.shape)
    centre = means_BS.mean(axis=1)
    off = np.take_along_axis(means_BS, drawn, axis=1).mean(axis=1) - centre
    return np.asarray(centre + off * np.sqrt(num_seeds / (num_seeds - 1)))


def _bca(
    estimate: float, figures: Floats64, differences: Floats64, confidence: float
) -> tuple[float, float]:
    """Ends of the bias-corrected and accelerated interval."""
    if np.ptp(figures) == 0:
        return float(figures[0]), float(figures[0])
    below = np.count_nonzero(figures < estimate) + 0.5 * np.count_nonzero(figures == estimate)
    bias = norm.ppf(np.clip(below / len(figures), 1e-6, 1 - 1e-6))
    centred = differences - differences.mean()
    squares = float((centred**2).sum())
    acceleration = float((centred**3).sum()) / (6 * squares**1.5) if squares else 0.0
    ends = []
    for tail in ((1 - confidence) / 2, (1 + confidence) / 2):
        reach = bias + norm.ppf(tail)
        share = norm.cdf(bias + reach / (1 - acceleration * reach))
        ends.append(float(np.quantile(figures, share)))
    return ends[0], ends[1]
