"""Scores of one block against the two bounds of each case: which rows lie above, which between.

Shape letters: B cases, U distinct queries among them, C rows, P (case, row) pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sidmint.quantization.groups import where

Counts = npt.NDArray[np.int64]
Bounds = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Compared:
    """Items above both bounds, `num_above` (B,), and what lies between, bounds included.

    Of the latter either the number of items, `num_between` (B,), or the rows themselves:
    `rows` (P,) of `cases` (P,). The other is zero or empty.
    """

    num_above: Counts
    num_between: Counts
    cases: Counts
    rows: Counts


def compare(
    scores_UC: Tensor,
    query_of: Counts,
    low: Bounds,
    high: Bounds,
    multiplicity: Counts,
    places: bool = False,
) -> Compared:
    """`Compared` for case b with scores `scores_UC[query_of[b]]` and bounds `low[b]`, `high[b]`.

    `multiplicity` (C,) is how many items a row stands for. Bounds are rounded to the type of the
    scores. With `places`, rows between the bounds are named in place of being counted.
    """
    compare_here = compare_by_rows if scores_UC.device.type == "cpu" else compare_at_once
    return compare_here(scores_UC, query_of, low, high, multiplicity, places)


def compare_by_rows(
    scores_UC: Tensor,
    query_of: Counts,
    low: Bounds,
    high: Bounds,
    multiplicity: Counts,
    places: bool,
) -> Compared:
    """For a processor: one row at a time stays in its cache, and no case copies its scores."""
    scores = scores_UC.numpy()
    low, high = low.astype(scores.dtype), high.astype(scores.dtype)
    count = _Counter(multiplicity)
    num_above, num_between = np.zeros((2, len(query_of)), dtype=np.int64)
    found = []
    for case, query in enumerate(query_of.tolist()):
        row = scores[query]
        above = row > high[case]
        between = row >= low[case]
        between ^= above
        num_above[case] = count(above)
        if places:
            found.append(between.nonzero()[0])
        else:
            num_between[case] = count(between)
    cases = np.repeat(np.arange(len(found)), [len(rows) for rows in found])
    return Compared(num_above, num_between, cases, np.concatenate([cases[:0], *found]))


class _Counter:
    """Counts items under a mask over rows (C,), each row as often as items have it."""

    def __init__(self, multiplicity: Counts) -> None:
        self._crowded = np.flatnonzero(multiplicity > 1)
        self._more = multiplicity[self._crowded] - 1.0

    def __call__(self, mask: npt.NDArray[np.bool_]) -> int:
        num_rows = int(np.count_nonzero(mask))
        if len(self._crowded) == 0:
            return num_rows
        return num_rows + int(self._more @ mask.take(self._crowded))


def compare_at_once(
    scores_UC: Tensor,
    query_of: Counts,
    low: Bounds,
    high: Bounds,
    multiplicity: Counts,
    places: bool,
) -> Compared:
    """For a CUDA device: the same by a few operations on the whole block.

    Counts are exact for up to 2^24 items a block, the whole numbers that float32 holds.
    """
    low_B1, high_B1 = (torch.from_numpy(bound).to(scores_UC)[:, None] for bound in (low, high))
    scores_BC = scores_UC[torch.from_numpy(query_of).to(scores_UC.device)]
    above_BC = scores_BC > high_B1
    between_BC = (scores_BC >= low_B1) ^ above_BC
    weights_C = torch.from_numpy(multiplicity).to(scores_UC.device, torch.float32)
    num_above = above_BC.float() @ weights_C
    num_between = torch.zeros_like(num_above) if places else between_BC.float() @ weights_C
    cases_P, rows_P = where(between_BC if places else between_BC[:0])
    counts_and_places = (num_above.long(), num_between.long(), cases_P, rows_P)
    return Compared(*(each.cpu().numpy() for each in counts_and_places))
