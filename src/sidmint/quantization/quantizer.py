"""The part of a gradient tokenizer between encoder and decoder. It holds no loss.

Shape letters: B rows of a batch, d latent size, K codes of a level.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Generator, Tensor, nn

from sidmint.progress import Track, silent
from sidmint.quantization.kmeans import residual_kmeans
from sidmint.quantization.residual import Chooser, ResidualWalk, residual_walk

Estimator = Callable[[Tensor, Tensor], Tensor]
"""(quantized, source) -> quantized, with a gradient to the source."""


class Quantizer(nn.Module, ABC):
    """Latents to codes and to a quantized latent that the decoder may read."""

    choosers: Mapping[int, Chooser] = MappingProxyType({})
    """How levels choose codes in training steps, where not by the nearest codeword."""

    @abstractmethod
    def tables(self) -> list[Tensor]:
        """The (K_l, d) codebook of each level, with gradient to what learns."""

    @abstractmethod
    def start_from(self, tables: Sequence[Tensor]) -> None:
        """Put the codebooks where `tables` say, one (K_l, d) a level."""

    def start_on(
        self,
        latent_Nd: Tensor,
        generator: Generator,
        iterations: int,
        tolerance: float,
        track: Track = silent,
        balance: float | None = None,
    ) -> None:
        """Fit the codebooks to `latent_Nd` (N, d) by residual k-means; see `residual_kmeans`."""
        sizes = [len(table) for table in self.tables()]
        levels = residual_kmeans(
            latent_Nd, sizes, generator, iterations, tolerance, track=track, balance=balance
        )
        self.start_from([level.codewords_Kd for level in levels])

    def update(self, walk: ResidualWalk) -> None:
        """Learn from the walk of a training step what no gradient teaches; after the step."""

    def walk(self, latent_Bd: Tensor) -> ResidualWalk:
        """The residual walk of a batch; without gradients it is that of inference."""
        choosers = self.choosers if torch.is_grad_enabled() else None
        return residual_walk(latent_Bd, self.tables(), choosers)

    @abstractmethod
    def forward(self, latent_Bd: Tensor) -> tuple[ResidualWalk, Tensor]:
        """The walk of a batch, and its quantized latent (B, d) with the gradient estimator."""


class ResidualQuantizer(Quantizer):
    """A residual walk over codebooks that learn by gradient, one `estimator` on the sum."""

    def __init__(self, sizes: Sequence[int], num_dimensions: int, estimator: Estimator) -> None:
        super().__init__()
        self.codebooks = nn.ParameterList(torch.zeros(size, num_dimensions) for size in sizes)
        self.estimator = estimator

    def tables(self) -> list[Tensor]:
        """The codebooks themselves."""
        return list(self.codebooks)

    def start_from(self, tables: Sequence[Tensor]) -> None:
        """Copy `tables` into the codebooks."""
        with torch.no_grad():
            for codebook, table in zip(self.codebooks, tables, strict=True):
                codebook.copy_(table)

    def forward(self, latent_Bd: Tensor) -> tuple[ResidualWalk, Tensor]:
        """The walk of a batch, and its quantized latent (B, d) with the gradient estimator."""
        walk = self.walk(latent_Bd)
        return walk, self.estimator(walk.quantized, latent_Bd)
