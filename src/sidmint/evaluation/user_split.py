"""The A/B-style view: what a split of users between two tables would have shown.

Offline both tables answer every user, so the paired comparison sees more (`arms`). This view
says what an online test of the same users could see, and what it could not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import chisquare, norm

from sidmint.errors import BadInput

Floats64 = npt.NDArray[np.float64]


def in_treatment(user_ids: Sequence[str], salt: str) -> npt.NDArray[np.bool_]:
    """Whether each user gets the candidate: one bit of SHA-256 of salt and id.

    The same user lands on the same side on every machine and in every rerun of one salt.
    """
    hashes = [hashlib.sha256(f"{salt}/{user}".encode()).digest()[0] for user in user_ids]
    return np.array([byte & 1 == 1 for byte in hashes], dtype=bool)


def sample_ratio_p_value(num_treated: int, num_users: int) -> float:
    """Chi-square test of an even split; below .001 the split itself is broken."""
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
    relative: float | None
    """None where control has no success to be relative to."""


def uplift(
    outcomes: Floats64,
    treated: npt.NDArray[np.bool_],
    covariate: Floats64 | None = None,
    confidence: float = 0.95,
) -> Uplift | None:
    """Difference of means of two groups (Welch), by CUPED where a `covariate` is given.

    `outcomes` (U,) hold what each user got from the table of its own side. The covariate is
    what was known before (the champion's score of the user): y - theta (x - mean x) with
    theta = cov(x, y) / var(x) over both groups has the same mean difference in expectation and
    a variance smaller by the squared correlation (Deng et al. 2013). None where a side has
    fewer than two users.
    """
    y = np.asarray(outcomes, dtype=np.float64)
    if min(np.count_nonzero(treated), np.count_nonzero(~treated)) < 2:
        return None
    control_mean = float(y[~treated].mean())
    if covariate is not None and np.var(covariate) > 0:
        x = np.asarray(covariate, dtype=np.float64)
        theta = np.cov(x, y)[0, 1] / np.var(x, ddof=1)
        y = y - theta * (x - x.mean())
    sides = y[treated], y[~treated]
    difference = float(sides[0].mean() - sides[1].mean())
    error = float(np.sqrt(sum(side.var(ddof=1) / len(side) for side in sides)))
    reach = float(norm.ppf((1 + confidence) / 2)) * error
    p_value = float(2 * norm.sf(abs(difference) / error)) if error else float(difference == 0)
    relative = difference / control_mean if control_mean else None
    return Uplift(difference, difference - reach, difference + reach, p_value, relative)


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
    return float(norm.ppf(1 - alpha / 2) + norm.ppf(power))
