"""Dimensions cut into contiguous blocks, one k-means in each: product quantization.

Shape letters: N points, d their size, K codewords of a block, b the width of a block.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from sidmint.progress import Track, silent
from sidmint.quantization.assignment import nearest
from sidmint.quantization.kmeans import KMeans, TooFewPoints, kmeans


def block_ranges(num_dimensions: int, num_blocks: int) -> list[slice]:
    """Contiguous blocks that cover all dimensions; the first ones are wider by one if need be.

    10 dimensions in 3 blocks are 4, 3 and 3. Wants at least one dimension a block.
    """
    width, wider = divmod(num_dimensions, num_blocks)
    ends = [(block + 1) * width + min(block + 1, wider) for block in range(num_blocks)]
    return [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def block_kmeans(
    points_Nd: Tensor,
    sizes: Sequence[int],
    generator: Generator,
    iterations: int = 50,
    tolerance: float = 1e-4,
    track: Track = silent,
) -> list[KMeans]:
    """One k-means a block, each on its own dimensions; codewords are as wide as their block.

    Arguments are those of `kmeans`; a `TooFewPoints` names the block, counted from 0.
    """
    fitted = []
    ranges = block_ranges(points_Nd.shape[1], len(sizes))
    for block, num_codes in enumerate(track(sizes, "k-means", len(sizes))):
        points_Nb = points_Nd[:, ranges[block]].contiguous()
        try:
            fitted.append(kmeans(points_Nb, num_codes, generator, iterations, tolerance))
        except TooFewPoints as error:
            raise TooFewPoints(block, num_codes, error.num_distinct) from error
    return fitted


def block_codes(points_Nd: Tensor, tables: Sequence[Tensor]) -> Tensor:
    """The nearest codeword of each block, (N, blocks) int64; `tables` are (K, b) a block."""
    ranges = block_ranges(points_Nd.shape[1], len(tables))
    codes = [
        nearest(points_Nd[:, dims].contiguous(), table_Kb)
        for dims, table_Kb in zip(ranges, tables, strict=True)
    ]
    return torch.stack(codes, dim=1)


def padded(tables: Sequence[Tensor], num_dimensions: int) -> list[Tensor]:
    """Each (K, b) table as (K, d), zero outside its block.

    A codeword then leaves the other blocks alone, so the residual walk over these tables
    gives the codes of `block_codes`, and the sum of one codeword a block is the point.
    """
    wide = []
    for dims, table_Kb in zip(block_ranges(num_dimensions, len(tables)), tables, strict=True):
        table_Kd = table_Kb.new_zeros(len(table_Kb), num_dimensions)
        table_Kd[:, dims] = table_Kb
        wide.append(table_Kd)
    return wide
