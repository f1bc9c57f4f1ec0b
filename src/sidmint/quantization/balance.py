"""Codes of bounded size: the nearest codeword that has room.

What k-means++ spends codewords on decides what Lloyd's iterations can reach: on a residual
without structure a codeword for one outlier lowers the inertia as much as one for a cluster, so
most codes end with a point or two and one code keeps all the rest. Where no code may take more
than its share, codewords are means of clusters of like size, have norms of like size, and share
the points between them even when a point is then simply given its nearest codeword.

Shape letters: N points, d their size, K codewords, O codewords with room, M points without a
code so far, B points of one block, P points of overfull codes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sidmint.quantization.assignment import Assigner, pair_distances
from sidmint.quantization.collective import gathered, own_rows

ROWS_AT_ONCE = 1 << 13
"""Points of a block: their float64 copies are 25 MB at 384 dimensions."""

ROUNDS = 8
"""Rounds of proposals. What is left after these are points that lie on each other: residuals of
zero above all, which would fill one code after another, a round each."""


def largest_size(num_points: int, num_codes: int, balance: float) -> int:
    """The most points a code may take: `balance` times the mean, rounded up."""
    return math.ceil(balance * num_points / num_codes)


def bounded_nearest(points_Nd: Tensor, codewords_Kd: Tensor, largest: int) -> Tensor:
    """The code (N,) int64 of each point, none given to more than `largest` points.

    In each round every point without a code proposes to the nearest codeword that has room; an
    overfull one keeps those with most to lose, by squared distance to the second nearest with
    room less that to itself, and turns the others away (the greedy form of an auction; bounds as
    in OneRec, Algorithm 1, and LETTER's constrained k-means). Equal distances go to the lowest
    code, equal losses to the lowest row: with points in another order, equal points may change
    places, and nothing else does. After `ROUNDS` rounds the points that are left count as one
    group. Wants N <= K `largest`. Costs one assignment, and one of the points turned away and of
    those who compete a round: 1.0 to 1.4 in all but the first iterations of k-means. Several
    processes share the products.
    """
    num_points, num_codes = len(points_Nd), len(codewords_Kd)
    if num_points > num_codes * largest:
        raise ValueError(f"{num_codes} codes of {largest} have no room for {num_points} points")
    codes_N = torch.full((num_points,), -1, dtype=torch.int64, device=points_Nd.device)
    room_K = torch.full((num_codes,), largest, dtype=torch.int64, device=points_Nd.device)
    left_M = torch.arange(num_points, device=points_Nd.device)
    for _ in range(ROUNDS):
        open_O = room_K.nonzero()[:, 0]
        wanted_M = _nearest_open(points_Nd, codewords_Kd, left_M, open_O)
        crowded_M = (torch.bincount(wanted_M, minlength=num_codes) > room_K)[wanted_M]
        losses_P = _losses(points_Nd, codewords_Kd, left_M[crowded_M], wanted_M[crowded_M], open_O)
        losses_M = losses_P.new_zeros(len(left_M)).masked_scatter_(crowded_M, losses_P)
        kept_M = _first_of_each(wanted_M, losses_M, room_K)
        codes_N[left_M[kept_M]] = wanted_M[kept_M]
        room_K -= torch.bincount(wanted_M[kept_M], minlength=num_codes)
        left_M = left_M[~kept_M]
        if not len(left_M):
            return codes_N
    codes_N[left_M] = _as_one_group(points_Nd, codewords_Kd, left_M, room_K)
    return codes_N


def _nearest_open(
    points_Nd: Tensor, codewords_Kd: Tensor, left_M: Tensor, open_O: Tensor
) -> Tensor:
    """The code (M,) of the nearest codeword among those with room, exactly."""
    assigner = Assigner(codewords_Kd[open_O])
    own = left_M[own_rows(len(left_M))]
    blocks = [assigner(points_Nd[rows_B]) for rows_B in torch.split(own, ROWS_AT_ONCE)]
    return open_O[gathered(torch.cat(blocks), len(left_M))]


def _losses(
    points_Nd: Tensor, codewords_Kd: Tensor, rows_P: Tensor, codes_P: Tensor, open_O: Tensor
) -> Tensor:
    """What each point (P,) loses with its code: the next nearest distance less this one.

    Which is the next nearest a float32 product says; distances are exact. Zero where no
    other code has room.
    """
    own = own_rows(len(rows_P))
    blocks = [
        _losses_of_block(points_Nd[rows_B], codewords_Kd, codes_B, open_O)
        for rows_B, codes_B in zip(
            torch.split(rows_P[own], ROWS_AT_ONCE),
            torch.split(codes_P[own], ROWS_AT_ONCE),
            strict=True,
        )
    ]
    return gathered(torch.cat(blocks), len(rows_P))


def _losses_of_block(
    points_Bd: Tensor, codewords_Kd: Tensor, codes_B: Tensor, open_O: Tensor
) -> Tensor:
    if len(open_O) == 1:
        return torch.zeros(len(points_Bd), dtype=torch.float64, device=points_Bd.device)
    open_Od = codewords_Kd[open_O]
    scores_BO = torch.addmm(open_Od.square().sum(dim=1) / 2, points_Bd, open_Od.T, alpha=-1)
    scores_BO.scatter_(1, torch.searchsorted(open_O, codes_B)[:, None], torch.inf)
    next_Bd = open_Od[scores_BO.argmin(dim=1)]
    return pair_distances(points_Bd, next_Bd) - pair_distances(points_Bd, codewords_Kd[codes_B])


def _first_of_each(wanted_M: Tensor, losses_M: Tensor, room_K: Tensor) -> Tensor:
    """Who (M,) gets the code it wants: as many as there is room for, the largest losses first."""
    order_M = torch.argsort(losses_M, descending=True, stable=True)
    order_M = order_M[torch.argsort(wanted_M[order_M], stable=True)]
    sorted_M = wanted_M[order_M]
    codes_K = torch.arange(len(room_K), device=room_K.device)
    places_M = torch.arange(len(sorted_M), device=room_K.device)
    places_M -= torch.searchsorted(sorted_M, codes_K)[sorted_M]
    kept_M = torch.empty_like(sorted_M, dtype=torch.bool)
    kept_M[order_M] = places_M < room_K[sorted_M]
    return kept_M


def _as_one_group(
    points_Nd: Tensor, codewords_Kd: Tensor, left_M: Tensor, room_K: Tensor
) -> Tensor:
    """Codes (M,) that fill what room there is: codes by their distance to the points' mean.

    The points nearest to the mean come first.
    """
    mean_1d = points_Nd[left_M].double().mean(dim=0, keepdim=True).float()
    order_K = torch.argsort(_distances(codewords_Kd, mean_1d), stable=True)
    order_M = torch.argsort(_distances(points_Nd[left_M], mean_1d), stable=True)
    places = torch.repeat_interleave(order_K, room_K[order_K])[: len(left_M)]
    codes_M = torch.empty_like(left_M)
    codes_M[order_M] = places
    return codes_M


def _distances(rows_Md: Tensor, mean_1d: Tensor) -> Tensor:
    return torch.cat([pair_distances(each, mean_1d) for each in torch.split(rows_Md, ROWS_AT_ONCE)])
