"""Two tables under one recommender, user by user: the paired comparison.

Shape letters: S and T training seeds of the arms, U users, R resamples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from sidmint.errors import BadInput
from sidmint.evaluation.uncertainty import resampled_means

Floats64 = npt.NDArray[np.float64]

FEWEST_USERS = 30
"""Below it an interval is not believed. One user has one without width, and ten of whom none
answered differently have one too, while one in four of all users may differ (3 / 10)."""


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
    better. Users are drawn with replacement, the same for both arms, each with its mean over
    seeds. With two or more seeds on both sides the luck of training is drawn too: a difference
    smaller than training noise is then no difference. Seeds of one name are no pairs, since
    each training has a luck of its own. With one seed the interval holds users alone, and
    `holds` says so.

    Training noise is normal with the variance M of an arm's seed means, pooled over the arms
    (one recommender trains both) with nu = S + T - 2 degrees of freedom. M is itself uncertain
    and drawn as M nu / chi2(nu). What seeds and users make together, I / U of M, is in the
    resampled users already and is taken off: sd^2 = (1/S + 1/T) max(M nu / chi2(nu) - I / U, 0).
    To draw from two or three seeds with replacement cannot reach as far as luck does: where
    seeds make all the noise such intervals missed the truth in 24 (S = 2) and 14 % (3) of
    trials in place of 5, and they were twice too wide where seeds and users make it together.

    Bias correction from the share of resamples below the estimate; acceleration from the
    jackknife over users, which is closed for a mean: sum d^3 / (6 U^3 v^1.5) with d the centred
    differences and v the variance of the estimate. Arms that answer all users alike differ by
    0, without width. The p-value is 2 min(#{<= 0} + 1, #{>= 0} + 1) / (R + 1). Pitfall: with
    fewer than `FEWEST_USERS` neither is to be believed.

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
    figures = resampled_means(differences, generator, num_resamples=num_resamples)[:, 0]
    variance = float(differences.var()) / len(differences)
    if draws_seeds:
        noise = _training_noise(ours, theirs)
        figures = figures + noise.draw(generator, num_resamples)
        variance += noise.variance
    low, high = _bca(estimate, figures, _acceleration(differences, variance), confidence)
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


@dataclass(frozen=True)
class _TrainingNoise:
    """What seeds add to the variance of a difference, beyond what users hold already."""

    of_means: float
    """M: variance of an arm's seed means over users, pooled over the arms."""
    shared: float
    """I / U: the part of M that seed and user make together."""
    freedom: int
    scale: float
    """1 / S + 1 / T."""

    @property
    def variance(self) -> float:
        """Of the difference, by the estimates as they stand."""
        return self.scale * max(self.of_means - self.shared, 0.0)

    def draw(self, generator: np.random.Generator, count: int) -> Floats64:
        """Luck (R,) of the two arms, its variance drawn as uncertain as it is."""
        of_means = self.of_means * self.freedom / generator.chisquare(self.freedom, count)
        spread = np.sqrt(self.scale * np.maximum(of_means - self.shared, 0.0))
        return np.asarray(spread * generator.standard_normal(count))


def _training_noise(ours: Floats64, theirs: Floats64) -> _TrainingNoise:
    freedom = len(ours) + len(theirs) - 2
    num_users = ours.shape[1]
    of_means = together = 0.0
    for arm in (ours, theirs):
        seeds = arm.mean(axis=1, keepdims=True)
        of_means += float(((seeds - seeds.mean()) ** 2).sum()) / freedom
        off = arm - seeds - arm.mean(axis=0) + seeds.mean()
        together += float((off**2).sum()) / freedom / max(num_users - 1, 1)
    scale = 1 / len(ours) + 1 / len(theirs)
    return _TrainingNoise(of_means, together / num_users, freedom, scale)


def _acceleration(differences: Floats64, variance: float) -> float:
    cubes = float(((differences - differences.mean()) ** 3).sum()) / len(differences) ** 3
    return cubes / (6 * variance**1.5) if variance else 0.0


def _bca(
    estimate: float, figures: Floats64, acceleration: float, confidence: float
) -> tuple[float, float]:
    """Ends of the bias-corrected and accelerated interval."""
    from scipy.stats import norm  # half a second, which readers of `ArmDifference` do without

    if np.ptp(figures) == 0:
        return float(figures[0]), float(figures[0])
    below = np.count_nonzero(figures < estimate) + 0.5 * np.count_nonzero(figures == estimate)
    bias = norm.ppf(np.clip(below / len(figures), 1e-6, 1 - 1e-6))
    ends = []
    for tail in ((1 - confidence) / 2, (1 + confidence) / 2):
        reach = bias + norm.ppf(tail)
        share = norm.cdf(bias + reach / (1 - acceleration * reach))
        ends.append(float(np.quantile(figures, share)))
    return ends[0], ends[1]
