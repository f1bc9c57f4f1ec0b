"""Codewords that keep away from those which are not like them.

Shape letters: B rows of a batch, d latent size, K codes of a level, G groups of codes.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from sidmint.losses.base import LOSSES, Loss, TokenizerStep
from sidmint.quantization.assignment import nearest
from sidmint.quantization.balance import bounded_nearest, largest_size

ITERATIONS = 5
"""Of the grouping of codewords, made anew in every step."""


@LOSSES.register("diversity")
class Diversity(Loss):
    """-1/B sum_i log exp(e_i . e_+ / tau) / sum_{j != c_i} exp(e_i . e_j / tau), a level.

    LETTER's L_Div (Wang et al. 2024, section 3.2), summed over levels: e_i is the codeword
    that an item got, e_+ another one of its group, e_j all others of the level. The paper draws
    one e_+; here the mean over the group takes its place, which is what the draws come to. Groups
    are k-means over the codewords, their sizes bounded as in the paper (`group_codewords`). A
    codeword that is alone in its group has no e_+ and is left out. Codewords alone get its
    gradient.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"codes", "tables", "learned_tables"})
    judges: ClassVar[bool] = False

    groups: int = Field(10, ge=2)
    """G: groups that the codewords of a level fall into."""
    balance: float | None = Field(1.5, ge=1)
    """The most codewords of a group, as a multiple of K / G; null: any number."""
    temperature: float = Field(1.0, gt=0)
    """The tau of the formula; the paper has none."""

    def __call__(self, step: TokenizerStep) -> Tensor:
        """The loss of one batch."""
        levels = zip(step.the_walk().codes_NL.T, step.tables, strict=True)
        return torch.stack([self._of_level(codes_B, table) for codes_B, table in levels]).sum()

    def _of_level(self, codes_B: Tensor, table_Kd: Tensor) -> Tensor:
        """By code first, then averaged over the rows of the batch."""
        num_groups = min(self.groups, len(table_Kd))
        groups_K = group_codewords(table_Kd.detach(), num_groups, self.balance)
        like_KK = (groups_K[:, None] == groups_K[None, :]).fill_diagonal_(False)
        scores_KK = (table_Kd @ table_Kd.T) / self.temperature
        alone = torch.eye(len(table_Kd), dtype=torch.bool, device=table_Kd.device)
        log_shares_KK = scores_KK.masked_fill(alone, -torch.inf).log_softmax(dim=1)
        num_like_K = like_KK.sum(dim=1)
        kept_KK = log_shares_KK.masked_fill(~like_KK, 0.0)
        cost_K = -kept_KK.sum(dim=1) / num_like_K.clamp_min(1)
        weights_K = torch.bincount(codes_B, minlength=len(table_Kd)).to(cost_K.dtype)
        weights_K = weights_K * (num_like_K > 0)
        return (cost_K * weights_K).sum() / weights_K.sum().clamp_min(1)


def group_codewords(table_Kd: Tensor, num_groups: int, balance: float | None) -> Tensor:
    """The group of each codeword (K,): a few Lloyd iterations from every (K / G)-th codeword.

    No group has more than `balance` K / G codewords: in the last assignment a codeword gets the
    nearest mean that has room. The iterations before it are free, since a bounded assignment of
    256 codewords costs as much as eight of those. Nothing is drawn: equal tables have equal
    groups. Codebooks are in no order, so codewords at equal steps are as good a start as a draw.
    """
    starts = torch.arange(num_groups, device=table_Kd.device) * len(table_Kd) // num_groups
    means_Gd = table_Kd[starts]
    for _ in range(ITERATIONS):
        groups_K = nearest(table_Kd, means_Gd)
        sums_Gd = torch.zeros_like(means_Gd).index_add_(0, groups_K, table_Kd)
        counts_G1 = torch.bincount(groups_K, minlength=num_groups)[:, None]
        means_Gd = torch.where(counts_G1 > 0, sums_Gd / counts_G1.clamp_min(1), means_Gd)
    if balance is None:
        return nearest(table_Kd, means_Gd)
    largest = largest_size(len(table_Kd), num_groups, balance)
    return bounded_nearest(table_Kd, means_Gd, largest)
