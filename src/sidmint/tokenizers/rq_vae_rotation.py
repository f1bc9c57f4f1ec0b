"""RQ-VAE whose gradient is turned from the quantized latent to the latent.

The rotation trick (Fifty et al. 2025) in place of the straight-through estimator. It acts once,
on the sum over levels: each deeper residual differs from the latent by constants, so a rotation
a level would not be that of the vector the decoder reads.

**Our reading**: latents are unit vectors. Where the loss moves e away from a q of its length by
e - q, the straight-through step lengthens e by ||e - q||^2 / 2 ||e||, and the rotated one, turned
further by the angle between them, shortens it by as much. With the coarse quantization of
Semantic IDs the latents shrink faster than codebooks follow: on Beauty the first level's
perplexity fell from 228 to 52 in 100 steps and the error never came back (.506 against .423
on the sphere, where lengths are fixed). Everything else is `rq_vae`.
"""

from __future__ import annotations

from typing import ClassVar

from sidmint.quantization.estimators import rotation
from sidmint.quantization.quantizer import Quantizer, ResidualQuantizer
from sidmint.tokenizers.base import TOKENIZERS
from sidmint.tokenizers.joint import JointTokenizer


@TOKENIZERS.register("rq_vae_rotation")
class RqVaeRotation(JointTokenizer):
    """MLP encoder onto the unit sphere, residual walk with the rotation trick, MLP decoder."""

    type_name: ClassVar[str] = "rq_vae_rotation"
    hierarchical: ClassVar[bool] = True
    on_sphere: ClassVar[bool] = True

    class Config(JointTokenizer.Config):
        """Settings under `tokenizers.rq_vae_rotation`; those of every joint tokenizer."""

    def make_quantizer(self) -> Quantizer:
        """Codebooks that learn by gradient; one rotation on their sum."""
        return ResidualQuantizer(self.config.sizes, self.config.latent_dim, rotation)
