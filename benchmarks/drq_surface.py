"""The curved surface that the embeddings of `drq_world` lie on.

Shape letters: M intrinsic dimensions, R waves, D embedding size, n points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidmint.types import Floats

NUM_DIMENSIONS, NUM_WAVES = 256, 1024
WAVENUMBER = 0.35
"""Standard deviation of a wave's frequencies, in a space where items lie some 5 apart: a wave
bends once or twice from one end of the catalogue to the other."""
SPECTRUM_POWER, SPECTRUM_END, SPECTRUM_STEEPNESS = 0.356, 133.7, 4
"""Solved for participation ratio 106.05, effective rank 131.17 (DRQ Table 1); the largest
eigenvalue, 0.0305 beside 0.0307, then comes by itself."""
STRETCHES = 10
"""Each fits the spectrum of the vectors before; scaling to unit norm bends it, less each time."""
CONE = 0.08
"""Share of the squared norm that all vectors have in common."""


def spectrum() -> npt.NDArray[np.float64]:
    """Shares of variance (D,) that the surface is stretched to, falling."""
    ranks = np.arange(1, NUM_DIMENSIONS + 1)
    shares = ranks**-SPECTRUM_POWER * np.exp(-((ranks / SPECTRUM_END) ** SPECTRUM_STEEPNESS))
    return np.asarray(shares / shares.sum(), dtype=np.float64)


@dataclass(frozen=True)
class Surface:
    """A smooth map from M dimensions onto the unit sphere in D: random waves, mixed.

    cos(x.w_r + b_r) with normal w_r are the random features of a Gaussian kernel (Rahimi and
    Recht 2007), so the map is a draw of a smooth random function.
    """

    waves: Floats
    """(M, R)"""
    phases: Floats
    mean: Floats
    """(R,), of the waves over the catalogue."""
    directions: Floats
    """(R, D)"""
    cone: Floats

    @classmethod
    def through(cls, probes: Floats, rng: np.random.Generator) -> Surface:
        """A random surface whose unit vectors over `probes` (n, M) have the `spectrum`, nearly."""
        waves = (WAVENUMBER * rng.normal(size=(probes.shape[1], NUM_WAVES))).astype(np.float32)
        phases = rng.uniform(0, 2 * np.pi, NUM_WAVES).astype(np.float32)
        directions = rng.standard_normal((NUM_WAVES, NUM_DIMENSIONS), dtype=np.float32)
        directions *= (2 / directions.size) ** 0.5  # a total variance near 1, as waves have 1/2
        cone = rng.standard_normal(NUM_DIMENSIONS, dtype=np.float32)
        cone *= (CONE / (1 - CONE)) ** 0.5 / np.linalg.norm(cone)
        raised = np.cos(probes @ waves + phases)
        mean = raised.mean(axis=0)
        raised -= mean
        for _ in range(STRETCHES):
            directions = directions @ _stretch(unit(raised @ directions + cone))
        return cls(waves, phases, mean, directions, cone)

    def embed(self, positions: Floats) -> Floats:
        """Unit vectors (n, D) of `positions` (n, M)."""
        raised = np.cos(positions @ self.waves + self.phases) - self.mean
        return unit(raised @ self.directions + self.cone)


def _stretch(vectors: Floats) -> Floats:
    """The (D, D) map that scales the principal axes of `vectors` (n, D) to the `spectrum`."""
    variances, axes = np.linalg.eigh(np.cov(vectors, rowvar=False))
    scales = np.sqrt(spectrum()[::-1] * variances.sum() / variances)
    return np.asarray((axes * scales) @ axes.T, dtype=np.float32)


def unit(vectors: Floats) -> Floats:
    """`vectors` (n, D) scaled to unit norm."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / norms, dtype=np.float32)
