"""RQ-VAE whose gradient is turned from the quantized latent to the latent.

The rotation trick (Fifty et al. 2025) in place of the straight-through estimator; everything
else is `rq_vae`. It acts once, on the sum over levels: each deeper residual differs from the
latent by constants, so a rotation a level would not be that of the vector the decoder reads.
"""

from __future__ import annotations

from typing import ClassVar

from sidmint.quantization.estimators import rotation
from sidmint.quantization.quantizer import Quantizer, ResidualQuantizer
from sidmint.tokenizers.base import TOKENIZERS
from sidmint.tokenizers.joint import JointTokenizer


@TOKENIZERS.register("rq_vae_rotation")
class RqVaeRotation(JointTokenizer):
    """MLP encoder, residual walk with the rotation trick, MLP decoder."""

    type_name: ClassVar[str] = "rq_vae_rotation"
    hierarchical: ClassVar[bool] = True

    class Config(JointTokenizer.Config):
        """Settings under `tokenizers.rq_vae_rotation`; those of every joint tokenizer."""

    def make_quantizer(self) -> Quantizer:
        """Codebooks that learn by gradient; one rotation on their sum."""
        return ResidualQuantizer(self.config.sizes, self.config.latent_dim, rotation)
