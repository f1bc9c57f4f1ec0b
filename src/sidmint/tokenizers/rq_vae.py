"""RQ-VAE: an autoencoder whose latent is quantized by a residual walk.

TIGER (Rajput et al. 2023, section 3.1) after Zeghidour et al. 2021 and Lee et al. 2022; the
baseline of DRQ and QuaSID. Straight-through gradient, codebooks learn from the commitment loss.
"""

from __future__ import annotations

from typing import ClassVar

from sidmint.quantization.estimators import straight_through
from sidmint.quantization.quantizer import Quantizer, ResidualQuantizer
from sidmint.tokenizers.base import TOKENIZERS
from sidmint.tokenizers.joint import JointTokenizer


@TOKENIZERS.register("rq_vae")
class RqVae(JointTokenizer):
    """MLP encoder, residual walk with the straight-through estimator, MLP decoder."""

    type_name: ClassVar[str] = "rq_vae"
    hierarchical: ClassVar[bool] = True

    class Config(JointTokenizer.Config):
        """Settings under `tokenizers.rq_vae`; those of every joint tokenizer."""

    def make_quantizer(self) -> Quantizer:
        """Codebooks that learn by gradient; one straight-through step on their sum."""
        return ResidualQuantizer(self.config.sizes, self.config.latent_dim, straight_through)
