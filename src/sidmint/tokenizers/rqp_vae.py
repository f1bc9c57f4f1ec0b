"""RQ-VAE+: codebooks that follow moving averages, and codes that come back when they die.

DRQ section 5.1, after van den Oord et al. 2017 (appendix A.1) for the averages and Dhariwal et
al. 2020 (Jukebox, section 3.1) for the revival. Codebooks have no gradient, so `commitment`
keeps its encoder side alone. Revival raises usage and need not raise recommendation quality:
read both.

Shape letters: N items, B rows of a batch, d latent size, K codes of a level.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Generator, Tensor

from sidmint.losses import LossTerm, term
from sidmint.progress import Track, silent
from sidmint.quantization.estimators import straight_through
from sidmint.quantization.kmeans import residual_kmeans
from sidmint.quantization.quantizer import Quantizer
from sidmint.quantization.residual import ResidualWalk
from sidmint.quantization.updates import moving_averages, revive, smoothed_means
from sidmint.tokenizers.base import TOKENIZERS
from sidmint.tokenizers.joint import JointTokenizer

EPSILON = 1e-5
"""Of the Laplace smoothing, in uses a batch: far below any threshold of revival."""


class EmaQuantizer(Quantizer):
    """A residual walk over codebooks that are moving averages of what their codes were given.

    All that it learns is in buffers, and so is what the draws of a revival follow from: a
    seed, and the number of updates.
    """

    revival_seed: Tensor
    num_updates: Tensor

    def __init__(
        self,
        sizes: Sequence[int],
        num_dimensions: int,
        batch_size: int,
        decay: float,
        revival_threshold: float,
    ) -> None:
        super().__init__()
        self.sizes, self.batch_size = tuple(sizes), batch_size
        self.decay, self.revival_threshold = decay, revival_threshold
        for level, size in enumerate(self.sizes):
            self.register_buffer(f"codebook_{level}", torch.zeros(size, num_dimensions))
            self.register_buffer(f"counts_{level}", torch.zeros(size))
            self.register_buffer(f"sums_{level}", torch.zeros(size, num_dimensions))
        self.register_buffer("revival_seed", torch.randint(1 << 62, ()))
        self.register_buffer("num_updates", torch.zeros((), dtype=torch.int64))

    def tables(self) -> list[Tensor]:
        """The codebooks; no gradient reaches them."""
        return [self.get_buffer(f"codebook_{level}") for level in range(len(self.sizes))]

    def start_from(self, tables: Sequence[Tensor]) -> None:
        """Copy `tables`, as if every code of a level had been used equally often."""
        even = [torch.full((size,), self.batch_size / size) for size in self.sizes]
        for level, (table_Kd, counts_K) in enumerate(zip(tables, even, strict=True)):
            self._start_level(level, table_Kd, counts_K)

    def start_on(
        self,
        latent_Nd: Tensor,
        generator: Generator,
        iterations: int,
        tolerance: float,
        track: Track = silent,
        balance: float | None = None,
    ) -> None:
        """k-means level by level; a code's count is its cluster's share of a batch."""
        levels = residual_kmeans(
            latent_Nd, self.sizes, generator, iterations, tolerance, track=track, balance=balance
        )
        a_batch = self.batch_size / len(latent_Nd)
        for level, fitted in enumerate(levels):
            sizes_K = torch.bincount(fitted.codes_N, minlength=self.sizes[level])
            self._start_level(level, fitted.codewords_Kd, sizes_K * a_batch)

    def update(self, walk: ResidualWalk) -> None:
        """Averages, revival and codewords of every level, from the walk of one step."""
        draws = torch.Generator().manual_seed(int(self.revival_seed) + int(self.num_updates))
        for level, (table_Kd, residuals_Bd) in enumerate(
            zip(self.tables(), walk.residuals, strict=True)
        ):
            counts_K, sums_Kd = self._averages(level)
            new_K, new_Kd = moving_averages(
                counts_K, sums_Kd, walk.codes_NL[:, level], residuals_Bd, self.decay
            )
            new_K, new_Kd = revive(new_K, new_Kd, residuals_Bd, self.revival_threshold, draws)
            table_Kd.copy_(smoothed_means(new_K, new_Kd, table_Kd, EPSILON))
            counts_K.copy_(new_K)
            sums_Kd.copy_(new_Kd)
        self.num_updates += 1

    def forward(self, latent_Bd: Tensor) -> tuple[ResidualWalk, Tensor]:
        """The walk of a batch, and its quantized latent (B, d), straight-through once."""
        walk = self.walk(latent_Bd)
        return walk, straight_through(walk.quantized, latent_Bd)

    def _averages(self, level: int) -> tuple[Tensor, Tensor]:
        return self.get_buffer(f"counts_{level}"), self.get_buffer(f"sums_{level}")

    def _start_level(self, level: int, table_Kd: Tensor, start_K: Tensor) -> None:
        counts_K, sums_Kd = self._averages(level)
        self.tables()[level].copy_(table_Kd)
        counts_K.copy_(start_K)
        sums_Kd.copy_(table_Kd * counts_K[:, None].to(table_Kd.device))


@TOKENIZERS.register("rqp_vae")
class RqpVae(JointTokenizer):
    """MLP encoder, residual walk over averaged codebooks with revival, MLP decoder."""

    type_name: ClassVar[str] = "rqp_vae"
    provides: ClassVar[frozenset[str]] = JointTokenizer.provides - {"learned_tables"}
    """Its codebooks are moving averages: no gradient moves them."""
    hierarchical: ClassVar[bool] = True

    class Config(JointTokenizer.Config):
        """Settings under `tokenizers.rqp_vae`."""

        decay: float = Field(0.99, ge=0, lt=1)
        """g of the moving averages, a step: 0.99 remembers some hundred batches."""
        revival_threshold: float = Field(1.0, ge=0)
        """Uses a batch, by the moving average, below which a code is moved to a residual of the
        batch; 0 never moves one. A code used evenly has batch_size / K uses a batch, which must be
        more. On Beauty 1 and 0.25 gave the same perplexities, within a percent or two."""
        losses: tuple[LossTerm, ...] = (
            term("reconstruction"),
            term("commitment", codebook_weight=0.0),
        )

        @model_validator(mode="after")
        def _codes_can_live(self) -> Self:
            even = self.batch_size / max(self.sizes)
            if self.revival_threshold >= even:
                raise ValueError(
                    f"revival_threshold {self.revival_threshold:g} is not below {even:g}, the uses "
                    f"a batch of each of {max(self.sizes)} codes when {self.batch_size} rows are "
                    "spread evenly, so no codebook could settle; lower it or raise batch_size"
                )
            return self

    config: Config

    def make_quantizer(self) -> Quantizer:
        """Codebooks that learn by averaging; one straight-through step on their sum."""
        config = self.config
        return EmaQuantizer(
            config.sizes,
            config.latent_dim,
            config.batch_size,
            config.decay,
            config.revival_threshold,
        )
