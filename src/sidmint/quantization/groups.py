"""Codewords in groups of like norm, so that few of a coarse product's scores need a look.

Shape letters: B points of one block, K codewords, d their size, G groups of M codewords,
P (point, group) or (point, code) pairs.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sidmint.quantization.products import Kind, float32_error

MEMBERS = 32
"""Codewords a group: one pass leaves a 32nd of the scores to look at again."""

OPEN_GROUPS = 16
"""With more than these left open a point, the product is too coarse for the block."""


class Groups:
    """Codewords sorted by norm and dealt into groups, with a coarse product over them.

    Half norms hardly differ within a group, so its best product bounds its best score, and
    only groups that may hold the winner are looked into. Of equal codewords only the one of
    the lowest code can win: the others are left out. Products and norms are those of the
    moved codewords, which may be equal where the codewords themselves are not.
    """

    def __init__(
        self, codewords_Kd: Tensor, moved_Kd: Tensor, half_norms_K: Tensor, kind: Kind
    ) -> None:
        codes_K = half_norms_K.argsort(stable=True)
        codes_K = codes_K[_first_of_equals(codewords_Kd[codes_K])]
        missing = -len(codes_K) % MEMBERS
        codes_K = torch.cat([codes_K, codes_K[-1:].expand(missing)])  # repeats do no harm
        self.codes_GM = codes_K.view(-1, MEMBERS)
        self.half_norms_GM = half_norms_K[self.codes_GM]
        self.lowest_G, self.highest_G = self.half_norms_GM[:, 0], self.half_norms_GM[:, -1]
        self.floor_G = self.highest_G * float32_error(codewords_Kd.shape[1])
        self.product = kind(moved_Kd[self.codes_GM.T.reshape(-1)], len(self.codes_GM))

    def possible(self, points_Bd: Tensor, doubts_B: Tensor) -> tuple[Tensor, Tensor] | None:
        """The codewords that may be nearest, as (row, code) pairs by row.

        `doubts_B` bounds what else than the product a score may be off by. None where the
        product is too coarse to leave but a few open.
        """
        product, proposal = self.product, self.product(points_Bd)
        products_BMG = proposal.products_BK.view(len(points_Bd), MEMBERS, -1)
        most_BG = products_BMG.amax(dim=1) * proposal.scales_B1
        most_BG *= product.scales_G
        errors_BG = torch.addmm(self.floor_G, proposal.left_B2, product.right_2G)
        errors_BG += doubts_B[:, None]
        limit_B1 = (self.highest_G - most_BG).add_(errors_BG).amin(dim=1, keepdim=True)
        closed_BG = (self.lowest_G - most_BG).sub_(errors_BG) > limit_B1
        rows_P, groups_P = where(closed_BG.logical_not_())
        if len(rows_P) > OPEN_GROUPS * len(points_Bd):
            return None
        scales_P = proposal.scales_B1[rows_P, 0] * product.scales_G[groups_P]
        products_PM = products_BMG[rows_P, :, groups_P] * scales_P[:, None]
        scores_PM = self.half_norms_GM[groups_P].sub_(products_PM)
        open_PM = possible(rows_P, scores_PM, errors_BG[rows_P, groups_P], len(points_Bd))
        pairs_P, members_P = where(open_PM)
        return rows_P[pairs_P], self.codes_GM[groups_P[pairs_P], members_P]


def _first_of_equals(codewords_Kd: Tensor) -> Tensor:
    """Which rows (K,) differ from the row before."""
    first_K = torch.ones(len(codewords_Kd), dtype=torch.bool, device=codewords_Kd.device)
    first_K[1:] = (codewords_Kd[1:] != codewords_Kd[:-1]).any(dim=1)
    return first_K


def possible(rows_P: Tensor, scores_PM: Tensor, errors_P: Tensor, num_rows: int) -> Tensor:
    """Which scores (P, M) may be the lowest of their row, each known to within its error.

    What cannot be compared, because something was not a number, stays possible.
    """
    limit_B = scores_PM.new_full((num_rows,), torch.inf)
    limit_B.scatter_reduce_(0, rows_P, scores_PM.amin(dim=1) + errors_P, "amin")
    return (scores_PM > (limit_B[rows_P] + errors_P)[:, None]).logical_not_()


def where(claim_BG: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns (P,) at which a claim holds, row by row; numpy is 3 times faster."""
    if claim_BG.device.type != "cpu":
        rows_P, columns_P = claim_BG.nonzero().unbind(dim=1)
        return rows_P, columns_P
    rows, columns = np.divmod(np.flatnonzero(claim_BG.numpy()), claim_BG.shape[1])
    return torch.from_numpy(rows), torch.from_numpy(columns)
