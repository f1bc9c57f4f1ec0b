"""The quantizer of `rq_opq`: residual levels, then the last residual in rotated blocks.

Shape letters: B rows of a batch, N points, d latent size, K codes of a level, b block width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

from sidmint.progress import Track, silent
from sidmint.quantization.blocks import block_ranges
from sidmint.quantization.estimators import straight_through
from sidmint.quantization.kmeans import KMeans
from sidmint.quantization.opq import Opq, residual_opq
from sidmint.quantization.quantizer import Quantizer
from sidmint.quantization.residual import ResidualWalk


class RqOpqQuantizer(Quantizer):
    """Residual tables and block tables learn by gradient; the rotation R stays as it was found.

    The codebook of a block is its table turned back, table @ R[block]: such codewords lie in
    a subspace of their own, orthogonal to those of other blocks, so a plain residual walk
    over all codebooks chooses as the blocks would. That walk is what defines the codes.
    """

    rotation_dd: Tensor

    def __init__(
        self, sizes: Sequence[int], num_dimensions: int, num_blocks: int, rounds: int
    ) -> None:
        super().__init__()
        num_levels = len(sizes) - num_blocks
        self.rounds = rounds
        self.ranges = block_ranges(num_dimensions, num_blocks)
        self.levels = nn.ParameterList(
            torch.zeros(size, num_dimensions) for size in sizes[:num_levels]
        )
        self.blocks = nn.ParameterList(
            torch.zeros(size, dims.stop - dims.start)
            for size, dims in zip(sizes[num_levels:], self.ranges, strict=True)
        )
        self.register_buffer("rotation_dd", torch.eye(num_dimensions))

    def tables(self) -> list[Tensor]:
        """The residual tables, then the block tables turned back, all (K, d)."""
        turned = [
            table_Kb @ self.rotation_dd[dims]
            for table_Kb, dims in zip(self.blocks, self.ranges, strict=True)
        ]
        return [*self.levels, *turned]

    def start_from(self, tables: Sequence[Tensor]) -> None:
        """Copy `tables`; of those of blocks the part that lies in their block."""
        with torch.no_grad():
            for level, table_Kd in zip(self.levels, tables, strict=False):
                level.copy_(table_Kd)
            wide = tables[len(self.levels) :]
            for block, table_Kd, dims in zip(self.blocks, wide, self.ranges, strict=True):
                block.copy_(table_Kd.to(self.rotation_dd.device) @ self.rotation_dd[dims].T)

    def start_on(
        self,
        latent_Nd: Tensor,
        generator: Generator,
        iterations: int,
        tolerance: float,
        track: Track = silent,
        balance: float | None = None,
    ) -> None:
        """Residual k-means, then OPQ of what it left over."""
        self.learn_from(latent_Nd, generator, iterations, tolerance, track, balance)

    def learn_from(
        self,
        latent_Nd: Tensor,
        generator: Generator,
        iterations: int,
        tolerance: float,
        track: Track = silent,
        balance: float | None = None,
    ) -> tuple[list[KMeans], Opq]:
        """`start_on`, and what it went through."""
        sizes = [len(table) for table in (*self.levels, *self.blocks)]
        levels, last = residual_opq(
            latent_Nd,
            sizes,
            len(self.blocks),
            generator,
            iterations,
            tolerance,
            self.rounds,
            track,
            balance,
        )
        with torch.no_grad():
            self.rotation_dd.copy_(last.rotation_dd)
            for table, level in zip(self.levels, levels, strict=True):
                table.copy_(level.codewords_Kd)
            for table, codewords_Kb in zip(self.blocks, last.tables, strict=True):
                table.copy_(codewords_Kb)
        return levels, last

    def forward(self, latent_Bd: Tensor) -> tuple[ResidualWalk, Tensor]:
        """The walk of a batch, and its quantized latent (B, d), straight-through once."""
        walk = self.walk(latent_Bd)
        return walk, straight_through(walk.quantized, latent_Bd)
