"""Fewer dimensions, and none that speaks louder than another: PCA and whitening, fitted and kept.

Shape letters: n vectors, d dimensions as they came, m dimensions that are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from sidmint.errors import BadInput
from sidmint.types import Floats

Doubles = npt.NDArray[np.float64]

_ROWS_AT_ONCE = 1 << 13
_NO_SPREAD = 1e-10
"""Share of the largest variance under which a direction is rounding: dividing by its deviation
would make vectors of noise."""


@dataclass(frozen=True)
class Projection:
    """x -> (x - mean) axes."""

    mean: Floats
    """(d,) float32, of what it was fitted on."""
    axes: Floats
    """(d, m) float32: principal directions, by falling variance; whitened ones are divided by the
    standard deviation along them."""

    def apply(self, vectors: Floats) -> Floats:
        """`vectors` (n, d) along the axes, (n, m) float32.

        Products are taken in float64: the companions of a row then do not change its float32
        value, but for one unit in the last place.
        """
        found = np.empty((len(vectors), self.axes.shape[1]), dtype=np.float32)
        axes = self.axes.astype(np.float64)
        for start in range(0, len(vectors), _ROWS_AT_ONCE):
            piece = slice(start, start + _ROWS_AT_ONCE)
            found[piece] = (vectors[piece].astype(np.float64) - self.mean) @ axes
        return found


def fit_projection(
    vectors: Floats, num_dimensions: int | None, whiten: bool, name: str
) -> Projection:
    """The first principal directions of `vectors` (n, d); all d of them for None.

    With C the covariance (divided by n) and C = V diag(lambda) V^T, the axes are columns of V, or
    with `whiten` of V diag(lambda)^-1/2: the covariance of what it was fitted on is then the
    identity. The component of largest size in each direction is positive, so that a direction has
    one sign. `BadInput` for more dimensions than there are, and for whitening of a direction in
    which nothing varies; `name` stands for the vectors in errors.
    """
    size = vectors.shape[1]
    kept = size if num_dimensions is None else num_dimensions
    if kept > size:
        raise BadInput(f"{name} has {size} dimensions, and pca wants {kept}; set {size} or fewer")
    mean: Doubles = vectors.mean(axis=0, dtype=np.float64)
    with threadpool_limits(limits=1, user_api="blas"):  # sums of more threads round otherwise
        values, directions = np.linalg.eigh(_covariance(vectors, mean))
    values, directions = values[::-1], directions[:, ::-1]
    if whiten:
        num_varying = int((values > _NO_SPREAD * values[0]).sum()) if values[0] > 0 else 0
        if kept > num_varying:
            raise BadInput(
                f"{name} varies in {num_varying} directions over {len(vectors):,} items, and "
                f"whitening wants {kept}; set pca: {max(num_varying, 1)} or fewer"
            )
    axes = _with_one_sign(directions[:, :kept])
    if whiten:
        axes = axes / np.sqrt(values[:kept])
    return Projection(mean.astype(np.float32), axes.astype(np.float32))


def _covariance(vectors: Floats, mean: Doubles) -> Doubles:
    total: Doubles = np.zeros((vectors.shape[1], vectors.shape[1]))
    for start in range(0, len(vectors), _ROWS_AT_ONCE):
        centred = vectors[start : start + _ROWS_AT_ONCE].astype(np.float64) - mean
        total += centred.T @ centred
    return total / len(vectors)


def _with_one_sign(directions: Doubles) -> Doubles:
    largest = np.abs(directions).argmax(axis=0)
    signs = np.where(directions[largest, np.arange(len(largest))] < 0, -1.0, 1.0)
    turned: Doubles = directions * signs
    return turned
