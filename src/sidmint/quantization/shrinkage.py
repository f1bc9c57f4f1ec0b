"""A start for k-means whose codewords are nearer to the mean than the points they were drawn at.

Shape letters: N points, d their size, K codewords, S sampled points.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from sidmint.quantization.assignment import nearest

SCALES = (1.0, 0.71, 0.5, 0.35, 0.25)
"""What is tried, each about half as much spread as the one before."""

SAMPLED_PER_CODE, SAMPLED_AT_LEAST = 4, 1024
"""Points that the scales are compared on: of many, a small part of what one iteration takes."""

ROWS_AT_ONCE = 1 << 14
"""Rows that are summed in float64 at a time."""


def shrunk(points_Nd: Tensor, start_Kd: Tensor, generator: Generator) -> Tensor:
    """`start_Kd` drawn towards the mean m of the points: m + s (c - m), one s for all of them.

    A codeword c that is itself a point lies at |x - c|^2 = 2 sigma^2 (1 - rho) from a point x
    that correlates with it by rho, but m + s (c - m) at sigma^2 (1 - 2 s rho + s^2), which is
    least for s = rho. In many dimensions, and on residuals above all, rho is small: nearly all
    points then lie nearest to the few codewords of least norm, the others keep a point or two,
    and Lloyd's iterations cannot take that back. Shrunk, codewords compete by direction.

    s is the one of `SCALES` with the least inertia over a sample of the points; clusters that lie
    far apart keep 1, and `start_Kd` itself. `generator` lives on the CPU.
    """
    sample_Sd = _sampled(points_Nd, len(start_Kd), generator)
    mean_d = _mean(points_Nd).to(start_Kd.dtype)
    starts = [start_Kd, *(torch.lerp(mean_d, start_Kd, scale) for scale in SCALES[1:])]
    return min(starts, key=lambda codewords_Kd: _inertia(sample_Sd, codewords_Kd))


def _sampled(points_Nd: Tensor, num_codes: int, generator: Generator) -> Tensor:
    num_sampled = max(SAMPLED_PER_CODE * num_codes, SAMPLED_AT_LEAST)
    if len(points_Nd) <= num_sampled:
        return points_Nd
    rows_S = torch.randint(len(points_Nd), (num_sampled,), generator=generator)
    return points_Nd[rows_S.to(points_Nd.device)]


def _mean(points_Nd: Tensor) -> Tensor:
    """In float64, a block at a time: torch would copy all the points to float64 first."""
    blocks = torch.split(points_Nd, ROWS_AT_ONCE)
    return torch.stack([block_Bd.double().sum(dim=0) for block_Bd in blocks]).sum(0) / len(
        points_Nd
    )


def _inertia(points_Sd: Tensor, codewords_Kd: Tensor) -> float:
    codes_S = nearest(points_Sd, codewords_Kd)
    return float((points_Sd - codewords_Kd[codes_S]).square().sum(dtype=torch.float64))
