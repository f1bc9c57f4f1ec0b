"""Items that are seen together get latents that point the same way.

Shape letters: B pairs of a batch, d latent size.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from sidmint.losses.base import LOSSES, Loss, TokenizerStep


@LOSSES.register("info_nce")
class InfoNce(Loss):
    """-1/B sum_m log exp(S_mm) / sum_{n: M_mn = 1} exp(S_mn), S_mn = e_t^m . e_p^n / tau.

    QuaSID eq. 6-7, the L_CL of DRQ eq. 2; e are unit latents of triggers and targets. A target
    n != m that is the same item as the row's trigger or as its positive is no negative
    (M_mn = 0): left in, it would push an item away from itself. An item without pairs is its
    own target in a batch; its row has nothing to align and is left out of the mean, while it
    serves other rows as a negative. Zero where a batch has no pairs.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"latent", "pairs"})
    judges: ClassVar[bool] = False
    opposes: ClassVar[bool] = True

    temperature: float = Field(0.1, gt=0)
    """tau. The papers give none."""

    def __call__(self, step: TokenizerStep) -> Tensor:
        """The loss of one batch."""
        num_pairs = step.num_pairs
        units_Bd = normalize(step.latent_Bd[: 2 * num_pairs], dim=1)
        triggers_B, targets_B = step.rows_B[:num_pairs], step.rows_B[num_pairs : 2 * num_pairs]
        aligned = (triggers_B != targets_B).nonzero()[:, 0]
        if not len(aligned):
            return step.latent_Bd.sum() * 0.0
        scores_BB = units_Bd[:num_pairs] @ units_Bd[num_pairs:].T / self.temperature
        scores_BB = scores_BB.masked_fill(_false_negatives(triggers_B, targets_B), -torch.inf)
        return cross_entropy(scores_BB[aligned], aligned)


def _false_negatives(triggers_B: Tensor, targets_B: Tensor) -> Tensor:
    """(B, B): column n is the item of row m's trigger or of its positive, and n != m."""
    same_BB = triggers_B[:, None] == targets_B[None, :]
    same_BB = same_BB | (targets_B[:, None] == targets_B[None, :])
    return same_BB.fill_diagonal_(False)
