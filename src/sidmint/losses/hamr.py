"""Masked Hamming-guided margin repulsion: items whose codes collide are driven apart.

Shape letters: I instances of a batch (triggers, then their targets), L levels, d latent size.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import normalize

from sidmint.losses.base import LOSSES, Loss, TokenizerStep

EPSILON = 1e-8
"""Keeps the mean over no pairs at zero."""


@LOSSES.register("hamr")
class Hamr(Loss):
    """HaMR with conflict-aware valid-pair masking (QuaSID eq. 8-13).

    H_ij = number of levels at which the codes of i and j differ, D_ij = 1 - e_i . e_j on unit
    latents, M_ij = 0 where i, j are the same item or a constructed positive, else 1.
        full    = {H = 0, M = 1}          pays max(0, full_margin - D)
        partial = {0 < H <= radius, M = 1} pays max(0, partial_margin - D)
    Each set's sum over ordered pairs is divided by its size + eps and weighted; the gradient
    reaches the encoder through D alone. Mind the units: weights stand beside losses that are
    sums over dimensions of inputs with total variance one.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"latent", "codes", "pairs"})
    judges: ClassVar[bool] = False
    # Its mean runs over colliding pairs alone: it may rise as collisions get rarer.

    full_weight: float = Field(0.2, ge=0)
    partial_weight: float = Field(0.1, ge=0)
    full_margin: float = Field(0.8, ge=0, le=2)
    partial_margin: float = Field(0.5, ge=0, le=2)
    radius: int = Field(1, ge=0)
    """Most differing codes of a partial collision: 1 offline, 2 online in QuaSID A.2."""
    cvpm: bool = True
    """False is the ablation "w/o CVPM": only an instance with itself is left out."""

    @model_validator(mode="after")
    def _full_margin_is_the_larger(self) -> Hamr:
        if self.full_margin < self.partial_margin:
            raise ValueError(
                f"full_margin {self.full_margin} is below partial_margin {self.partial_margin}; "
                "a full collision must not be punished less"
            )
        return self

    def __call__(self, step: TokenizerStep) -> Tensor:
        """The loss of one batch."""
        codes_IL = step.the_walk().codes_NL
        differing_II = (codes_IL[:, None, :] != codes_IL[None, :, :]).sum(dim=2)
        valid_II = valid_pairs(step.rows_B, step.num_pairs, self.cvpm)
        units_Id = normalize(step.latent_Bd, dim=1)
        full = (valid_II & (differing_II == 0)).nonzero(as_tuple=True)
        near_II = valid_II & (differing_II > 0) & (differing_II <= self.radius)
        partial = near_II.nonzero(as_tuple=True)
        return self.full_weight * _mean_hinge(
            units_Id, full, self.full_margin
        ) + self.partial_weight * _mean_hinge(units_Id, partial, self.partial_margin)


def valid_pairs(items_I: Tensor, num_pairs: int, cvpm: bool = True) -> Tensor:
    """M (I, I): which ordered pairs of instances may be pushed apart (QuaSID eq. 8).

    `items_I` says which item each instance is; instance i and i + num_pairs are a
    constructed positive for i < num_pairs.
    """
    if not cvpm:
        return ~torch.eye(len(items_I), dtype=torch.bool, device=items_I.device)
    valid_II = items_I[:, None] != items_I[None, :]
    triggers = torch.arange(num_pairs, device=items_I.device)
    valid_II[triggers, triggers + num_pairs] = False
    valid_II[triggers + num_pairs, triggers] = False
    return valid_II


def _mean_hinge(units_Id: Tensor, pairs: tuple[Tensor, ...], margin: float) -> Tensor:
    """Mean of max(0, margin - D) over the pairs, with gradient to their latents alone."""
    left, right = pairs
    distances = 1 - (units_Id[left] * units_Id[right]).sum(dim=1)
    return (margin - distances).clamp(min=0).sum() / (len(left) + EPSILON)
