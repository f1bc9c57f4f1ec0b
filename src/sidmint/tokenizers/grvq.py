"""RQ-VAE on a latent cut into groups, with a residual walk in each.

HiFi-Codec (Yang et al. 2023, section 3.2): group-residual vector quantization. Codes are
ordered level by level: g0l0, g1l0, ..., g0l1, g1l1, ... A prefix is no coarse picture of the
item: its first code speaks of one group alone, so items that share it are alike in that part of
the latent and may differ at will elsewhere. Hence `hierarchical` is false.

Shape letters: N items, d latent size, K codes of a level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Generator, Tensor, nn
from torch.nn.functional import pad

from sidmint.progress import Track, silent
from sidmint.quantization.estimators import straight_through
from sidmint.quantization.kmeans import TooFewPoints, residual_kmeans
from sidmint.quantization.quantizer import Quantizer
from sidmint.quantization.residual import ResidualWalk
from sidmint.tokenizers.base import TOKENIZERS
from sidmint.tokenizers.gradient import Width
from sidmint.tokenizers.joint import JointTokenizer


class GroupedQuantizer(Quantizer):
    """Residual walks side by side, one a group of latent dimensions, as one ordinary walk.

    Level l belongs to group l mod G. Its codewords are zero outside their group, which leaves
    every other group's residual as it is and adds one and the same number to the distances of
    a point to all codewords: the walk over all levels is each group's own walk.
    """

    def __init__(self, sizes: Sequence[int], num_dimensions: int, num_groups: int) -> None:
        super().__init__()
        self.num_groups, self.num_dimensions = num_groups, num_dimensions
        self.width = num_dimensions // num_groups
        self.blocks = nn.ParameterList(torch.zeros(size, self.width) for size in sizes)

    def tables(self) -> list[Tensor]:
        """The codebooks (K, d), zero outside their group."""
        return [self._padded(block_Kw, level) for level, block_Kw in enumerate(self.blocks)]

    def start_from(self, tables: Sequence[Tensor]) -> None:
        """Copy of each (K, d) table the part that lies in its level's group."""
        self._start_blocks([self._part(table, level) for level, table in enumerate(tables)])

    def start_on(
        self,
        latent_Nd: Tensor,
        generator: Generator,
        iterations: int,
        tolerance: float,
        track: Track = silent,
        balance: float | None = None,
    ) -> None:
        """Residual k-means in each group on its part of the latent."""
        blocks: dict[int, Tensor] = {}
        for group in range(self.num_groups):
            levels = range(group, len(self.blocks), self.num_groups)
            sizes = [len(self.blocks[level]) for level in levels]
            part_Nw = self._part(latent_Nd, group).contiguous()
            try:
                fitted = residual_kmeans(
                    part_Nw, sizes, generator, iterations, tolerance, track=track, balance=balance
                )
            except TooFewPoints as error:
                level = levels[error.level]
                raise TooFewPoints(level, error.num_codes, error.num_distinct) from error
            blocks |= {
                level: kmeans.codewords_Kd for level, kmeans in zip(levels, fitted, strict=True)
            }
        self._start_blocks([blocks[level] for level in sorted(blocks)])

    def forward(self, latent_Bd: Tensor) -> tuple[ResidualWalk, Tensor]:
        """The walk of a batch, and its quantized latent (B, d), straight-through once.

        Residuals are zero outside their level's group, as codewords are. Commitment would
        otherwise draw every group to the origin once for each level before its own: on Beauty
        that left 131 of 256 codes of the third group without an item.
        """
        walk = self.walk(latent_Bd)
        residuals = [
            self._padded(self._part(residual_Bd, level), level)
            for level, residual_Bd in enumerate(walk.residuals)
        ]
        quantized_Bd = straight_through(walk.quantized, latent_Bd)
        return replace(walk, residuals=tuple(residuals)), quantized_Bd

    def _part(self, rows_Nd: Tensor, level: int) -> Tensor:
        """The columns (N, w) of a level's group."""
        return rows_Nd[:, level % self.num_groups * self.width :][:, : self.width]

    def _padded(self, block_Nw: Tensor, level: int) -> Tensor:
        """Rows (N, d) that are zero outside a level's group."""
        left = level % self.num_groups * self.width
        return pad(block_Nw, (left, self.num_dimensions - left - self.width))

    def _start_blocks(self, blocks: Sequence[Tensor]) -> None:
        with torch.no_grad():
            for block_Kw, start_Kw in zip(self.blocks, blocks, strict=True):
                block_Kw.copy_(start_Kw)


@TOKENIZERS.register("grvq")
class Grvq(JointTokenizer):
    """MLP encoder, a residual walk in each group of the latent, MLP decoder."""

    type_name: ClassVar[str] = "grvq"
    hierarchical: ClassVar[bool] = False

    class Config(JointTokenizer.Config):
        """Settings under `tokenizers.grvq`."""

        latent_dim: Width = 24
        """A multiple of `num_groups`. Groups tell much the same of an item, the more so the wider
        they are: on Beauty collision .233 and error .467 with 24, .306 and .442 with 48."""
        num_groups: int = Field(3, ge=1)
        """G; the number of `sizes` is a multiple of it. Three levels leave 1 (which is `rq_vae`)
        and 3: one level a group, a product of codebooks in a learned latent. HiFi-Codec has
        2 groups of 2 levels: four sizes, num_groups 2."""

        @model_validator(mode="after")
        def _groups_fit(self) -> Self:
            if len(self.sizes) % self.num_groups:
                raise ValueError(
                    f"num_groups {self.num_groups} does not divide the {len(self.sizes)} levels of "
                    f"sizes {list(self.sizes)}; every group needs as many levels, so add sizes or "
                    f"choose num_groups from {_divisors(len(self.sizes))}"
                )
            if self.latent_dim % self.num_groups:
                below = self.latent_dim - self.latent_dim % self.num_groups
                raise ValueError(
                    f"latent_dim {self.latent_dim} cannot be cut into {self.num_groups} groups "
                    f"(num_groups) of one width; choose {below + self.num_groups}"
                )
            return self

    config: Config

    def make_quantizer(self) -> Quantizer:
        """Codebooks that learn by gradient, each in its group; one straight-through step."""
        config = self.config
        return GroupedQuantizer(config.sizes, config.latent_dim, config.num_groups)


def _divisors(number: int) -> list[int]:
    return [part for part in range(1, number + 1) if number % part == 0]
