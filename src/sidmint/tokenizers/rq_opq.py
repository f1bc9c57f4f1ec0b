"""RQ-OPQ: residual k-means at first, the last residual by optimized product quantization.

OneSearch (2025), a baseline of QuaSID (A.1); OPQ is Ge et al. 2013. The first levels say what an
item is like; the blocks code two halves of what they left over, independently of each other.
Measured on Beauty, 3 x 256: the rotation takes 8 % off the blocks' error, yet two residual
levels in their place do better (relative error .403 against .375, collisions .200 against .134).

A block's code says something only under its prefix of residual levels. The two blocks do not
refine each other, but a longer common prefix still means a closer item, so `hierarchical`
holds; a block's equal code under another prefix means nothing.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self, cast

import torch
from pydantic import Field, model_validator

from sidmint.errors import BadInput
from sidmint.quantization.quantizer import Quantizer
from sidmint.quantization.rq_opq import RqOpqQuantizer
from sidmint.seeds import seed_for
from sidmint.tokenizers.base import TOKENIZERS, CurvePoint
from sidmint.tokenizers.encoders import Autoencoder, Network
from sidmint.tokenizers.gradient import Fit
from sidmint.tokenizers.joint import JointTokenizer
from sidmint.tokenizers.plain import inertia_curve

OF_CODEBOOKS = frozenset(
    {"sizes", "encoder", "opq_blocks", "rounds", "iterations", "tolerance", "balance"}
)
"""Settings that have an effect without a network."""


@TOKENIZERS.register("rq_opq")
class RqOpq(JointTokenizer):
    """Residual levels and rotated blocks, of the vectors or of a latent that learns with them.

    `encoder: none` (the default): no network and no steps; the latent is the vectors, centred
    and in units of their total standard deviation. `encoder: mlp`: a joint tokenizer, to which
    every loss attaches; the rotation is found once and stays.
    """

    type_name: ClassVar[str] = "rq_opq"
    hierarchical: ClassVar[bool] = True

    class Config(JointTokenizer.Config):
        """Settings under `tokenizers.rq_opq`; without an encoder those of training are refused."""

        encoder: Literal["none", "mlp"] = "none"
        opq_blocks: int = Field(2, ge=2)
        """How many of the last `sizes` are blocks; at least one level stays before them."""
        rounds: int = Field(50, ge=0)
        """Most rounds of rotation; on Beauty the tolerance ended them after 39."""
        iterations: int = Field(50, ge=1)
        """Most Lloyd iterations a level or block, without an encoder."""
        tolerance: float = Field(1e-4, ge=0)
        """Ends a level, or the rotation, when it lowers the inertia by less than this share."""

        @model_validator(mode="after")
        def _every_setting_has_an_effect(self) -> Self:
            if self.opq_blocks >= len(self.sizes):
                raise ValueError(
                    f"opq_blocks {self.opq_blocks} leaves no residual level of the "
                    f"{len(self.sizes)} sizes {list(self.sizes)}; add a size, or take `pq`"
                )
            fields = type(self).model_fields
            changed = sorted(n for n in self._idle() if getattr(self, n) != fields[n].get_default())
            if changed:
                raise ValueError(
                    f"encoder {self.encoder} with start {self.start} makes no use of "
                    f"{', '.join(changed)}; take {'it' if len(changed) == 1 else 'them'} out"
                    + ("" if self.encoder == "mlp" else ", or set encoder: mlp")
                )
            return self

        def _idle(self) -> set[str]:
            """Settings that have no effect beside the others."""
            if self.encoder == "none":
                return set(type(self).model_fields) - OF_CODEBOOKS
            return {"iterations", "tolerance"} | ({"rounds"} if self.start == "random" else set())

    config: Config

    def make_quantizer(self) -> Quantizer:
        """Residual tables and blocks for the latent of the MLP."""
        return self._make_quantizer(self.config.latent_dim)

    def learn(self, fit: Fit) -> tuple[list[CurvePoint], int]:
        """Find the codebooks; with an encoder, train it before and everything jointly after."""
        if self.config.encoder == "mlp":
            return super().learn(fit)
        quantizer = cast(RqOpqQuantizer, fit.network.quantizer)
        levels, last = quantizer.learn_from(
            fit.inputs_ND,
            torch.Generator().manual_seed(seed_for(fit.seed, self.type_name, "k-means")),
            self.config.iterations,
            self.config.tolerance,
            fit.track,
            self.config.balance,
        )
        curve = inertia_curve(levels)
        curve += [CurvePoint(n, "inertia_blocks", value) for n, value in enumerate(last.inertia)]
        return curve, len(curve)

    def _make_network(self, num_dimensions: int, seed: int) -> Network:
        """Without an encoder the latent is as wide as the vectors."""
        if num_dimensions < self.config.opq_blocks:
            raise BadInput(
                f"{self.config.opq_blocks} blocks want at least as many dimensions, the vectors "
                f"have {num_dimensions}; lower tokenizers.{self.name}.opq_blocks"
            )
        if self.config.encoder == "mlp":
            return super()._make_network(num_dimensions, seed)
        autoencoder = Autoencoder(num_dimensions, None, num_dimensions)
        return Network(autoencoder, self._make_quantizer(num_dimensions))

    def _make_quantizer(self, num_dimensions: int) -> RqOpqQuantizer:
        config = self.config
        return RqOpqQuantizer(config.sizes, num_dimensions, config.opq_blocks, config.rounds)
