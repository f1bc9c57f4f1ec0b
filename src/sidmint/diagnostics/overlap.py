"""How confusable the codewords of a level are under noise (DRQ 3.2 and appendix A)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sidmint.diagnostics.kernels import Doubles, kernel_sums
from sidmint.errors import BadInput
from sidmint.rows import Rows, mean_of
from sidmint.types import Floats

_VALUES_AT_ONCE = 1 << 16
"""Of the latent, turned into float64: 512 KB, which stay in cache and bound the memory."""


@dataclass(frozen=True)
class Overlap:
    """The overlap rate of one codebook at one noise level, as the sum of its two causes."""

    distribution_penalty: float
    """sum p_i^2: what remains however far apart the codewords are, the floor of the rate."""
    geometry_penalty: float
    """sum over i != j: what codewords add by lying near each other."""

    @property
    def overlap_rate(self) -> float:
        """OR, between 1 / (used codes) and 1."""
        return self.distribution_penalty + self.geometry_penalty

    @property
    def effective_codebook_size(self) -> float:
        """ECS = 1 / OR: as many equally used, well separated codes would overlap as much."""
        return 1 / self.overlap_rate


def overlap(
    codewords: Floats, prior: npt.ArrayLike, sigmas: Sequence[float]
) -> tuple[Overlap, ...]:
    """`Overlap` of one level for each standard deviation of the noise.

    OR = sum_ij p_i p_j exp(-||c_i - c_j||^2 / (4 sigma^2)) (DRQ eq. 1 and 10), with `codewords`
    (K, d), `prior` (K,) the share of items a code, and `sigmas` in the units of the codewords,
    a dimension. It is a proxy, not the probability that noise crosses a boundary between cells.
    Distances are formed once for all sigmas, in blocks and in float64: exact for any K to about
    1e-12 of the rate, in bounded memory and in time K^2 d. Dead codes have no weight and are left
    out.
    """
    shares = _checked_prior(codewords, prior)
    check_noise(sigmas)
    used = shares > 0
    shares = shares[used]
    points = codewords[used].astype(np.float64)
    points -= shares @ points  # distances do not change, and lose fewer digits to a far origin
    cross = kernel_sums(points, shares, [-1 / (4 * sigma**2) for sigma in sigmas])
    floor = float(shares @ shares)
    return tuple(Overlap(floor, float(each)) for each in cross)


def own_overlap(
    codewords: Floats, prior: npt.ArrayLike, variances: npt.NDArray[np.floating[Any]]
) -> Overlap:
    """`Overlap` of one level whose codes are Gaussians with variances of their own.

    OR = sum_ij p_i p_j rho_ij with the cosine of two densities,
        rho_ij = prod_d sqrt(2 s_i s_j / (s_i^2 + s_j^2)) exp(-(c_i - c_j)^2 / (2 (s_i^2 + s_j^2))),
    which is exp(-||c_i - c_j||^2 / (4 sigma^2)) of `overlap` where all s are one sigma: the same
    rate, without a noise that somebody chose. `variances` are s^2, (K, d), or (K, 1) for one a
    codeword. Exact, in float64, a block of codewords at a time; its time is K^2 d, and of one
    variance a codeword most of it is a matrix product. Dead codes are left out. **Our reading**:
    DRQ writes the rate for one sigma.
    """
    shares = _checked_prior(codewords, prior)
    if variances.shape not in (codewords.shape, (len(codewords), 1)) or not (variances > 0).all():
        raise BadInput(
            f"variances want to be positive, one a codeword or one a dimension of each, got shape "
            f"{variances.shape} for {codewords.shape}"
        )
    used = shares > 0
    shares = shares[used]
    points, own = codewords[used].astype(np.float64), variances[used].astype(np.float64)
    points -= points.mean(axis=0)  # the products of far points would round
    log_cosines = _log_cosines_of_spheres if own.shape[1] == 1 else _log_cosines
    height = max(1, _VALUES_AT_ONCE // (len(points) * own.shape[1]))
    total = 0.0
    for start in range(0, len(points), height):
        rows = slice(start, start + height)
        total += float(shares[rows] @ np.exp(log_cosines(points, own, rows)) @ shares)
    floor = float(shares @ shares)
    return Overlap(floor, max(0.0, total - floor))


def _log_cosines(points: Doubles, own: Doubles, rows: slice) -> Doubles:
    """Log rho_ij (n, K) of `rows` with all, of variances a dimension."""
    both = own[rows, None] + own[None]
    logs = np.log(2 * np.sqrt(own[rows, None] * own[None]) / both)
    logs -= np.square(points[rows, None] - points[None]) / both
    return np.asarray(logs.sum(axis=2) / 2)


def _log_cosines_of_spheres(points: Doubles, own: Doubles, rows: slice) -> Doubles:
    """The same where each has one variance: one logarithm a pair, distances by a product."""
    both = own[rows] + own.T
    lengths = np.square(points).sum(axis=1)
    distances = lengths[rows, None] + lengths - 2 * points[rows] @ points.T
    logs = points.shape[1] * np.log(2 * np.sqrt(own[rows] * own.T) / both)
    return np.asarray((logs - distances.clip(0) / both) / 2)


def overlap_rate(codewords: Floats, prior: npt.ArrayLike, sigma: float) -> float:
    """OR of one level at noise `sigma`; see `overlap` for the formula and the arguments."""
    return overlap(codewords, prior, (sigma,))[0].overlap_rate


def effective_codebook_size(codewords: Floats, prior: npt.ArrayLike, sigma: float) -> float:
    """ECS = 1 / OR of one level at noise `sigma`; never above 1 / sum p^2, nor the perplexity."""
    return overlap(codewords, prior, (sigma,))[0].effective_codebook_size


def latent_variance(latent: Rows) -> float:
    """Mean over dimensions of the variance of `latent` (N, d): the unit of kappa.

    The noise of a sweep is sigma^2 = kappa * latent_variance; DRQ 5.3 says only that noise is
    scaled by the empirical latent variance, so the factor kappa is our reading.
    """
    mean = mean_of(latent)
    height = max(1, _VALUES_AT_ONCE // latent.shape[1])
    pieces = (latent[start : start + height] - mean for start in range(0, len(latent), height))
    squares = sum(np.square(piece).sum() for piece in pieces)
    variance = float(squares / (len(latent) * latent.shape[1]))
    if not variance > 0:
        raise BadInput(
            "all latent vectors are the same, so noise has no scale; the encoder has collapsed: "
            "train again with a smaller learning rate or another seed"
        )
    return variance


def check_noise(sigmas: Sequence[float]) -> None:
    """Raise `BadInput` unless every standard deviation is a positive number."""
    if any(not (math.isfinite(sigma) and sigma > 0) for sigma in sigmas):
        raise BadInput(f"noise wants to be a positive number, got {tuple(sigmas)}")


def _checked_prior(codewords: Floats, prior: npt.ArrayLike) -> Doubles:
    shares = np.asarray(prior, dtype=np.float64)
    if codewords.ndim != 2 or shares.shape != (len(codewords),):
        raise BadInput(
            f"the prior wants one share a codeword, got {shares.shape} for {codewords.shape}"
        )
    if (shares < 0).any() or not math.isclose(shares.sum(), 1, rel_tol=1e-6):
        raise BadInput(
            f"the prior wants shares of at least 0 that sum to 1, got a sum of {shares.sum()}; "
            "divide the counts by the number of items"
        )
    return shares
