"""Codewords drawn to residuals, and residuals to codewords."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from sidmint.losses.base import LOSSES, Loss, TokenizerStep


@LOSSES.register("commitment")
class Commitment(Loss):
    """sum_l ||sg[r^(l-1)] - c^(l)||^2 + beta ||r^(l-1) - sg[c^(l)]||^2 (QuaSID eq. 5b).

    The first term moves codewords, the second the encoder. Summed over dimensions and
    levels, averaged over the batch: the units of `reconstruction`.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"residuals", "codewords"})
    judges: ClassVar[bool] = False
    # It is measured in units of the latent, whose scale training changes at will: it often
    # rises while the reconstruction through the quantizer gets better.

    beta: float = Field(0.25, ge=0)
    codebook_weight: float = Field(1.0, ge=0)
    """Of the first term; 0 for codebooks without gradient, for which it is a constant."""

    def __call__(self, step: TokenizerStep) -> Tensor:
        """The loss of one batch."""
        walk = step.the_walk()
        residuals_LBd = torch.stack(walk.residuals)
        codewords_LBd = torch.stack(walk.codewords)
        codebook = (residuals_LBd.detach() - codewords_LBd).square().sum(dim=(0, 2)).mean()
        encoder = (residuals_LBd - codewords_LBd.detach()).square().sum(dim=(0, 2)).mean()
        return self.codebook_weight * codebook + self.beta * encoder
