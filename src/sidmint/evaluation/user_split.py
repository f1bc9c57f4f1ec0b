"""The A/B-style view: what a split of users between two tables would have shown.

Offline both tables answer every user, so the paired comparison sees more (`arms`). This view
says what an online test of the same users could see, and what it could not.

scipy.stats is imported where it is asked: it takes half a second, and the report only reads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidmint.errors import BadInput

Floats64 = npt.NDArray[np.float64]

BROKEN_SPLIT = 0.001
"""Below this p-value of the sample-ratio check a split is broken, as online tests are judged."""


def in_treatment(user_ids: Sequence[str], salt: str) -> npt.NDArray[np.bool_]:
    """Whether each user gets the candidate: one bit of SHA-256 of salt and id.

    The same user lands on the same side on every machine and in every rerun of one salt.
    """
    hashes = [hashlib.sha256(f"{salt}/{user}".encode()).digest()[0] for user in user_ids]
    return np.array([byte & 1 == 1 for byte in hashes], dtype=bool)


def sample_ratio_p_value(num_treated: int, num_users: int) -> float:
    """Chi-square test of an even split; below `BROKEN_SPLIT` its uplift says nothing."""
    from scipy.stats import chisquare

    if num_users < 1:
        raise BadInput("a sample-ratio check wants at least one user")
    return float(chisquare([num_treated, num_users - num_treated]).pvalue)


@dataclass(frozen=True)
class Uplift:
    """Treatment minus control: absolute, with its interval and p-value; relative to control."""

    difference: float
    low: float
    high: float
    p_value: float
    error: float
    """Standard error of `difference`."""
    relative: float | None
    """None where control has no success to be relative to."""
    relative_low: float | None
    relative_high: float | None


def uplift(
    outcomes: Floats64,
    treated: npt.NDArray[np.bool_],
    covariate: Floats64 | None = None,
    confidence: float = 0.95,
) -> Uplift | None:
    """Difference of means of two groups (Welch), by CUPED where a `covariate` is given.

    `outcomes` (U,) hold what each user got from the table of its own side. The covariate is
    what was known before (the champion's score of the user): y - theta (x - mean x) has the
    same mean difference in expectation and a variance smaller by the squared correlation
    (Deng et al. 2013). theta = sum cov(x, y) / n over the sides / sum var(x) / n: of all
    slopes the one with the least error, so that CUPED never has a larger one.

    Student's t with the degrees of freedom of Welch and Satterthwaite, one less for theta: by
    the normal law two sides of five users call 8 % of A/A splits a difference in place of 5
    (with a covariate 7 % by Student's: theta is fitted to the same ten).
    The relative uplift d / c has the interval of the delta method. None where a side has fewer
    than two users, with a covariate fewer than three.
    """
    from scipy.stats import t as student

    y = np.asarray(outcomes, dtype=np.float64)
    fewest = min(np.count_nonzero(treated), np.count_nonzero(~treated))
    if fewest < (2 if covariate is None else 3):
        return None
    theta = 0.0
    if covariate is not None:
        x = np.asarray(covariate, dtype=np.float64)
        theta = _slope(x, y, treated)
        y = y - theta * (x - x.mean())
    sides = y[treated], y[~treated]
    shares = [float(side.var(ddof=1)) / len(side) for side in sides]
    difference, control = float(sides[0].mean() - sides[1].mean()), float(sides[1].mean())
    error = float(np.sqrt(sum(shares)))
    freedom = _freedom(shares, [len(side) - (theta != 0) for side in sides])
    reach = float(student.ppf((1 + confidence) / 2, freedom))
    p_value = float(difference == 0)  # where sides without spread differ, by no chance
    if error:
        p_value = float(2 * student.sf(abs(difference) / error, freedom))
    ends = (difference - reach * error, difference + reach * error)
    return Uplift(difference, *ends, p_value, error, *_relative(difference, control, shares, reach))


def _slope(x: Floats64, y: Floats64, treated: npt.NDArray[np.bool_]) -> float:
    """Slope of CUPED, theta; 0 where the covariate is the same for all users of a side."""
    if not (np.ptp(x[treated]) or np.ptp(x[~treated])):
        return 0.0  # asked of the values: their variance is rounding, not nothing
    shared = spread = 0.0
    for side in (treated, ~treated):
        off = x[side] - x[side].mean()
        size = len(off) * (len(off) - 1)
        shared += float(off @ (y[side] - y[side].mean())) / size
        spread += float(off @ off) / size
    return shared / spread


def _freedom(shares: Sequence[float], sizes: Sequence[int]) -> float:
    """Degrees of freedom of Welch and Satterthwaite; `shares` are variances of the two means."""
    below = sum(share**2 / (size - 1) for share, size in zip(shares, sizes, strict=True))
    return sum(shares) ** 2 / below if below else float(sum(sizes) - 2)


def _relative(
    difference: float, control: float, shares: Sequence[float], reach: float
) -> tuple[float | None, float | None, float | None]:
    """Uplift d / c and its ends: var(t / c) = var(t) / c^2 + t^2 var(c) / c^4 for means t and c."""
    if control == 0:
        return None, None, None
    ratio = 1 + difference / control
    error = float(np.sqrt(shares[0] + ratio**2 * shares[1])) / abs(control)
    return ratio - 1, ratio - 1 - reach * error, ratio - 1 + reach * error


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number (Holm 1979): the family-wise error rate is kept."""
    order = np.argsort(p_values, kind="stable")
    corrected, highest = [0.0] * len(p_values), 0.0
    for step, at in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - step) * p_values[at]))
        corrected[at] = highest
    return corrected


def detectable_by_split(
    deviation: float, num_users: int, power: float = 0.8, alpha: float = 0.05
) -> float:
    """The least true difference that an even split of `num_users` finds with `power`.

    (z_{1 - alpha/2} + z_power) * deviation * sqrt(4 / U); deviation is that of one user's
    score, sqrt(p (1 - p)) for a hit rate p.
    """
    return _reach(power, alpha) * deviation * float(np.sqrt(4 / num_users))


def detectable_paired(
    deviation_of_differences: float, num_users: int, power: float = 0.8, alpha: float = 0.05
) -> float:
    """The same for the paired comparison: (z + z) * deviation of differences / sqrt(U)."""
    return _reach(power, alpha) * deviation_of_differences / float(np.sqrt(num_users))


def _reach(power: float, alpha: float) -> float:
    from scipy.stats import norm

    return float(norm.ppf(1 - alpha / 2) + norm.ppf(power))
