"""Quantizers whose codebooks are computed from what learns.

Shape letters: N items, B rows of a batch, d latent size, K codes of a level.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from sidmint.progress import Track, silent
from sidmint.quantization.assignment import nearest
from sidmint.quantization.estimators import straight_through
from sidmint.quantization.kmeans import TooFewPoints, kmeans
from sidmint.quantization.quantizer import Quantizer
from sidmint.quantization.residual import ResidualWalk


class DerivedQuantizer(Quantizer):
    """A residual walk over codebooks that a subclass derives from its parameters.

    The derived codebooks are stored beside the parameters after every step, and those are
    what is walked and exported: a product or a norm may round differently on another machine,
    and a published code must not depend on that. All levels start where k-means puts them, as
    nearly as the form of the codebooks allows.
    """

    def __init__(self, sizes: Sequence[int], num_dimensions: int) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        for level, size in enumerate(self.sizes):
            self.register_buffer(f"codebook_{level}", torch.zeros(size, num_dimensions))

    @abstractmethod
    def derive(self) -> list[Tensor]:
        """The codebooks as the parameters are now, with gradient to them."""

    @abstractmethod
    def start_level(self, level: int, table_Kd: Tensor, counts_K: Tensor) -> None:
        """Set the parameters of a level for codebooks like `table_Kd`, used `counts_K` times."""

    def start_from(self, tables: Sequence[Tensor]) -> None:
        """Codebooks like `tables`, one (K, d) a level, whose codes count alike."""
        with torch.no_grad():
            for level, table_Kd in enumerate(tables):
                self.start_level(level, table_Kd, torch.ones_like(table_Kd[:, 0]))
        self._store()

    def start_on(
        self,
        latent_Nd: Tensor,
        generator: Generator,
        iterations: int,
        tolerance: float,
        track: Track = silent,
        balance: float | None = None,
    ) -> None:
        """k-means level by level, each on what the derived codebooks before it left over."""
        residual_Nd = latent_Nd
        with torch.no_grad():
            for level, size in enumerate(track(self.sizes, "codebooks", len(self.sizes))):
                try:
                    fitted = kmeans(
                        residual_Nd, size, generator, iterations, tolerance, balance=balance
                    )
                except TooFewPoints as error:
                    raise TooFewPoints(level, size, error.num_distinct) from error
                counts_K = torch.bincount(fitted.codes_N, minlength=size)
                self.start_level(level, fitted.codewords_Kd, counts_K)
                table_Kd = self.derive()[level]
                residual_Nd = residual_Nd - table_Kd[nearest(residual_Nd, table_Kd)]
        self._store()

    def update(self, walk: ResidualWalk) -> None:
        """Store what the gradient step has changed."""
        self._store()

    def tables(self) -> list[Tensor]:
        """The values that were stored, with the gradient of what they derive from."""
        pairs = zip(self._stored(), self.derive(), strict=True)
        return [stored_Kd + (now_Kd - now_Kd.detach()) for stored_Kd, now_Kd in pairs]

    def forward(self, latent_Bd: Tensor) -> tuple[ResidualWalk, Tensor]:
        """The walk of a batch, and its quantized latent (B, d), straight-through once."""
        walk = self.walk(latent_Bd)
        return walk, straight_through(walk.quantized, latent_Bd)

    def _store(self) -> None:
        with torch.no_grad():
            for stored_Kd, derived_Kd in zip(self._stored(), self.derive(), strict=True):
                stored_Kd.copy_(derived_Kd)

    def _stored(self) -> list[Tensor]:
        return [self.get_buffer(f"codebook_{level}") for level in range(len(self.sizes))]
