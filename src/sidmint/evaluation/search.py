"""Every query against every row of the pool: how many score above the target, how many alike.

Shape letters: T cases, B cases of one block, U distinct queries among them, G rows of the pool,
C rows of one block, D values of a row, P pairs of rows.

A float32 product scores fast, but it rounds, and rounds differently with the shape of a block,
the processor and the device. So it only proposes: what lies above the target by more than
rounding can explain is counted at once, and the few rows within that bound are compared
exactly. A rank therefore depends on the pool and the case alone, and what ties, ties however
the work was cut up and wherever it ran.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sidmint.devices import resolve_device
from sidmint.evaluation.comparing import compare
from sidmint.evaluation.pool import Pool
from sidmint.evaluation.protocol import Cases
from sidmint.evaluation.ranking import Ranks
from sidmint.progress import Track, silent

BLOCKS = {"cpu": (512, 16384), "cuda": (4096, 16384)}
"""Cases and rows of a block: at most 32 MB of scores, 256 MB on a device."""

OPEN_SHARE = 1 / 128
"""With more of a block's scores open than this, one exact product is quicker than pairs."""

PAIR_VALUES = {"cpu": 1 << 15, "cuda": 1 << 24}
"""Values of a piece of exact pairs: 256 KB of float64 stay in the cache (3 times faster than
32 MB), 128 MB keep a device busy."""


class Search(ABC):
    """A pool made ready to be searched; of two scores the larger is the closer.

    Memory beyond the rows (G, D) float32 is bounded by one block. On a processor the products
    use torch's threads and the counting one.
    """

    error: float = 0.0
    """How far a score of `block` may lie from the exact one; 0 where it is exact."""

    def __init__(self, pool: Pool, rows: npt.NDArray[np.float32], device: str = "auto") -> None:
        self.device = resolve_device(device)
        self.row_of = pool.row_of
        self.rows_GD = torch.from_numpy(rows).to(self.device)
        self.multiplicity = np.bincount(pool.row_of, minlength=len(rows))

    @abstractmethod
    def block(self, queries_UD: Tensor, rows_CD: Tensor, out_UC: Tensor) -> None:
        """Put into `out_UC`, float32, the scores of all queries with all rows, within `error`."""

    @abstractmethod
    def exact_block(self, queries_UD: Tensor, rows_CD: Tensor) -> Tensor:
        """The exact scores (U, C) float64."""

    @abstractmethod
    def exact_pairs(self, left_PD: Tensor, right_PD: Tensor) -> Tensor:
        """The same for paired rows, (P,) float64."""

    def scores(self, cases: Cases) -> npt.NDArray[np.float64]:
        """Exact scores (T,) of queries with their targets."""
        return self._pairs(self.row_of[cases.queries], self.row_of[cases.targets])

    def rank(self, cases: Cases, track: Track = silent) -> Ranks:
        """Exact ranks of the targets among all items but the query. O(T G D) time."""
        order = np.argsort(self.row_of[cases.queries], kind="stable")  # equal queries in a block
        queries, targets = (self.row_of[side[order]] for side in (cases.queries, cases.targets))
        bars, own = self._pairs(queries, targets), self._pairs(queries, queries)
        counts = np.zeros((2, len(cases)), dtype=np.int64)
        height, width = BLOCKS[self.device.type]
        scratch = torch.empty(height * min(width, len(self.rows_GD)), device=self.device)
        starts = range(0, len(cases), height)
        for start in track(starts, "searching", len(starts)):
            block = slice(start, start + height)
            self._count(queries[block], bars[block], counts[:, block], scratch)
        # The query is taken out of both counts, the target out of the ties.
        counts[0] -= own > bars
        counts[1] -= 1 + (own == bars)
        by_case = np.empty_like(counts)
        by_case[:, order] = counts
        return Ranks(by_case[0], by_case[1])

    def _count(
        self,
        queries: npt.NDArray[np.int64],
        bars: npt.NDArray[np.float64],
        counts: npt.NDArray[np.int64],
        scratch: Tensor,
    ) -> None:
        """Add to `counts` (2, B) the items that score above each bar, and those at it."""
        queries_U, query_of = np.unique(queries, return_inverse=True)
        queries_UD = self.rows_GD[torch.from_numpy(queries_U).to(self.device)]
        low, high = bars - self.error, bars + self.error
        width = BLOCKS[self.device.type][1]
        for start in range(0, len(self.rows_GD), width):
            rows_CD = self.rows_GD[start : start + width]
            multiplicity = self.multiplicity[start : start + width]
            scores_UC = scratch[: len(queries_U) * len(rows_CD)].view(len(queries_U), -1)
            self.block(queries_UD, rows_CD, scores_UC)
            found = compare(scores_UC, query_of, low, high, multiplicity, places=self.error > 0)
            if len(found.rows) > OPEN_SHARE * len(bars) * len(rows_CD):
                exact_UC = self.exact_block(queries_UD, rows_CD)
                found = compare(exact_UC, query_of, bars, bars, multiplicity)
            counts[0] += found.num_above
            if len(found.rows) == 0:
                counts[1] += found.num_between
                continue
            gaps = self._pairs(queries[found.cases], start + found.rows) - bars[found.cases]
            for side, claim in zip(counts, (gaps > 0, gaps == 0), strict=True):
                np.add.at(side, found.cases[claim], multiplicity[found.rows[claim]])

    def _pairs(
        self, left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """`exact_pairs` of the rows with these numbers, in bounded pieces."""
        scores = np.empty(len(left))
        piece = max(1, PAIR_VALUES[self.device.type] // self.rows_GD.shape[1])
        for start in range(0, len(left), piece):
            left_PD, right_PD = (
                self.rows_GD[torch.from_numpy(side[start : start + piece]).to(self.device)]
                for side in (left, right)
            )
            scores[start : start + piece] = self.exact_pairs(left_PD, right_PD).cpu().numpy()
        return scores
