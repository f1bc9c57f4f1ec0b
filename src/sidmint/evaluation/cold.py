"""Where new items land among codes that a recommender has already learned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidmint.errors import BadInput
from sidmint.types import Ints


@dataclass(frozen=True)
class ColdReach:
    """One entry a cold item, in the order of rows.

    `covered` (C,): every code of the item is used, at its level, by a warm item too, so a
    recommender trained on warm items has met each of its tokens. `warm_neighbours` (L, C):
    warm items that share the item's prefix of length 1 .. L; the last row is the bucket it joins.
    """

    covered: npt.NDArray[np.bool_]
    warm_neighbours: npt.NDArray[np.int64]

    @property
    def coverage(self) -> float:
        """Share of cold items that are covered."""
        return float(self.covered.mean())

    @property
    def new_id_share(self) -> float:
        """Share of cold items whose whole code no warm item has."""
        return self.new_prefix_share(len(self.warm_neighbours))

    def new_prefix_share(self, length: int) -> float:
        """Share of cold items whose first `length` codes no warm item has."""
        return float((self.warm_neighbours[length - 1] == 0).mean())


def cold_reach(codes: Ints, cold: npt.NDArray[np.bool_]) -> ColdReach:
    """`ColdReach` of the items marked `cold` (N,) in a code table (N, L)."""
    if not cold.any() or cold.all():
        raise BadInput(
            f"cold reach wants cold and warm items, got {cold.sum()} cold of {len(cold)}; set "
            "ingest.cold_share between 0 and 1"
        )
    covered = np.ones(int(cold.sum()), dtype=np.bool_)
    neighbours = np.empty((codes.shape[1], len(covered)), dtype=np.int64)
    prefix = np.zeros(len(codes), dtype=np.int64)
    for level in range(codes.shape[1]):
        column = codes[:, level].astype(np.int64)
        covered &= np.isin(column[cold], column[~cold])
        prefix = np.unique(prefix * (column.max() + 1) + column, return_inverse=True)[1]
        warm_counts = np.bincount(prefix[~cold], minlength=int(prefix.max()) + 1)
        neighbours[level] = warm_counts[prefix[cold]]
    return ColdReach(covered, neighbours)
