"""Tokenizers whose encoder, decoder and codebooks train together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from sidmint.losses import LossTerm, term
from sidmint.quantization.collective import gathered, own_rows
from sidmint.quantization.residual import residual_codes
from sidmint.settings import is_null
from sidmint.tokenizers.balancing import Balance, Sinkhorn
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
        balance: Balance | None = Field(None, exclude_if=is_null)
        """Bounds the size of codes in the k-means that codebooks start by, as that of `rq_kmeans`;
        null: no bound."""
        sinkhorn: Sinkhorn | None = None
        """Levels whose codes are balanced over each training batch; null: none."""

        @model_validator(mode="after")
        def _balanced_levels_are_there(self) -> Self:
            if self.balance is not None and self.start == "random":
                raise ValueError(
                    "balance is of the k-means that codebooks start by, and start: random has "
                    "none; take balance out, or start otherwise"
                )
            if self.sinkhorn and max(self.sinkhorn.levels) > len(self.sizes):
                raise ValueError(
                    f"sinkhorn.levels names level {max(self.sinkhorn.levels)}, but sizes "
                    f"{list(self.sizes)} are {len(self.sizes)} levels; they are counted from 1"
                )
            return self

    config: Config

    def objective(self, fit: Fit, batch: Batch) -> Losses:
        """All losses, through the quantizer."""
        return self.quantized_objective(fit, batch)

    def learn(self, fit: Fit) -> tuple[list[CurvePoint], int]:
        """Start the codebooks as `start` says, then train everything jointly."""
        curve, start_steps = self.begin(fit)
        quantizer = fit.network.quantizer
        if self.config.sinkhorn:
            quantizer.choosers = self.config.sinkhorn.choosers()

        def after_step(losses: Losses) -> None:
            if losses.walk is not None:
                quantizer.update(losses.walk)

        joint, joint_steps = train(
            fit.network,
            lambda batch: self.objective(fit, batch),
            fit.sampler(self._colliding(fit) if self._losses.gather else None),
            fit.validation,
            self.schedule(self.config.steps),
            fit.generator,
            f"tokenizers.{self.name}",
            "training",
            self.config.sizes,
            not self._losses.oppose,
            after_step,
            fit.track,
        )
        return curve + joint, start_steps + joint_steps

    def begin(self, fit: Fit) -> tuple[list[CurvePoint], int]:
        """What comes before joint training: the curve, and the steps taken."""
        curve, start_steps = list[CurvePoint](), 0
        if self.config.start == "autoencoder":
            curve, start_steps = self.train_autoencoder(fit, self.config.start_steps)
        start_codebooks(fit, self.config.start, self.type_name, self.config.balance)
        return curve, start_steps

    def _colliding(self, fit: Fit) -> Callable[[Tensor], Tensor]:
        """Numbers groups of items by their codes as the network gives them at that moment."""

        def groups(rows: Tensor) -> Tensor:
            own = rows[own_rows(len(rows))]
            with torch.no_grad():
                inputs_ND = fit.inputs_ND[own.to(fit.inputs_ND.device)]
                latent_Nd = fit.network.autoencoder.latent(inputs_ND)
                codes_NL = residual_codes(latent_Nd, fit.network.quantizer.tables())
            codes_NL = gathered(codes_NL, len(rows)).cpu()
            numbered: Tensor = torch.unique(codes_NL, dim=0, return_inverse=True)[1]
            return numbered

        return groups
