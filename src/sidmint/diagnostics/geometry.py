"""How many directions vectors really use (DRQ 5.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidmint.errors import BadInput
from sidmint.types import Floats


@dataclass(frozen=True)
class Geometry:
    """Spectrum of a cloud of vectors: `eigenvalue_shares` (D,), falling, sum 1."""

    eigenvalue_shares: npt.NDArray[np.float64]
    dimension_correlation: float
    """Mean absolute cosine over all pairs of centred dimensions that vary."""

    @property
    def participation_ratio(self) -> float:
        """(sum lambda)^2 / sum lambda^2: D for a round cloud, 1 for a line."""
        return float(1 / (self.eigenvalue_shares**2).sum())

    @property
    def effective_rank(self) -> float:
        """exp(H(lambda / sum lambda)); never below the participation ratio."""
        shares = self.eigenvalue_shares[self.eigenvalue_shares > 0]
        return float(np.exp(-(shares @ np.log(shares))))

    @property
    def top_eigenvalue_share(self) -> float:
        """Share of the variance along the first principal direction."""
        return float(self.eigenvalue_shares[0])


def geometry(vectors: Floats) -> Geometry:
    """`Geometry` of `vectors` (n, D), with lambda the eigenvalues of their covariance.

    DRQ takes a random subset of 20,000 items; with n near D or below it every figure is biased
    down. A dimension that never varies has no direction, so its pairs are left out of
    `dimension_correlation`. Raises `BadInput` where fewer than two dimensions vary.
    """
    centred = vectors.astype(np.float64)
    centred -= centred.mean(axis=0)
    scatter = centred.T @ centred
    lengths = np.sqrt(np.diag(scatter))
    # Constant columns keep a rounding residue of their mean: far below any real spread.
    varies = lengths > 1e-6 * np.sqrt(len(vectors)) * np.abs(vectors).max(axis=0, initial=0)
    if varies.sum() < 2:
        raise BadInput(
            f"geometry wants vectors that vary in two dimensions at least, got {varies.sum()} "
            f"of {vectors.shape[1]}; all vectors (nearly) coincide"
        )
    eigenvalues = np.clip(np.linalg.eigvalsh(scatter)[::-1], 0, None)
    return Geometry(eigenvalues / eigenvalues.sum(), _correlation(scatter, lengths, varies))


def mean_cosine(vectors: Floats) -> float:
    """The mean cosine over all pairs of different rows of `vectors` (n, D): anisotropy.

    0 for directions that are spread evenly, near 1 where all point one way (Ethayarajh 2019, 3.3).
    Taken over every pair at once: with u the unit vectors, (|sum u|^2 - n) / (n (n - 1)). Rows of
    zeros have no direction and are left out; `BadInput` where fewer than two are left.
    """
    rows = vectors.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1)
    units = rows[lengths > 0] / lengths[lengths > 0, None]
    num = len(units)
    if num < 2:
        raise BadInput(f"a mean cosine wants two vectors with a direction, got {num}")
    total = units.sum(axis=0)
    return float((total @ total - num) / (num * (num - 1)))


def _correlation(
    scatter: npt.NDArray[np.float64],
    lengths: npt.NDArray[np.float64],
    varies: npt.NDArray[np.bool_],
) -> float:
    cosines = np.abs(scatter[np.ix_(varies, varies)] / np.outer(lengths[varies], lengths[varies]))
    return float(cosines[np.triu_indices(len(cosines), k=1)].mean())
