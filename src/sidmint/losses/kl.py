"""How far the latents of a stochastic encoder are from a standard normal."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from sidmint.losses.base import LOSSES, Loss, TokenizerStep


@LOSSES.register("kl")
class Kl(Loss):
    """1/2 sum_d (mu^2 + s^2 - 1 - log s^2), averaged over rows (Kingma and Welling 2014, app. B).

    DRQ eq. 2 writes no such term, so no tokenizer has it unless `losses` names it (our
    reading); naming it is what makes an encoder stochastic: without it the best variance is
    zero, and a VAE is an autoencoder.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"latent", "log_variance"})

    def __call__(self, step: TokenizerStep) -> Tensor:
        """The loss of one batch."""
        log_variance_Bd = step.log_variance_Bd
        if log_variance_Bd is None:
            raise ValueError("this step has no variance")
        terms_Bd = step.latent_Bd.square() + log_variance_Bd.exp() - 1 - log_variance_Bd
        return terms_Bd.sum(dim=1).mean() / 2
