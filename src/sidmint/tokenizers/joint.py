"""Tokenizers whose encoder, decoder and codebooks train together."""

from __future__ import annotations

from pydantic import Field

from sidmint.losses import LossTerm, term
from sidmint.tokenizers.base import CurvePoint
from sidmint.tokenizers.batches import Batch
from sidmint.tokenizers.gradient import Fit, GradientTokenizer
from sidmint.tokenizers.starting import Start, start_codebooks
from sidmint.tokenizers.training import Losses, train


class JointTokenizer(GradientTokenizer):
    """Trains an autoencoder through a quantizer. A subclass says which quantizer.

    Where codebooks start decides whether they survive: started on the latents of an
    untrained encoder they look perfect and collapse as the encoder moves. So by default
    encoder and decoder are first trained without a quantizer, then k-means finds the
    codebooks level by level on the latents of all items, then everything trains jointly.
    """

    class Config(GradientTokenizer.Config):
        """Settings of every tokenizer that trains jointly."""

        start: Start = "autoencoder"
        """Codebooks start by k-means on the latents of an encoder trained without quantizer,
        by k-means on those of an untrained encoder, or at random."""
        start_steps: int = Field(600, ge=1)
        """Most steps without quantizer, for `start: autoencoder`."""
        losses: tuple[LossTerm, ...] = (term("reconstruction"), term("commitment"))

    config: Config

    def objective(self, fit: Fit, batch: Batch) -> Losses:
        """All losses, through the quantizer."""
        return self.quantized_objective(fit, batch)

    def learn(self, fit: Fit) -> tuple[list[CurvePoint], int]:
        """Start the codebooks as `start` says, then train everything jointly."""
        curve, start_steps = list[CurvePoint](), 0
        if self.config.start == "autoencoder":
            curve, start_steps = self.train_autoencoder(fit, self.config.start_steps)
        start_codebooks(fit, self.config.start, self.type_name)
        quantizer = fit.network.quantizer

        def after_step(losses: Losses) -> None:
            if losses.walk is not None:
                quantizer.update(losses.walk)

        joint, joint_steps = train(
            fit.network,
            lambda batch: self.objective(fit, batch),
            fit.sampler,
            fit.validation,
            self.schedule(self.config.steps),
            fit.generator,
            f"tokenizers.{self.name}",
            "training",
            self.config.sizes,
            after_step,
            fit.track,
        )
        return curve + joint, start_steps + joint_steps
