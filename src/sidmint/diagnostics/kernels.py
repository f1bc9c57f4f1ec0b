"""Sums over all pairs of codewords, of which there are too many to hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidmint.diagnostics.threads import in_threads

Doubles = npt.NDArray[np.float64]

_BLOCK_ENTRIES = 2**18
"""Products formed at once, 2 MB a thread whatever K is; a square reads each codeword seldom."""

_SLICE_ENTRIES = 2**15
"""Of them, how many become kernels at once: 256 KB, which stay in cache through the sweep."""

_LEAST_EXPONENT = -708.0
"""exp of less is 0 beside any rate, and ten to a hundred times slower: it leaves normal numbers."""


def kernel_sums(points: Doubles, shares: Doubles, scales: Sequence[float]) -> Doubles:
    """Sum over i != j of p_i p_j exp(scale * ||c_i - c_j||^2), for each of `scales`.

    `points` c (K, d), best with their mean at 0; `shares` p (K,); `scales` below 0. Distances come
    from products, once for all scales. All in float64: kernels in float32 were no faster, and left
    errors of 1e-8 of a rate.
    """
    squares = np.einsum("kd,kd->k", points, points)
    return _Pairs(points, squares, shares, scales).sums()


@dataclass(frozen=True)
class _Pairs:
    """All pairs of codewords, visited block by block of their table."""

    points: Doubles
    """c (K, d)."""
    squares: Doubles
    """||c||^2 (K,)."""
    shares: Doubles
    """p (K,)."""
    scales: Sequence[float]

    def sums(self) -> Doubles:
        """Sum over i != j of p_i p_j exp(scale * ||c_i - c_j||^2), for each scale."""
        side = max(1, math.isqrt(_BLOCK_ENTRIES))
        starts = range(0, len(self.points), side)
        strips = in_threads(lambda top: self._strip(top, side), starts)
        return np.asarray(np.sum(strips, axis=0))

    def _strip(self, top: int, side: int) -> Doubles:
        """The blocks on the diagonal and right of it, of which each stands for its mirror image."""
        sums = np.zeros(len(self.scales))
        # Taken once: a fresh array a block costs more in page faults than its product in time.
        buffer = np.empty((side, side))
        for left in range(top, len(self.points), side):
            rows, columns = slice(top, top + side), slice(left, left + side)
            below, right = self.points[rows], self.points[columns]
            products = np.matmul(below, right.T, out=buffer[: len(below), : len(right)])
            if left == top:
                np.fill_diagonal(products, -np.inf)  # the diagonal is the distribution penalty
                sums += self._block(products, rows, columns)
            else:
                sums += 2 * self._block(products, rows, columns)
        return sums

    def _block(self, products: Doubles, rows: slice, columns: slice) -> Doubles:
        """The sums over one block of products c_i . c_j, which become distances in place."""
        sums = np.zeros(len(self.scales))
        height = max(1, _SLICE_ENTRIES // products.shape[1])
        buffer = np.empty((height, products.shape[1]))
        for start in range(0, len(products), height):
            part = slice(start, start + height)
            distances = products[part]
            distances *= -2
            distances += self.squares[rows][part, None]
            distances += self.squares[columns]
            np.maximum(distances, 0, out=distances)  # rounding may leave equal codewords below
            kernels, least = buffer[: len(distances)], distances.min()
            for place, scale in enumerate(self.scales):
                if scale * least < _LEAST_EXPONENT:
                    continue
                np.multiply(distances, scale, out=kernels)
                np.exp(np.maximum(kernels, _LEAST_EXPONENT, out=kernels), out=kernels)
                sums[place] += self.shares[rows][part] @ np.vecdot(kernels, self.shares[columns])
        return sums
