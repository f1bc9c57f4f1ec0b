"""Tokenizers that learn the latent first and cut it into codes afterwards (DRQ section 4)."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field

from sidmint.quantization.estimators import straight_through
from sidmint.quantization.kmeans import residual_kmeans
from sidmint.quantization.quantizer import Quantizer, ResidualQuantizer
from sidmint.seeds import seed_for
from sidmint.settings import is_null
from sidmint.tokenizers.balancing import Balance
from sidmint.tokenizers.base import CurvePoint
from sidmint.tokenizers.batches import Batch
from sidmint.tokenizers.gradient import Fit, GradientTokenizer
from sidmint.tokenizers.starting import unit_latent
from sidmint.tokenizers.training import Losses


class DecoupledTokenizer(GradientTokenizer):
    """An autoencoder trained without any quantizer, frozen, then k-means on latent residuals.

    Its steps have no codes: a loss that needs them is refused when the tokenizer is built.
    """

    hierarchical: ClassVar[bool] = True
    provides: ClassVar[frozenset[str]] = frozenset(
        {"inputs", "latent", "reconstruction", "pairs", "log_variance"}
    )

    class Config(GradientTokenizer.Config):
        """Settings of the decoupled tokenizers."""

        steps: int = Field(1600, ge=1)
        """Most steps of the autoencoder: as many as a joint tokenizer takes in both its parts."""
        iterations: int = Field(50, ge=1)
        """Most Lloyd iterations a level."""
        tolerance: float = Field(1e-4, ge=0)
        """Ends a level when an iteration lowers its inertia by less than this share."""
        balance: Balance | None = Field(None, exclude_if=is_null)
        """Bounds the size of codes in k-means, as that of `rq_kmeans`; null: no bound."""

    config: Config

    def make_quantizer(self) -> Quantizer:
        """Holds the codebooks that k-means finds; no step goes through it."""
        quantizer = ResidualQuantizer(self.config.sizes, self.config.latent_dim, straight_through)
        return quantizer.requires_grad_(False)

    def objective(self, fit: Fit, batch: Batch) -> Losses:
        """All losses, without a quantizer."""
        return self.unquantized_objective(fit, batch)

    def learn(self, fit: Fit) -> tuple[list[CurvePoint], int]:
        """Train the autoencoder, then find the codebooks level by level."""
        curve, num_steps = self.train_autoencoder(fit, self.config.steps)
        levels = residual_kmeans(
            unit_latent(fit),
            self.config.sizes,
            torch.Generator().manual_seed(seed_for(fit.seed, self.type_name, "codebooks")),
            self.config.iterations,
            self.config.tolerance,
            track=fit.track,
            balance=self.config.balance,
        )
        fit.network.quantizer.start_from([level.codewords_Kd for level in levels])
        return curve, num_steps
