"""A shared offset of points that is large against their spread: found, so that it can be taken off.

Float32 distances by products, ||x||^2 - 2 x.c + ||c||^2, lose as many digits as the squared norm is
larger than the distance. Shape letters: N points, d their size.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

import torch
from torch import Tensor

FAR = 64.0
"""Norm of the mean, in units of the points' deviation from it, from which it is taken off: there
a float32 distance errs by 64^2 * 2^-24, a fortieth of a percent. Means of text embeddings have 1 to
5, so that their fits keep the bytes that they had."""

ROWS_AT_ONCE = 1 << 14
"""Rows that are summed in float64 at a time."""


def far_offset(points_Nd: Tensor) -> Tensor | None:
    """What to take off all points (d,), or None where the mean is no farther than usual.

    The mean in the dimensions where it is `FAR` from zero against the deviation there, 0 in the
    others. In those float32 subtracts it without rounding (a point is between half and twice it:
    Sterbenz), so that `points - offset` says the same as the points.
    """
    return offset_of(torch.split(points_Nd, ROWS_AT_ONCE), len(points_Nd))


def offset_of(blocks: Iterable[Tensor], num_points: int) -> Tensor | None:
    """`far_offset` of the N points of blocks (B, d), which are asked for one after another."""
    pieces = iter(blocks)
    begin_Bd = next(pieces)
    first_d = begin_Bd[0].double()
    sums_d, squares_d = torch.zeros_like(first_d), torch.zeros_like(first_d)
    for block_Bd in chain([begin_Bd], pieces):
        moved_Bd = block_Bd.double() - first_d  # squares about a point: nothing cancels
        sums_d += moved_Bd.sum(dim=0)
        squares_d += moved_Bd.square().sum(dim=0)
    shift_d = sums_d / num_points
    variances_d = (squares_d / num_points - shift_d.square()).clamp(min=0)
    mean_d = first_d + shift_d
    if not mean_d.square().sum() > FAR**2 * variances_d.sum():
        return None
    is_far_d = mean_d.square() > FAR**2 * variances_d
    return torch.where(is_far_d, mean_d, 0.0).to(begin_Bd.dtype)
