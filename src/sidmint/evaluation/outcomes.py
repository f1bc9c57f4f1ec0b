"""What a difference with an interval says: four outcomes, read alike by gate, page and terminal."""

from __future__ import annotations

import math
from typing import Literal

from sidmint.errors import BadInput

Outcome = Literal["better", "within", "worse", "cannot tell"]


def outcome_of(low: float, high: float, allowance: float) -> Outcome:
    """What the interval `low` to `high` of (candidate - champion) says; higher is better.

    better: it lies above 0. worse: it lies below -allowance. within (the allowance): it lies
    above -allowance, so that no more can have been lost. cannot tell: none of these; the data
    allow a loss beyond the allowance and do not show one. Raises `BadInput` for an allowance
    below 0 or ends that are no interval.
    """
    if not allowance >= 0 or not math.isfinite(allowance):
        raise BadInput(f"an allowance is a number from 0 on, got {allowance}")
    if not low <= high:
        raise BadInput(f"an interval wants low <= high, got {low} to {high}")
    if low > 0:
        return "better"
    if high < -allowance:
        return "worse"
    return "within" if low >= -allowance else "cannot tell"
