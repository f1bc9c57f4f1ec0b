"""DRQ-VAE+CL: DRQ-VAE whose latent also learns from pairs of items that are seen together.

DRQ eq. 2 with lambda > 0: L_recon + lambda L_CL, L_CL an InfoNCE loss on co-viewed pairs.
"""

from __future__ import annotations

from typing import ClassVar

from sidmint.losses import LossTerm, term
from sidmint.tokenizers.base import TOKENIZERS
from sidmint.tokenizers.decoupled import DecoupledTokenizer


@TOKENIZERS.register("drq_vae_cl")
class DrqVaeCl(DecoupledTokenizer):
    """Reconstruction and InfoNCE, then residual k-means."""

    type_name: ClassVar[str] = "drq_vae_cl"

    class Config(DecoupledTokenizer.Config):
        """Settings under `tokenizers.drq_vae_cl`; those of every decoupled tokenizer."""

        losses: tuple[LossTerm, ...] = (term("reconstruction"), term("info_nce", 0.1))
        """The weight of `info_nce` is lambda; DRQ's own is not in print, QuaSID's best is 0.1."""
