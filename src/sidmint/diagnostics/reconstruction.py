"""How near vectors come back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidmint.errors import BadInput
from sidmint.types import Floats

_VALUES_AT_ONCE = 1 << 16
"""Of each table, turned into float64: 512 KB, which stay in cache and bound the memory."""


@dataclass(frozen=True)
class Reconstruction:
    """Sums over `num_vectors` of `num_dimensions` each; the properties are the figures."""

    num_vectors: int
    num_dimensions: int
    squared_error: float
    squared_deviation: float
    cosines: float

    @property
    def mse(self) -> float:
        """Mean squared error a vector and a dimension, in squared units of the input."""
        return self.squared_error / (self.num_vectors * self.num_dimensions)

    @property
    def relative_mse(self) -> float:
        """Squared error / squared deviation from the mean: 0 exact, 1 no better than the mean."""
        if not self.squared_deviation > 0:
            raise BadInput(
                f"relative error wants vectors that vary; the {self.num_vectors} given all "
                "equal their mean"
            )
        return self.squared_error / self.squared_deviation

    @property
    def cosine(self) -> float:
        """Mean cosine of a vector and its reconstruction; 0 for a pair with a zero vector."""
        return self.cosines / self.num_vectors


def reconstruction(
    vectors: Floats, reconstructed: Floats, mean: npt.NDArray[np.floating] | None = None
) -> Reconstruction:
    """`Reconstruction` of `vectors` (N, D) by `reconstructed` (N, D), in any space.

    `mean` (D,) is what deviations are measured from; it defaults to that of `vectors`. Name it
    when `vectors` are a part of the catalogue: with the mean of the whole, parts can be added
    up by `total`, and cold items are compared on the scale of all items.
    """
    if vectors.shape != reconstructed.shape or vectors.ndim != 2 or vectors.size == 0:
        raise BadInput(
            f"reconstruction wants two tables of one shape with at least one row, got "
            f"{vectors.shape} and {reconstructed.shape}"
        )
    centre = np.asarray(vectors.mean(axis=0, dtype=np.float64) if mean is None else mean, float)
    height = max(1, _VALUES_AT_ONCE // vectors.shape[1])
    pieces = (slice(start, start + height) for start in range(0, len(vectors), height))
    return total(_piece(vectors[rows], reconstructed[rows], centre) for rows in pieces)


def _piece(
    vectors: Floats, reconstructed: Floats, centre: npt.NDArray[np.float64]
) -> Reconstruction:
    true, back = vectors.astype(np.float64), reconstructed.astype(np.float64)
    lengths = np.linalg.norm(true, axis=1) * np.linalg.norm(back, axis=1)
    products = np.einsum("nd,nd->n", true, back)
    return Reconstruction(
        num_vectors=len(true),
        num_dimensions=true.shape[1],
        squared_error=float(np.square(true - back).sum()),
        squared_deviation=float(np.square(true - centre).sum()),
        cosines=float((products[lengths > 0] / lengths[lengths > 0]).sum()),
    )


def total(parts: Iterable[Reconstruction]) -> Reconstruction:
    """Figures of several parts of a catalogue together; all measured from one `mean`."""
    listed = tuple(parts)
    return Reconstruction(
        num_vectors=sum(part.num_vectors for part in listed),
        num_dimensions=listed[0].num_dimensions,
        squared_error=sum(part.squared_error for part in listed),
        squared_deviation=sum(part.squared_deviation for part in listed),
        cosines=sum(part.cosines for part in listed),
    )
