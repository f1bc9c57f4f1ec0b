"""Gaussian mixtures by EM, level by level on what the levels before left over.

Shape letters: N points, B rows of a piece, d their size, K components, L levels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor
from torch.nn.functional import one_hot

from sidmint.progress import Track, silent
from sidmint.quantization.kmeans import TooFewPoints, kmeans
from sidmint.quantization.offsets import far_offset

ROWS_AT_ONCE = 1 << 12
"""Rows whose joint probabilities are held at a time, in float64."""

START_ITERATIONS, START_TOLERANCE = 20, 1e-3
"""Of the k-means that EM starts from."""


@dataclass(frozen=True)
class Mixture:
    """p(x) = sum_k w_k N(x; mu_k, diag(s_k^2)); all float32, as they are stored."""

    log_weights_K: Tensor
    means_Kd: Tensor
    variances_Kd: Tensor
    """(K, d), or (K, 1) where a component has one variance in all directions."""

    def log_joint(self, points_Bd: Tensor) -> Tensor:
        """Of each component, log w_k + log N(x; mu_k, s_k^2), (B, K) float64."""
        means_Kd, variances_Kd = self.means_Kd.double(), self.variances_Kd.double()
        points_Bd, num_dimensions = points_Bd.double(), points_Bd.shape[1]
        precisions_Kd = variances_Kd.reciprocal()
        spread_K = variances_Kd.log().sum(dim=1) * (num_dimensions // variances_Kd.shape[1])
        constants_K = (means_Kd.square() * precisions_Kd).sum(dim=1) + spread_K
        constants_K += num_dimensions * math.log(2 * math.pi)
        squares = points_Bd.square()
        if variances_Kd.shape[1] == 1:
            squares = squares.sum(dim=1, keepdim=True)
        distances_BK = squares @ precisions_Kd.T - 2 * points_Bd @ (means_Kd * precisions_Kd).T
        joint_BK: Tensor = self.log_weights_K.double() - (distances_BK + constants_K) / 2
        return joint_BK

    def responsibilities(self, points_Bd: Tensor) -> Tensor:
        """The posterior p(k | x), (B, K) float64; a row sums to one."""
        return self.log_joint(points_Bd).softmax(dim=1)

    def codes(self, points_Nd: Tensor) -> Tensor:
        """The component of the largest posterior of each point (N,), the first of equals."""
        pieces = torch.split(points_Nd, ROWS_AT_ONCE)
        return torch.cat([self.log_joint(piece).argmax(dim=1) for piece in pieces])


@dataclass(frozen=True)
class FittedMixture:
    """A mixture and how it came about."""

    mixture: Mixture
    log_likelihoods: tuple[float, ...]
    """Mean over points and dimensions, in nats, before each M-step; it never falls."""


def fit_mixture(
    points_Nd: Tensor,
    num_components: int,
    generator: Generator,
    spherical: bool = False,
    floor: float = 1e-3,
    iterations: int = 50,
    tolerance: float = 1e-4,
) -> FittedMixture:
    """The mixture that (locally) makes `points_Nd` (N, d) most likely: EM from k-means.

    Dempster et al. 1977. E: g_nk = p(k | x_n). M: w_k = mean_n g_nk, mu_k and s_k^2 the mean and
    the variance of the points weighted by g_nk. A variance stays at or above `floor` times the
    variance a dimension of all points: without it a component on a single point would have an
    infinite likelihood. Clamped so, every step is still the best under that bound, and the
    likelihood does not fall. Ends when it rises by less than `tolerance` nats a dimension, or
    after `iterations`. Raises `TooFewPoints` as `kmeans` does.
    """
    start = kmeans(points_Nd, num_components, generator, START_ITERATIONS, START_TOLERANCE)
    least = floor * float(points_Nd.double().var(dim=0, correction=0).mean())
    before = Mixture(
        torch.full_like(start.codewords_Kd[:, 0], -math.log(num_components)),
        start.codewords_Kd,
        torch.full_like(start.codewords_Kd[:, :1], least),
    )
    moments = sum_moments(_certain(points_Nd, start.codes_N, num_components), spherical)
    mixture, history = maximised(moments, before, least), list[float]()
    for _ in range(iterations):
        moments, log_likelihood = expected(points_Nd, mixture, spherical)
        history.append(log_likelihood)
        if len(history) > 1 and history[-1] - history[-2] < tolerance:
            break
        mixture = maximised(moments, mixture, least)
    return FittedMixture(mixture, tuple(history))


def _certain(
    points_Nd: Tensor, codes_N: Tensor, num_components: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Pieces of points, each with all of its responsibility in one component."""
    splits = (torch.split(each, ROWS_AT_ONCE) for each in (points_Nd, codes_N))
    for points_Bd, codes_B in zip(*splits, strict=True):
        yield points_Bd.double(), one_hot(codes_B, num_components).double()


@dataclass(frozen=True)
class Moments:
    """Sums over points, weighted by responsibilities."""

    counts_K: Tensor
    sums_Kd: Tensor
    squares_Kd: Tensor
    """Of squares: (K, d), or (K, 1) as the mean over dimensions."""
    num_points: int


def expected(points_Nd: Tensor, mixture: Mixture, spherical: bool) -> tuple[Moments, float]:
    """The E-step: moments under the posterior, and the mean log-likelihood a dimension."""
    total = torch.zeros((), dtype=torch.float64, device=points_Nd.device)

    def pieces() -> Iterator[tuple[Tensor, Tensor]]:
        for piece in torch.split(points_Nd, ROWS_AT_ONCE):
            joint_BK = mixture.log_joint(piece)
            total.add_(joint_BK.logsumexp(dim=1).sum())
            yield piece.double(), joint_BK.softmax(dim=1)

    moments = sum_moments(pieces(), spherical)
    return moments, float(total) / points_Nd.numel()


def sum_moments(pieces: Iterator[tuple[Tensor, Tensor]], spherical: bool) -> Moments:
    """Moments of (points (B, d), responsibilities (B, K)), both float64; one piece at least."""
    points_Bd, shares_BK = next(pieces)
    total = _moments_of(points_Bd, shares_BK, spherical)
    for points_Bd, shares_BK in pieces:
        more = _moments_of(points_Bd, shares_BK, spherical)
        total = Moments(
            total.counts_K.add_(more.counts_K),
            total.sums_Kd.add_(more.sums_Kd),
            total.squares_Kd.add_(more.squares_Kd),
            total.num_points + more.num_points,
        )
    return total


def _moments_of(points_Bd: Tensor, shares_BK: Tensor, spherical: bool) -> Moments:
    squares = points_Bd.square()
    squares = squares.mean(dim=1, keepdim=True) if spherical else squares
    return Moments(
        shares_BK.sum(dim=0), shares_BK.T @ points_Bd, shares_BK.T @ squares, len(points_Bd)
    )


def maximised(moments: Moments, before: Mixture, least: float) -> Mixture:
    """The M-step; a component that no point wants any more keeps its place and loses its weight."""
    counts_K1 = moments.counts_K[:, None]
    wanted_K1 = counts_K1 > torch.finfo(torch.float32).tiny
    safe_K1 = counts_K1.where(wanted_K1, 1.0)
    means_Kd = torch.where(wanted_K1, moments.sums_Kd / safe_K1, before.means_Kd.double())
    shifts_Kd = means_Kd.square()
    if moments.squares_Kd.shape[1] == 1:
        shifts_Kd = shifts_Kd.mean(dim=1, keepdim=True)
    variances_Kd = torch.where(
        wanted_K1, moments.squares_Kd / safe_K1 - shifts_Kd, before.variances_Kd.double()
    )
    log_weights_K = (moments.counts_K / moments.num_points).log()
    return Mixture(log_weights_K.float(), means_Kd.float(), variances_Kd.clamp(min=least).float())


def residual_mixtures(
    points_Nd: Tensor,
    sizes: Sequence[int],
    generator: Generator,
    spherical: bool,
    floor: float,
    iterations: int,
    tolerance: float,
    track: Track = silent,
) -> list[FittedMixture]:
    """One mixture a level, each on what the means of the chosen components left over.

    Arguments are those of `fit_mixture`; a `TooFewPoints` names the level, counted from 0. A far
    offset is taken off once, before the first level, whose means get it back.
    """
    offset_d = far_offset(points_Nd)
    residual_Nd = points_Nd if offset_d is None else points_Nd - offset_d
    levels = list[FittedMixture]()
    for level, size in enumerate(track(sizes, "mixtures", len(sizes))):
        try:
            fitted = fit_mixture(
                residual_Nd, size, generator, spherical, floor, iterations, tolerance
            )
        except TooFewPoints as error:
            raise TooFewPoints(level, size, error.num_distinct) from error
        mixture = fitted.mixture
        residual_Nd = residual_Nd - mixture.means_Kd[mixture.codes(residual_Nd)]
        levels.append(fitted)
    if offset_d is not None:
        first = levels[0].mixture
        moved = replace(first, means_Kd=first.means_Kd + offset_d)
        levels[0] = replace(levels[0], mixture=moved)
    return levels


def mixture_walk(points_Nd: Tensor, mixtures: Sequence[Mixture]) -> tuple[Tensor, list[Tensor]]:
    """Codes (N, L) of a walk by posteriors, and what each level was given, (N, d) each."""
    residual_Nd, codes, given = points_Nd, list[Tensor](), list[Tensor]()
    for mixture in mixtures:
        codes_N = mixture.codes(residual_Nd)
        given.append(residual_Nd)
        codes.append(codes_N)
        residual_Nd = residual_Nd - mixture.means_Kd[codes_N]
    return torch.stack(codes, dim=1), given
