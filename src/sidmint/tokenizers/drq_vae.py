"""DRQ-VAE: an autoencoder without any quantizer, frozen, then residual k-means on its latents.

DRQ section 4 with lambda = 0 in eq. 2, its base experiments. No commitment, no straight-through
estimator: the latent may spread before it is cut. Attach `kl` for a stochastic encoder.
"""

from __future__ import annotations

from typing import ClassVar

from sidmint.tokenizers.base import TOKENIZERS
from sidmint.tokenizers.decoupled import DecoupledTokenizer


@TOKENIZERS.register("drq_vae")
class DrqVae(DecoupledTokenizer):
    """Reconstruction alone, then residual k-means."""

    type_name: ClassVar[str] = "drq_vae"

    class Config(DecoupledTokenizer.Config):
        """Settings under `tokenizers.drq_vae`; those of every decoupled tokenizer."""
