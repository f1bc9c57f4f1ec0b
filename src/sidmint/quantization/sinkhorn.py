"""Codes that share the points evenly: entropy-regularised transport (Cuturi 2013).

Shape letters: N points, K codewords, d their size.

Two conventions of epsilon are in use for this. Here it is LC-Rec's (Zheng et al. 2024): squared
distances are centred and scaled to [-1, 1], the plan is that of exp(-cost / epsilon), epsilon
0.003; it does not depend on the unit of the vectors. (The other, exp(-distance * epsilon)
with epsilon 10, does.) Small epsilon: nearest codewords as far as balance allows; large
epsilon: every point spread over all codes.

A plan couples all points that it is made for: codes depend on companions. They may guide a
training batch, or tell items of one bucket apart; inference stays with the nearest codeword.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

ABSORBED_EVERY = 10
"""Iterations between two plans that are written out."""

ALIKE = 1e-3
"""Shares of a point that differ by less than this part are one and the same."""


def unit_costs(distances_NK: Tensor) -> Tensor:
    """Distances centred on the middle of their range and scaled to [-1, 1], float64.

    All equal: zeros.
    """
    distances_NK = distances_NK.double()
    low, high = distances_NK.min(), distances_NK.max()
    half_range = (high - low) / 2
    return (distances_NK - (high + low) / 2) / torch.where(half_range > 0, half_range, 1.0)


def transport(costs_NK: Tensor, epsilon: float, iterations: int) -> Tensor:
    """Logarithm of P (N, K) = diag(u) exp(-costs / epsilon) diag(v) with (nearly) even marginals.

    Every code receives 1 / K exactly; every point gives 1 / N as closely as `iterations` of
    Sinkhorn's algorithm reach, fewer being enough for a larger epsilon. No epsilon
    overflows: the plan is carried as logarithms, and `_scale` stays near one. Memory: three
    (N, K) float64 arrays, 75 MB for 12,000 points and 256 codes.
    """
    log_plan_NK = costs_NK.double() / -epsilon
    num_points, num_codes = log_plan_NK.shape
    log_plan_NK -= torch.logsumexp(log_plan_NK, dim=1, keepdim=True) + math.log(num_points)
    log_plan_NK -= torch.logsumexp(log_plan_NK, dim=0, keepdim=True) + math.log(num_codes)
    for done in range(1, iterations, ABSORBED_EVERY):
        log_u_N, log_v_K = _scale(log_plan_NK.exp(), min(ABSORBED_EVERY, iterations - done))
        log_plan_NK.add_(log_u_N[:, None]).add_(log_v_K)
    return log_plan_NK


def _scale(plan_NK: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    """The log u (N,) and log v (K,) of so many iterations from a plan whose codes are balanced.

    A plan with even rows has no column sum above 1, and the other way about. So one iteration
    multiplies an entry by at most N K and at least 1 / (N K), and every sum stays above
    1 / (N K): ten iterations neither overflow nor miss an entry that was too small to write.
    """
    num_points, num_codes = plan_NK.shape
    v_K = plan_NK.new_ones(num_codes)
    for _ in range(iterations):
        u_N = 1 / (num_points * (plan_NK @ v_K))
        v_K = 1 / (num_codes * (plan_NK.T @ u_N))
    return u_N.log(), v_K.log()


def balanced_codes(distances_NK: Tensor, epsilon: float = 0.003, iterations: int = 50) -> Tensor:
    """The code (N,) int64 to which each point gives most; ties go to the lowest code.

    `distances_NK` are squared distances to every codeword. Equal points get equal codes.
    """
    return transport(unit_costs(distances_NK), epsilon, iterations).argmax(dim=1)


def dealt_codes(distances_NK: Tensor, epsilon: float = 0.003, iterations: int = 50) -> Tensor:
    """`balanced_codes` for fewer points than codes: the nearest of those that a point gets whole.

    Where codes are left over, several give all of their 1 / K to one point, and which of these
    gives it most is a matter of the last bit: of the unit of the vectors, or of a rotation.
    """
    log_plan_NK = transport(unit_costs(distances_NK), epsilon, iterations)
    most_N1 = log_plan_NK.amax(dim=1, keepdim=True)
    return distances_NK.where(log_plan_NK >= most_N1 - ALIKE, torch.inf).argmin(dim=1)


def balanced_nearest(
    points_Nd: Tensor, codewords_Kd: Tensor, epsilon: float = 0.003, iterations: int = 50
) -> Tensor:
    """`balanced_codes` of points to codewords; carries no gradient."""
    with torch.no_grad():
        points_Nd, codewords_Kd = points_Nd.detach().double(), codewords_Kd.detach().double()
        half_norms_K = codewords_Kd.square().sum(dim=1) / 2
        # ||x||^2 / 2 is one and the same number for all codes of a point; it counts, since
        # costs are scaled by the range over all points.
        half_norms_N1 = points_Nd.square().sum(dim=1, keepdim=True) / 2
        distances_NK = torch.addmm(half_norms_K, points_Nd, codewords_Kd.T, alpha=-1)
        return balanced_codes(distances_NK + half_norms_N1, epsilon, iterations)
