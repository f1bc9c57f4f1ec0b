"""Product quantization: dimensions in L blocks, k-means in each.

Jegou et al. 2010; the non-hierarchical reference of DRQ 2.2. Its codes are independent of
each other: no code refines another, and a common prefix means no more than any other set of
equal codes.
"""

from __future__ import annotations

from typing import ClassVar, cast

import torch
from pydantic import Field
from torch import Tensor

from sidmint.devices import resolve_device
from sidmint.errors import BadInput
from sidmint.progress import Track, silent
from sidmint.quantization.blocks import block_codes, block_kmeans, block_ranges, padded
from sidmint.quantization.kmeans import TooFewPoints
from sidmint.seeds import seed_for
from sidmint.tokenizers.base import (
    TOKENIZERS,
    Categories,
    CurvePoint,
    TokenizerConfig,
    TrainingLog,
    check_vectors,
    describe_fit,
)
from sidmint.tokenizers.plain import PlainTokenizer, inertia_curve
from sidmint.types import Codebooks, Floats, Ints, Pairs

Blocks = tuple[list[Tensor], Tensor, list[CurvePoint]]
"""Tables (K, b) of the blocks, the codes (N, L) of the points, and how the fit went."""


@TOKENIZERS.register("pq")
class Pq(PlainTokenizer):
    """L contiguous blocks of dimensions, the first ones wider by one where D is not divisible.

    Codebooks are exported as wide as the vectors, zero outside their block: the plain
    residual walk over them gives the same codes.
    """

    type_name: ClassVar[str] = "pq"
    hierarchical: ClassVar[bool] = False

    class Config(TokenizerConfig):
        """Settings under `tokenizers.pq`."""

        iterations: int = Field(50, ge=1)
        """Most Lloyd iterations a block."""
        tolerance: float = Field(1e-4, ge=0)
        """Ends a block when an iteration lowers its inertia by less than this share."""

    config: Config

    def fit(
        self,
        vectors: Floats,
        pairs: Pairs | None = None,
        seed: int = 0,
        device: str = "auto",
        track: Track = silent,
        categories: Categories | None = None,
    ) -> TrainingLog:
        """Learn one table a block. The curve holds inertia_1.. of the blocks by iteration."""
        points_ND = torch.from_numpy(check_vectors(vectors)).to(resolve_device(device))
        num_dimensions, sizes = points_ND.shape[1], self.config.sizes
        if num_dimensions < len(sizes):
            raise BadInput(
                f"{len(sizes)} blocks want at least as many dimensions, the vectors have "
                f"{num_dimensions}; shorten tokenizers.{self.name}.sizes"
            )
        generator = torch.Generator().manual_seed(seed_for(seed, self.type_name, "k-means"))
        try:
            blocks, codes_NL, curve = self._learn(points_ND, generator, track)
        except TooFewPoints as error:
            raise self.too_few(error) from error
        tables = [self._turned_back(table) for table in padded(blocks, num_dimensions)]
        self._codebooks = Codebooks(tuple(table.cpu().numpy() for table in tables))
        return describe_fit(codes_NL.cpu().numpy(), sizes, curve, len(curve))

    def encode(
        self, vectors: Floats, device: str = "cpu", categories: Categories | None = None
    ) -> Ints:
        """Codes (N, L) int32, block by block: the walk's codes for a share 1 / L of its work."""
        target = resolve_device(device)
        points_ND = self._turned(torch.from_numpy(self.latent(vectors)).to(target))
        levels = self.codebooks().levels
        ranges = block_ranges(points_ND.shape[1], len(levels))
        tables = [
            self._turned(torch.from_numpy(level).to(target))[:, dims].contiguous()
            for level, dims in zip(levels, ranges, strict=True)
        ]
        return cast(Ints, block_codes(points_ND, tables).int().cpu().numpy())

    def _learn(self, points_ND: Tensor, generator: torch.Generator, track: Track) -> Blocks:
        config = self.config
        found = block_kmeans(
            points_ND, config.sizes, generator, config.iterations, config.tolerance, track
        )
        codes_NL = torch.stack([block.codes_N for block in found], dim=1)
        return [block.codewords_Kd for block in found], codes_NL, inertia_curve(found)

    def _turned(self, rows_ND: Tensor) -> Tensor:
        """Vectors as the blocks see them."""
        return rows_ND

    def _turned_back(self, rows_ND: Tensor) -> Tensor:
        """What the blocks see, as vectors."""
        return rows_ND

    def too_few(self, error: TooFewPoints) -> BadInput:
        """`TooFewPoints` in words that name the setting to change."""
        if error.level == 0:
            return super().too_few(error)
        return BadInput(
            f"level {error.level} has {error.num_codes} codes but only {error.num_distinct} "
            f"distinct values are in its block of dimensions; lower "
            f"tokenizers.{self.name}.sizes[{error.level}]"
        )
