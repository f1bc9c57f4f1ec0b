"""LETTER: RQ-VAE whose ids also tell who uses an item, not only what it is.

Wang et al. 2024 (QuaSID's reference [25]): quantized latents are aligned with item vectors of a
recommender, and codewords of a level are kept apart: L = L_Sem + alpha L_CF + beta L_Div. The
paper's alpha is .02 and its beta .0001, beside its own units.

The paper bounds the sizes of the k-means clusters behind L_Div, and so does the loss
(`losses.diversity.group_codewords`); `balance` bounds the codes that codebooks start with.
"""

from __future__ import annotations

from typing import ClassVar

from sidmint.losses import LossTerm, term
from sidmint.quantization.estimators import straight_through
from sidmint.quantization.quantizer import Quantizer, ResidualQuantizer
from sidmint.tokenizers.base import TOKENIZERS
from sidmint.tokenizers.joint import JointTokenizer


@TOKENIZERS.register("letter")
class Letter(JointTokenizer):
    """MLP encoder, residual walk, MLP decoder; collaborative alignment and diverse codewords.

    `fit` wants collaborative vectors: any that a recommender has of the items, by item id, as
    `embed.collaborative` names them. Items without one are reconstructed and nothing else.
    """

    type_name: ClassVar[str] = "letter"
    hierarchical: ClassVar[bool] = True

    class Config(JointTokenizer.Config):
        """Settings under `tokenizers.letter`."""

        losses: tuple[LossTerm, ...] = (
            term("reconstruction"),
            term("commitment"),
            term("collaborative", 0.02),
            term("diversity", 0.0001),
        )

    def make_quantizer(self) -> Quantizer:
        """Codebooks that learn by gradient; one straight-through step on their sum."""
        return ResidualQuantizer(self.config.sizes, self.config.latent_dim, straight_through)
