"""k-means over the whole data: k-means++ start, Lloyd iterations, empty clusters re-seeded.

Shape letters: N points, d their size, K codewords, T trials of the greedy start.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn.functional import embedding_bag

from sidmint.progress import Track, silent
from sidmint.quantization.assignment import nearest
from sidmint.quantization.balance import bounded_nearest, largest_size
from sidmint.quantization.collective import gathered, own_rows, summed
from sidmint.quantization.offsets import far_offset
from sidmint.quantization.oversampling import oversampled_plus_plus, squared_distances
from sidmint.quantization.shrinkage import shrunk

ROWS_AT_ONCE = 1 << 14
"""Rows that are summed in float64 at a time."""

OVERSAMPLED_FROM_CODES = 1024
"""From here on a pass over the data a codeword takes longer than all the iterations."""


@dataclass(frozen=True)
class KMeans:
    """A fitted codebook and how it came about."""

    codewords_Kd: Tensor
    codes_N: Tensor
    """The nearest codeword of each point, int64."""
    inertia: tuple[float, ...]
    """Sum of squared distances at each assignment, then after each swap round that was kept, or
    of the nearest codewords after bounded assignments; the last is that of `codes_N`."""
    num_reseeded: int
    """Empty clusters that were given a point, over all iterations."""


class TooFewPoints(ValueError):
    """There are fewer distinct points than codes."""

    def __init__(self, level: int, num_codes: int, num_distinct: int) -> None:
        super().__init__(f"level {level} has {num_codes} codes for {num_distinct} distinct points")
        self.level, self.num_codes, self.num_distinct = level, num_codes, num_distinct


def kmeans(
    points_Nd: Tensor,
    num_codes: int,
    generator: Generator,
    iterations: int = 50,
    tolerance: float = 1e-4,
    swap_rounds: int = 0,
    balance: float | None = None,
) -> KMeans:
    """K codewords that (locally) minimise the sum of squared distances of all points.

    Lloyd's algorithm from a greedy k-means++ start, or a k-means|| one from 1,024 codewords
    on, drawn towards the mean as far as that helps (`shrunk`); every point in every iteration. Ends
    when an iteration lowers the inertia by less than `tolerance` of it and no cluster is
    empty, or after `iterations`. An empty cluster takes the point that lies farthest from
    its own codeword. `swap_rounds` then try to leave the local minimum; see `_swap`.
    `balance` (1 or more) bounds every code to that multiple of N / K points in all these
    iterations (`bounded_nearest`); `codes_N` are those of the nearest codeword all the same.
    A shared offset far larger than the spread is taken off first and put back (`far_offset`): codes
    do not depend on it, save for what float32 rounds of points and codewords so far out.
    `generator` lives on the CPU whatever the device of the points. Raises `TooFewPoints`
    when fewer than K of the points are distinct.
    """
    num_distinct = count_distinct(points_Nd, at_least=num_codes)
    if num_distinct < num_codes:
        raise TooFewPoints(0, num_codes, num_distinct)
    offset_d = far_offset(points_Nd)
    if offset_d is None:
        return _fitted(points_Nd, num_codes, generator, iterations, tolerance, swap_rounds, balance)
    fitted = _fitted(
        points_Nd - offset_d, num_codes, generator, iterations, tolerance, swap_rounds, balance
    )
    return _put_back(points_Nd, [fitted], offset_d)[0]


def _fitted(
    points_Nd: Tensor,
    num_codes: int,
    generator: Generator,
    iterations: int,
    tolerance: float,
    swap_rounds: int,
    balance: float | None,
) -> KMeans:
    """k-means of points that lie about zero; see `kmeans`."""
    start_Kd = started(points_Nd, num_codes, generator)
    fitted = _lloyd(points_Nd, start_Kd, iterations, tolerance, balance)
    num_swapped = num_codes // 4
    for _ in range(swap_rounds):
        if not num_swapped or not fitted.inertia[-1]:
            break
        start_Kd = _swap(points_Nd, fitted, num_swapped, generator)
        other = _lloyd(points_Nd, start_Kd, iterations, max(tolerance, 1e-3), balance)
        if other.inertia[-1] < fitted.inertia[-1]:
            num_reseeded = fitted.num_reseeded + other.num_reseeded
            inertia = (*fitted.inertia, other.inertia[-1])
            fitted = replace(other, inertia=inertia, num_reseeded=num_reseeded)
        else:
            num_swapped //= 2
    return fitted


def _put_back(points_Nd: Tensor, levels: list[KMeans], offset_d: Tensor) -> list[KMeans]:
    """Levels that were fitted without the offset, which the codewords of the first get back.

    Codes and the last inertia are those of the codewords that come out, on the points as they are.
    """
    walked = []
    for level, fitted in enumerate(levels):
        codewords_Kd = fitted.codewords_Kd if level else fitted.codewords_Kd + offset_d
        codes_N = _assigned(points_Nd, codewords_Kd)
        distances_N = _own_distances(points_Nd, codewords_Kd, codes_N)
        inertia = (*fitted.inertia[:-1], float(distances_N.sum(dtype=torch.float64)))
        walked.append(KMeans(codewords_Kd, codes_N, inertia, fitted.num_reseeded))
        points_Nd = points_Nd - codewords_Kd[codes_N]
    return walked


def residual_kmeans(
    points_Nd: Tensor,
    sizes: Sequence[int],
    generator: Generator,
    iterations: int = 50,
    tolerance: float = 1e-4,
    swap_rounds: int = 0,
    track: Track = silent,
    balance: float | None = None,
) -> list[KMeans]:
    """One k-means a level, each on what the levels before left over.

    Arguments are those of `kmeans`; a `TooFewPoints` names the level, counted from 0. A far offset
    is taken off once, before the first level, whose codewords get it back.
    """
    offset_d = far_offset(points_Nd)
    residual_Nd = points_Nd if offset_d is None else points_Nd - offset_d
    levels: list[KMeans] = []
    for level, num_codes in enumerate(track(sizes, "k-means", len(sizes))):
        try:
            fitted = kmeans(
                residual_Nd, num_codes, generator, iterations, tolerance, swap_rounds, balance
            )
        except TooFewPoints as error:
            raise TooFewPoints(level, num_codes, error.num_distinct) from error
        residual_Nd = residual_Nd - fitted.codewords_Kd[fitted.codes_N]
        levels.append(fitted)
    return levels if offset_d is None else _put_back(points_Nd, levels, offset_d)


def started(points_Nd: Tensor, num_codes: int, generator: Generator) -> Tensor:
    """The codewords (K, d) that the iterations of `kmeans` start from."""
    return shrunk(points_Nd, _start(points_Nd, num_codes, generator), generator)


def _start(points_Nd: Tensor, num_codes: int, generator: Generator) -> Tensor:
    """Starting codewords (K, d), by what is affordable for so many."""
    start_Kd = None
    if num_codes >= OVERSAMPLED_FROM_CODES:
        start_Kd = oversampled_plus_plus(points_Nd, num_codes, generator)
    return plus_plus(points_Nd, num_codes, generator) if start_Kd is None else start_Kd


def plus_plus(points_Nd: Tensor, num_codes: int, generator: Generator) -> Tensor:
    """Greedy k-means++ starting codewords (K, d), drawn among all points.

    Each next codeword is a point drawn with probability proportional to its squared distance
    to the codewords so far; of 2 + ln K such draws the one that lowers the inertia most is
    kept (Arthur and Vassilvitskii 2007, section 5). One pass over the data a codeword.
    """
    num_trials = 2 + int(math.log(num_codes))
    norms_N = points_Nd.square().sum(dim=1)
    first = int(torch.randint(len(points_Nd), (1,), generator=generator))
    chosen = [first]
    least_N = (points_Nd - points_Nd[first]).square().sum(dim=1)
    for _ in range(num_codes - 1):
        mass_N = least_N.cumsum(dim=0, dtype=torch.float64)
        draws_T = torch.rand(num_trials, generator=generator, dtype=torch.float64).to(mass_N.device)
        candidates_T = torch.searchsorted(mass_N, draws_T * mass_N[-1], right=True)
        candidates_T.clamp_(max=len(points_Nd) - 1)
        distances_TN = torch.addmm(norms_N, points_Nd[candidates_T], points_Nd.T, alpha=-2)
        distances_TN.add_(norms_N[candidates_T, None]).clamp_(min=0)
        torch.minimum(distances_TN, least_N, out=distances_TN)
        best = int(distances_TN.sum(dim=1, dtype=torch.float64).argmin())
        least_N = distances_TN[best].clone()
        chosen.append(int(candidates_T[best]))
        least_N[chosen[-1]] = 0.0
    return points_Nd[chosen].clone()


def cluster_means(points_Nd: Tensor, codes_N: Tensor, codewords_Kd: Tensor) -> Tensor:
    """The mean of each code's points, (K, d); a code without points keeps its codeword.

    Summed in float64 and in row order within a code: equal points have exactly themselves as
    mean, so that nothing is left over of them, and the result does not depend on threads.
    Several processes sum a share each.
    """
    num_codes = len(codewords_Kd)
    own = own_rows(len(points_Nd))
    sums_Kd = summed(sums_by_code(points_Nd[own], codes_N[own], num_codes))
    return means_of(sums_Kd, torch.bincount(codes_N, minlength=num_codes), codewords_Kd)


def sums_by_code(points_Nd: Tensor, codes_N: Tensor, num_codes: int) -> Tensor:
    """The sum of each code's points, (K, d) float64, in row order within a code."""
    sums_Kd = points_Nd.new_zeros((num_codes, points_Nd.shape[1]), dtype=torch.float64)
    for start in range(0, len(points_Nd), ROWS_AT_ONCE):
        codes_B = codes_N[start : start + ROWS_AT_ONCE]
        points_Bd = points_Nd[start : start + ROWS_AT_ONCE].double()
        counts_K = torch.bincount(codes_B, minlength=num_codes)
        order_B = torch.argsort(codes_B, stable=True)
        sums_Kd += embedding_bag(order_B, points_Bd, counts_K.cumsum(0) - counts_K, mode="sum")
    return sums_Kd


def means_of(sums_Kd: Tensor, counts_K: Tensor, codewords_Kd: Tensor) -> Tensor:
    """Means (K, d) float32 of sums; a code without points keeps its codeword."""
    counts_K1 = counts_K[:, None]
    return torch.where(counts_K1 > 0, (sums_Kd / counts_K1.clamp(min=1)).float(), codewords_Kd)


def count_distinct(points_Nd: Tensor, at_least: int | None = None) -> int:
    """How many rows are different from each other, bit by bit (+0 and -0 are equal).

    Rows are told apart by a 64-bit hash: two different rows are taken for equal with a
    probability of N^2 / 2^65. With `at_least`, counting stops once so many are seen.
    """
    return distinct_in(torch.split(points_Nd, max(1, (1 << 22) // points_Nd.shape[1])), at_least)


def distinct_in(blocks: Iterable[Tensor], at_least: int | None = None) -> int:
    """`count_distinct` of all rows of blocks (B, d), which are asked for one after another."""
    seen = torch.empty(0, dtype=torch.int64)
    for block_Bd in blocks:
        rng = np.random.default_rng(0)
        multipliers = rng.integers(1, 2**62, block_Bd.shape[1], dtype=np.int64) | 1
        weights_d = torch.from_numpy(multipliers)
        bits_Bd = (block_Bd.float().cpu() + 0.0).contiguous().view(torch.int32).long()
        mixed_Bd = bits_Bd * weights_d
        mixed_Bd ^= mixed_Bd >> 29
        seen = torch.unique(torch.cat([seen, (mixed_Bd * weights_d.flip(0)).sum(dim=1)]))
        if at_least is not None and len(seen) >= at_least:
            break
    return len(seen)


def _lloyd(
    points_Nd: Tensor,
    codewords_Kd: Tensor,
    iterations: int,
    tolerance: float,
    balance: float | None = None,
) -> KMeans:
    """Lloyd iterations from given codewords; see `kmeans`."""
    inertia: list[float] = []
    num_reseeded = 0
    while True:
        codes_N = _assigned(points_Nd, codewords_Kd, balance)
        distances_N = _own_distances(points_Nd, codewords_Kd, codes_N)
        inertia.append(float(distances_N.sum(dtype=torch.float64)))
        empty = (torch.bincount(codes_N, minlength=len(codewords_Kd)) == 0).nonzero()[:, 0]
        settled = len(inertia) > 1 and inertia[-2] - inertia[-1] <= tolerance * inertia[-1]
        if (settled and not len(empty)) or len(inertia) > iterations:
            break
        if len(empty):
            num_reseeded += _reseed(empty, codes_N, distances_N)
        codewords_Kd = cluster_means(points_Nd, codes_N, codewords_Kd)
    if balance is not None:
        codes_N = _assigned(points_Nd, codewords_Kd)
        distances_N = _own_distances(points_Nd, codewords_Kd, codes_N)
        inertia.append(float(distances_N.sum(dtype=torch.float64)))
    return KMeans(codewords_Kd, codes_N, tuple(inertia), num_reseeded)


def _assigned(points_Nd: Tensor, codewords_Kd: Tensor, balance: float | None = None) -> Tensor:
    """Code (N,) of each point, of which each process finds its share."""
    num_points = len(points_Nd)
    if balance is not None:
        largest = largest_size(num_points, len(codewords_Kd), balance)
        return bounded_nearest(points_Nd, codewords_Kd, largest)
    return gathered(nearest(points_Nd[own_rows(num_points)], codewords_Kd), num_points)


def _own_distances(points_Nd: Tensor, codewords_Kd: Tensor, codes_N: Tensor) -> Tensor:
    """Squared distance (N,) of each point to its codeword; each process finds its share."""
    own = own_rows(len(points_Nd))
    return gathered(squared_distances(points_Nd[own], codewords_Kd, codes_N[own]), len(points_Nd))


def _swap(points_Nd: Tensor, fitted: KMeans, num_swapped: int, generator: Generator) -> Tensor:
    """Codewords (K, d) with the least useful ones moved to where the error is largest.

    The utility of a codeword is what the inertia would grow by if it were taken away; its
    error is the inertia of its points. k-means++ spends codewords on outliers, which Lloyd
    cannot take back; moving them is LBG-U (Fritzke 1997), several at a
    time as in breathing k-means (Fritzke 2020). A moved codeword is put half way between
    the other codeword and one of its points.
    """
    codewords_Kd, codes_N = fitted.codewords_Kd, fitted.codes_N
    own_N = (points_Nd - codewords_Kd[codes_N]).square().sum(dim=1)
    next_N = _without_own(points_Nd, codewords_Kd, codes_N)
    errors_K = _summed(own_N, codes_N, len(codewords_Kd))
    utilities_K = _summed((next_N - own_N).clamp(min=0), codes_N, len(codewords_Kd))
    moved_Kd = codewords_Kd.clone()
    givers = utilities_K.argsort(stable=True)[:num_swapped].tolist()
    takers = errors_K.argsort(descending=True, stable=True)[:num_swapped].tolist()
    for giver, taker in zip(givers, takers, strict=True):
        rows = (codes_N == taker).nonzero()[:, 0]
        row = rows[torch.randint(len(rows), (1,), generator=generator).item()]
        moved_Kd[giver] = (codewords_Kd[taker] + points_Nd[row]) / 2
    return moved_Kd


def _without_own(points_Nd: Tensor, codewords_Kd: Tensor, codes_N: Tensor) -> Tensor:
    """Squared distance (N,) of each point to its second nearest codeword."""
    half_norms_K = codewords_Kd.square().sum(dim=1) / 2
    seconds = []
    for points_Bd, codes_B in zip(
        torch.split(points_Nd, ROWS_AT_ONCE), torch.split(codes_N, ROWS_AT_ONCE), strict=True
    ):
        scores_BK = torch.addmm(half_norms_K, points_Bd, codewords_Kd.T, alpha=-1)
        scores_BK.scatter_(1, codes_B[:, None], torch.inf)
        seconds.append(2 * scores_BK.amin(dim=1) + points_Bd.square().sum(dim=1))
    return torch.cat(seconds)


def _summed(values_N: Tensor, codes_N: Tensor, num_codes: int) -> Tensor:
    """The sum of `values_N` over each code, (K,) float64."""
    return torch.bincount(codes_N, weights=values_N.double(), minlength=num_codes)


def _reseed(empty: Tensor, codes_N: Tensor, distances_N: Tensor) -> int:
    """Give each empty code one far point, in `codes_N` itself; how many got one.

    Points at one and the same distance count as one, or duplicates would fill several codes.
    """
    ranked = torch.sort(distances_N, descending=True, stable=True)
    changed = torch.ones_like(ranked.values, dtype=torch.bool)
    changed[1:] = ranked.values[1:] != ranked.values[:-1]
    farthest = ranked.indices[changed & (ranked.values > 0)][: len(empty)]
    codes_N[farthest] = empty[: len(farthest)]
    return len(farthest)
