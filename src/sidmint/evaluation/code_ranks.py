"""Search by the codes themselves (DRQ 5.5): by common prefix, counted; by equal codes, searched.

Shape letters: U queries, C rows of one block, L levels, P pairs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sidmint.evaluation.pool import Pool
from sidmint.evaluation.protocol import Cases
from sidmint.evaluation.ranking import Ranks
from sidmint.evaluation.search import Search
from sidmint.types import Ints


def rank_by_prefix(codes: Ints, cases: Cases) -> Ranks:
    """Exact ranks of targets by the length of the prefix in common with the query's codes.

    `codes` (N, L) are those of all items. Counted, not searched: with c_l items under the query's
    prefix of length l and m codes in common, c_(m+1) - 1 items are better and
    c_m - c_(m+1) - 1 tied (the query and the target taken out). O((N + T) L).
    """
    num_levels = codes.shape[1]
    common = common_prefix(codes[cases.queries], codes[cases.targets])
    under = np.empty((len(cases), num_levels + 2), dtype=np.int64)
    under[:, 0] = len(codes)
    under[:, -1] = 1  # the query alone agrees with itself beyond the last level
    prefix = np.zeros(len(codes), dtype=np.int64)
    for level in range(num_levels):
        # Ranks instead of products of sizes: they never outgrow an integer.
        step = prefix * (int(codes[:, level].max()) + 1) + codes[:, level]
        prefix = np.unique(step, return_inverse=True)[1]
        under[:, level + 1] = np.bincount(prefix)[prefix[cases.queries]]
    cases_range = np.arange(len(cases))
    longer = under[cases_range, common + 1]
    return Ranks(longer - 1, under[cases_range, common] - longer - 1)


def common_prefix(left: Ints, right: Ints) -> npt.NDArray[np.int64]:
    """Length of the prefix in common, row by row of two code tables (T, L)."""
    return np.asarray(np.logical_and.accumulate(left == right, axis=1).sum(axis=1))


class EqualCodesSearch(Search):
    """`Search` by the number of equal codes, for ids without a hierarchy; the pool holds codes.

    Codes and counts are small whole numbers, which float32 holds exactly: nothing is left open.
    """

    def __init__(self, pool: Pool, device: str = "auto") -> None:
        super().__init__(pool, lambda codes: codes.astype(np.float32), device)

    def block(self, queries_UD: Tensor, rows_CD: Tensor, out_UC: Tensor) -> None:
        """See `Search`."""
        equal_UC = torch.empty_like(out_UC)
        out_UC.zero_()
        for query_U, row_C in zip(queries_UD.T, rows_CD.T.contiguous(), strict=True):
            out_UC += torch.eq(query_U[:, None], row_C, out=equal_UC)

    def exact_pairs(self, left_PD: Tensor, right_PD: Tensor) -> Tensor:
        """See `Search`."""
        return (left_PD == right_PD).sum(dim=1).double()

    def exact_block(self, queries_UD: Tensor, rows_CD: Tensor) -> Tensor:
        """See `Search`."""
        scores_UC = torch.empty(len(queries_UD), len(rows_CD), device=rows_CD.device)
        self.block(queries_UD, rows_CD, scores_UC)
        return scores_UC.double()
