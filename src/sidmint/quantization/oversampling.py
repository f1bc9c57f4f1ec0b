"""A start for many codewords: oversample in a few passes, then choose among the samples.

Shape letters: N points, d their size, K codewords, M candidates, T trials.
"""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from sidmint.quantization.assignment import nearest

ROUNDS = 5
"""Passes over the data; each adds K / 2 candidates, so that 2.5 K stand to choice at the end."""

ROWS_AT_ONCE = 1 << 11
"""Rows whose distances are taken at a time: they stay in the cache from one step to the next."""

TABLE_VALUES = 1 << 28
"""Distances between candidates kept at most (1 GiB); with more candidates they are made anew."""


def oversampled_plus_plus(points_Nd: Tensor, num_codes: int, generator: Generator) -> Tensor | None:
    """Starting codewords (K, d) by k-means||, drawn among all points.

    In each round K / 2 points are drawn with probability proportional to their squared
    distance to the candidates so far; then greedy k-means++ chooses K of them, each weighted
    with the points it is nearest to (Bahmani et al. 2012, algorithm 2). As many products as
    2.5 assignments take, where k-means++ takes a pass over the data a codeword.
    None where the distances vanish before K candidates are found.
    """
    first = torch.randint(len(points_Nd), (1,), generator=generator).to(points_Nd.device)
    chosen_M = first
    owners_N = torch.zeros(len(points_Nd), dtype=torch.int64, device=points_Nd.device)
    least_N = squared_distances(points_Nd, points_Nd[first], owners_N)
    rounds = 0
    while rounds < ROUNDS or len(chosen_M) < num_codes:
        drawn_T = _drawn(least_N, -(-num_codes // 2), generator)
        if not len(drawn_T):
            break
        codes_N = nearest(points_Nd, points_Nd[drawn_T])
        distances_N = squared_distances(points_Nd, points_Nd[drawn_T], codes_N)
        closer_N = distances_N < least_N
        least_N = torch.where(closer_N, distances_N, least_N)
        owners_N = torch.where(closer_N, codes_N + len(chosen_M), owners_N)
        chosen_M = torch.cat([chosen_M, drawn_T])
        rounds += 1
    if len(chosen_M) < num_codes:
        return None
    weights_M = torch.bincount(owners_N, minlength=len(chosen_M)).float()
    places_K = _chosen(points_Nd[chosen_M], weights_M, num_codes, generator)
    return points_Nd[chosen_M[places_K.to(chosen_M.device)]]


def squared_distances(points_Nd: Tensor, codewords_Kd: Tensor, codes_N: Tensor) -> Tensor:
    """Squared distance (N,) of each point to its codeword, float32."""
    distances = [
        (points_Bd - codewords_Kd[codes_B]).square_().sum(dim=1)
        for points_Bd, codes_B in zip(
            torch.split(points_Nd, ROWS_AT_ONCE), torch.split(codes_N, ROWS_AT_ONCE), strict=True
        )
    ]
    return torch.cat(distances)


def _drawn(mass_N: Tensor, num_draws: int, generator: Generator) -> Tensor:
    """Indices drawn in proportion to their mass, each once; none where there is no mass."""
    total_N = mass_N.cumsum(dim=0, dtype=torch.float64)
    draws_T = torch.rand(num_draws, generator=generator, dtype=torch.float64).to(mass_N.device)
    drawn_T = torch.searchsorted(total_N, draws_T * total_N[-1], right=True)
    drawn_T = drawn_T.clamp_(max=len(mass_N) - 1)
    distinct_T: Tensor = torch.unique(drawn_T[mass_N[drawn_T] > 0])
    return distinct_T


def _chosen(
    candidates_Md: Tensor, weights_M: Tensor, num_codes: int, generator: Generator
) -> Tensor:
    """Indices (K,) of candidates chosen by greedy k-means++ over weighted candidates.

    Thousands of tiny steps: in numpy, whose operations wake no other threads.
    """
    num_trials = 2 + int(math.log(num_codes))
    norms_M = candidates_Md.square().sum(dim=1)

    def distances_to(places_T: Tensor) -> NDArray[np.float32]:
        products_TM = torch.addmm(norms_M, candidates_Md[places_T], candidates_Md.T, alpha=-2)
        distances_TM = products_TM.add_(norms_M[places_T, None]).clamp_(min=0)
        return cast(NDArray[np.float32], distances_TM.cpu().numpy())

    everyone = torch.arange(len(candidates_Md))
    table_MM = distances_to(everyone) if len(candidates_Md) ** 2 <= TABLE_VALUES else None
    masses_M = weights_M.cpu().numpy()
    taken = _drawn(weights_M.cpu(), 1, generator).tolist()
    least_M = distances_to(torch.tensor(taken))[0]
    least_M[taken] = 0.0
    while len(taken) < num_codes:
        places_T = _drawn(torch.from_numpy(least_M * masses_M), num_trials, generator)
        if not len(places_T):  # what is left lies on what is taken
            return torch.tensor(
                [*taken, *sorted(set(range(len(masses_M))) - set(taken))][:num_codes]
            )
        distances_TM = distances_to(places_T) if table_MM is None else table_MM[places_T.numpy()]
        np.minimum(distances_TM, least_M, out=distances_TM)
        best = int(np.einsum("tm,m->t", distances_TM, masses_M).argmin())
        least_M = distances_TM[best].copy()
        taken.append(int(places_T[best]))
        least_M[taken[-1]] = 0.0
    return torch.tensor(taken)
