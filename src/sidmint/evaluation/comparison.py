"""Candidate against champion, segment by segment: paired, and as a split of users would see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidmint.evaluation.arms import FEWEST_USERS, ArmDifference, compare_arms
from sidmint.evaluation.outcomes import Outcome, outcome_of
from sidmint.evaluation.user_split import (
    Uplift,
    detectable_by_split,
    detectable_paired,
    holm,
    in_treatment,
    sample_ratio_p_value,
    uplift,
)

Floats64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SegmentComparison:
    """One segment of cases. Figures are None where it has no user to take them of."""

    segment: str
    num_cases: int
    num_users: int
    candidate: float | None
    champion: float | None
    paired: ArmDifference | None
    outcome: Outcome
    split: Uplift | None
    split_p_value: float | None
    """After Holm over the segments."""
    sample_ratio_p_value: float | None
    """Of an even split; below `BROKEN_SPLIT` its uplift says nothing."""
    detectable_split: float | None
    detectable_paired: float | None


def compare_segments(
    users: Sequence[str],
    members: Mapping[str, npt.NDArray[np.bool_]],
    candidate: Floats64,
    champion: Floats64,
    allowance: float,
    salt: str,
    generator: np.random.Generator,
) -> tuple[SegmentComparison, ...]:
    """A row a segment of `members` (name -> mask over cases), in that order.

    `users` name who is asked in each of C cases; `candidate` (S, C) and `champion` (T, C) hold
    scores a training seed and case. Cases of one user are averaged first: they are no
    independent draws. The split view gives each user the candidate or the champion by a salted
    hash, with the champion's score as CUPED covariate where the user gets the candidate's: both
    are known offline. A segment without a case is a row with n = 0 that cannot tell, and so
    is the outcome of one with fewer than `FEWEST_USERS`: its interval stands there unbelieved.
    """
    rows = [
        _compare(name, users, mask, candidate, champion, allowance, salt, generator)
        for name, mask in members.items()
    ]
    told = [row for row in rows if row.split is not None]
    corrected = iter(holm([row.split.p_value for row in told if row.split]))
    return tuple(row if row.split is None else _with_p_value(row, next(corrected)) for row in rows)


def per_user(users: Sequence[str], scores: Floats64) -> tuple[list[str], Floats64]:
    """Distinct users, sorted, and the mean score (S, U) of each over its cases (S, C)."""
    names, at, counts = np.unique(np.asarray(users), return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(at, weights=row, minlength=len(names)) for row in scores])
    return [str(name) for name in names], sums / counts


def _compare(
    name: str,
    users: Sequence[str],
    mask: npt.NDArray[np.bool_],
    candidate: Floats64,
    champion: Floats64,
    allowance: float,
    salt: str,
    generator: np.random.Generator,
) -> SegmentComparison:
    if not mask.any():
        without = ("candidate", "champion", "paired", "split", "split_p_value")
        empty = dict.fromkeys((*without, "sample_ratio_p_value"), None)
        return SegmentComparison(
            segment=name,
            num_cases=0,
            num_users=0,
            outcome="cannot tell",
            detectable_split=None,
            detectable_paired=None,
            **empty,
        )
    asked = [user for user, chosen in zip(users, mask, strict=True) if chosen]
    names, ours = per_user(asked, candidate[:, mask])
    theirs = per_user(asked, champion[:, mask])[1]
    paired = compare_arms(ours, theirs, generator)
    before, after = theirs.mean(axis=0), ours.mean(axis=0)
    treated = in_treatment(names, salt)
    return SegmentComparison(
        segment=name,
        num_cases=int(mask.sum()),
        num_users=len(names),
        candidate=float(after.mean()),
        champion=float(before.mean()),
        paired=paired,
        outcome=(
            outcome_of(paired.low, paired.high, allowance)
            if len(names) >= FEWEST_USERS
            else "cannot tell"
        ),
        split=uplift(np.where(treated, after, before), treated, before),
        split_p_value=None,
        sample_ratio_p_value=sample_ratio_p_value(int(treated.sum()), len(names)),
        # Scores that do not vary (no hit at all) say nothing of what could be seen.
        detectable_split=detectable_by_split(float(before.std()), len(names)) or None,
        detectable_paired=detectable_paired(float((after - before).std()), len(names)) or None,
    )


def _with_p_value(row: SegmentComparison, p_value: float) -> SegmentComparison:
    return SegmentComparison(**{**row.__dict__, "split_p_value": p_value})
