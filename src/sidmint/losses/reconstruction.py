"""How far the decoder's output lies from the input."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from sidmint.losses.base import LOSSES, Loss, TokenizerStep


@LOSSES.register("reconstruction")
class Reconstruction(Loss):
    """||x - x_hat||^2, summed over dimensions and averaged over the batch.

    The sum is not a detail: averaged over D dimensions beside a summed commitment it
    weighs D times too little, and the codebooks collapse. Gradient tokenizers scale their
    inputs to a total variance of one, so the value reads as relative squared error.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"inputs", "reconstruction"})

    def __call__(self, step: TokenizerStep) -> Tensor:
        """The loss of one batch."""
        return (step.inputs_BD - step.reconstruction_BD).square().sum(dim=1).mean()
