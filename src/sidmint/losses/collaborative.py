"""Quantized latents that point where a recommender's own item vectors point.

Shape letters: B rows of a batch, d latent size, c size of the given vectors, at most d.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from sidmint.losses.base import LOSSES, Loss, TokenizerStep


@LOSSES.register("collaborative")
class Collaborative(Loss):
    """-1/B sum_i log exp(S_ii) / sum_j exp(S_ij), S_ij = cos(z_i, h_j) / tau.

    LETTER's L_CF (Wang et al. 2024, section 3.2): z are quantized latents, h the collaborative
    vectors of the same items, and an item's negatives are the others of its batch. Vectors of
    fewer dimensions than the latent are compared with its first ones; the others stay free.
    The paper has plain dot products of its own vectors; with vectors from anywhere their length
    would be a temperature that nobody chose, so here it is a cosine over tau, **our reading**.
    The gradient reaches the encoder through the estimator, and no codebook. An item without a
    vector has no row and is no negative; nor is the item itself where a batch has it twice.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"quantized", "collaborative"})
    judges: ClassVar[bool] = False
    opposes: ClassVar[bool] = True

    temperature: float = Field(0.1, gt=0)
    """The tau of the formula."""

    def __call__(self, step: TokenizerStep) -> Tensor:
        """The loss of one batch; zero where no item of it has a vector."""
        given_Bc, quantized_Bd = step.collaborative_Bc, step.quantized_Bd
        if given_Bc is None or quantized_Bd is None:
            raise ValueError("this step has no collaborative vectors, or was not quantized")
        known = (~given_Bc.isnan().any(dim=1)).nonzero()[:, 0]
        if not len(known):
            return quantized_Bd.sum() * 0.0
        items_B = step.rows_B[known]
        units_Bc = normalize(quantized_Bd[known, : given_Bc.shape[1]], dim=1)
        scores_BB = units_Bc @ normalize(given_Bc[known], dim=1).T / self.temperature
        again_BB = (items_B[:, None] == items_B[None, :]).fill_diagonal_(False)
        own_B = torch.arange(len(known), device=scores_BB.device)
        return cross_entropy(scores_BB.masked_fill(again_BB, -torch.inf), own_B)
