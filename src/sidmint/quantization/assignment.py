"""The nearest codeword of each point, exactly.

Shape letters: N points, B points of one block, K codewords, d their size, P (point, code) pairs.

A matrix product finds the nearest codeword fast, but float32 rounds, and rounds differently
with the number of rows, the threads and the processor. So the product only proposes: where
a rigorous error bound leaves more than one codeword possible, those are compared again in
float64 by operations that round in the same way wherever they run. The code of a point
therefore depends on the point and the codebook alone: not on the other points, their order,
the block size or the machine.
"""

from __future__ import annotations

import torch
from torch import Tensor

SCORES_IN_CACHE = 1 << 20
"""Scores a block: 4 MB of float32, so that they are read again before they leave the cache."""

VALUES_IN_FLIGHT = 1 << 22
"""Float64 values a piece of the exact comparison."""

UNIT_ROUNDOFF = 2.0**-24
"""Of float32. A faster, coarser product only has to state its own."""


def nearest(points_Nd: Tensor, codewords_Kd: Tensor) -> Tensor:
    """The code (N,) int64 of the codeword nearest to each point; ties go to the lowest code.

    argmin_k ||x - c_k||^2 over float32 points (N, d) and codewords (K, d) on one device.
    Distances are those of `pair_distances`, so equal codewords are exact ties. Carries
    no gradient. Memory beyond the input is bounded by one block.
    """
    points_Nd, codewords_Kd = points_Nd.detach(), codewords_Kd.detach()
    half_norms_K = (codewords_Kd.double().square().sum(dim=1) / 2).float()
    largest_norm = half_norms_K.max().mul(2).sqrt()
    directions_dK = (-codewords_Kd).T.contiguous()
    codes_N = torch.empty(len(points_Nd), dtype=torch.int64, device=points_Nd.device)
    block = max(64, SCORES_IN_CACHE // len(codewords_Kd))
    for start in range(0, len(points_Nd), block):
        points_Bd = points_Nd[start : start + block]
        scores_BK = torch.addmm(half_norms_K, points_Bd, directions_dK)
        best_B, codes_B = scores_BK.min(dim=1)
        limit_B = best_B + _margin(points_Bd, largest_norm)
        scores_BK.scatter_(1, codes_B[:, None], torch.inf)
        open_rows = (scores_BK.amin(dim=1) <= limit_B).nonzero()[:, 0]
        if len(open_rows):
            possible_BK = scores_BK[open_rows] <= limit_B[open_rows, None]
            possible_BK.scatter_(1, codes_B[open_rows, None], True)
            codes_B[open_rows] = _settle(points_Bd[open_rows], codewords_Kd, possible_BK)
        codes_N[start : start + block] = codes_B
    return codes_N


def pair_distances(left_Pd: Tensor, right_Pd: Tensor) -> Tensor:
    """Squared distances (P,) float64 of paired rows, the same to the last bit wherever they run.

    A library sum may add in another order when a tensor has another shape. Here every
    operation is elementwise and correctly rounded, and halves are folded onto each other
    in a fixed order, so a pair's distance does not depend on the pairs beside it.
    """
    terms_Pd = (left_Pd.double() - right_Pd.double()).square_()
    while terms_Pd.shape[1] > 1:
        half = terms_Pd.shape[1] // 2
        folded = terms_Pd[:, :half] + terms_Pd[:, half : 2 * half]
        if terms_Pd.shape[1] % 2:
            folded[:, 0] += terms_Pd[:, -1]
        terms_Pd = folded
    return terms_Pd[:, 0]


def all_distances(points_Nd: Tensor, codewords_Kd: Tensor) -> Tensor:
    """`pair_distances` of every point to every codeword, (N, K) float64, in bounded pieces."""
    distances_NK = torch.empty(
        (len(points_Nd), len(codewords_Kd)), dtype=torch.float64, device=points_Nd.device
    )
    block = max(1, VALUES_IN_FLIGHT // codewords_Kd.numel())
    for start in range(0, len(points_Nd), block):
        points_Bd = points_Nd[start : start + block]
        left = points_Bd.repeat_interleave(len(codewords_Kd), dim=0)
        right = codewords_Kd.repeat(len(points_Bd), 1)
        distances_NK[start : start + block] = pair_distances(left, right).view(len(points_Bd), -1)
    return distances_NK


def _margin(points_Bd: Tensor, largest_norm: Tensor) -> Tensor:
    """How far above the best score the true winner's score may lie, (B,).

    A score is s_k = ||c_k||^2 / 2 - x.c_k. In whatever order a product of length d is
    summed, it errs by at most gamma = d u / (1 - d u) times ||x|| ||c|| (Higham, Accuracy
    and Stability of Numerical Algorithms, 3.1), u being the unit roundoff. Both scores of a
    comparison may err: twice the bound. Four more roundings and 1 % cover the other terms.
    """
    terms = (points_Bd.shape[1] + 4) * UNIT_ROUNDOFF
    gamma = terms / (1 - terms)
    norms_B = torch.linalg.vector_norm(points_Bd, dim=1)
    margin_B: Tensor = 2.02 * gamma * (norms_B * largest_norm + largest_norm.square() / 2)
    return margin_B


def _settle(points_Bd: Tensor, codewords_Kd: Tensor, possible_BK: Tensor) -> Tensor:
    """The nearest among the possible codes of each row, by exact comparison."""
    distances_BK = torch.full(possible_BK.shape, torch.inf, dtype=torch.float64)
    distances_BK = distances_BK.to(points_Bd.device)
    rows_P, codes_P = possible_BK.nonzero(as_tuple=True)
    piece = max(1, VALUES_IN_FLIGHT // points_Bd.shape[1])
    for start in range(0, len(rows_P), piece):
        rows, codes = rows_P[start : start + piece], codes_P[start : start + piece]
        distances_BK[rows, codes] = pair_distances(points_Bd[rows], codewords_Kd[codes])
    return distances_BK.argmin(dim=1)  # documented to give the first of equals
