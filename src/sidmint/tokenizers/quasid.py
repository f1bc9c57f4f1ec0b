"""QuaSID: RQ-VAE with qualified collision repulsion and dual-tower contrastive alignment.

QuaSID section 4, eq. 14: L = L_rec + L_rq + L_HaMR + L_cl, trained jointly on batches that join
triggers and their targets. The ablations are losses: `{name: hamr, cvpm: false}` is "w/o CVPM",
leaving `hamr` out is "w/o HaMR"; both ship in presets/.
"""

from __future__ import annotations

from typing import ClassVar

from sidmint.losses import LossTerm, term
from sidmint.quantization.estimators import straight_through
from sidmint.quantization.quantizer import Quantizer, ResidualQuantizer
from sidmint.tokenizers.base import TOKENIZERS
from sidmint.tokenizers.joint import JointTokenizer


@TOKENIZERS.register("quasid")
class Quasid(JointTokenizer):
    """MLP encoder, residual walk with the straight-through estimator, HaMR with CVPM, InfoNCE."""

    type_name: ClassVar[str] = "quasid"
    hierarchical: ClassVar[bool] = True

    class Config(JointTokenizer.Config):
        """Settings under `tokenizers.quasid`."""

        losses: tuple[LossTerm, ...] = (
            term("reconstruction"),
            term("commitment"),
            term("hamr"),
            term("info_nce", 0.1),
        )

    def make_quantizer(self) -> Quantizer:
        """Codebooks that learn by gradient; one straight-through step on their sum."""
        return ResidualQuantizer(self.config.sizes, self.config.latent_dim, straight_through)
