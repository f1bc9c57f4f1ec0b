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
    opposes: ClassVar[bool] = True

    full_weight: float = Field(0.2, ge=0)
    partial_weight: float = Field(0.1, ge=0)
    full_margin: float = Field(0.8, ge=0, le=2)
    partial_margin: float = Field(0.5, ge=0, le=2)
    radius: int = Field(1, ge=0)
    """Most differing codes of a partial collision: 1 offline, 2 online in QuaSID A.2."""
    cvpm: bool = True
    """False is the ablation "w/o CVPM": only an instance with itself is left out."""

    gather: bool = True
    """Items that collide fully come into the same batch, found anew before each pass. False
    leaves it to chance, as in the paper: a collision among 12,000 items is then seen about once
    in 25 passes at 512 a batch."""

    @property
    def gathers(self) -> bool:
        """As `gather` says."""
        return self.gather

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
        differing_II = hamming(step.the_walk().codes_NL)
        valid_II = valid_pairs(step.rows_B, step.num_pairs, self.cvpm)
        units_Id = normalize(step.latent_Bd, dim=1)
        cosines_II = units_Id @ units_Id.T
        full_II = valid_II & (differing_II == 0)
        partial_II = valid_II & (differing_II > 0) & (differing_II <= self.radius)
        full = _mean_hinge(cosines_II[full_II], self.full_margin)
        partial = _mean_hinge(cosines_II[partial_II], self.partial_margin)
        return self.full_weight * full + self.partial_weight * partial


def hamming(codes_IL: Tensor) -> Tensor:
    """H (I, I) uint8: at how many levels the codes of two instances differ (QuaSID eq. 9)."""
    codes_LI = codes_IL.to(torch.int32).T.contiguous()
    differing_II = torch.zeros(len(codes_IL), len(codes_IL), dtype=torch.uint8)
    differing_II = differing_II.to(codes_IL.device)
    for codes_I in codes_LI:
        differing_II += codes_I[:, None] != codes_I[None, :]
    return differing_II


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


def _mean_hinge(cosines_P: Tensor, margin: float) -> Tensor:
    """Mean of max(0, margin - D) over pairs, D = 1 - cosine; zero for none."""
    return (margin - 1 + cosines_P).clamp(min=0).sum() / (len(cosines_P) + EPSILON)
