"""Item-to-item retrieval (DRQ 5.5): whether ids keep the neighbours that vectors have.

The searches are imported where they begin: they need torch, and most of what reads this package
(the gate, the report) searches nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sidmint.errors import BadInput
from sidmint.evaluation.pool import Pool
from sidmint.evaluation.protocol import Cases
from sidmint.evaluation.ranking import Ranks, area_under_curve, hit_rate, random_hit_rate, retention
from sidmint.progress import Track, silent
from sidmint.rows import Rows
from sidmint.types import Floats, Ints

if TYPE_CHECKING:
    from sidmint.evaluation.cosines import CosineSearch


@dataclass(frozen=True)
class ItemToItem:
    """Ranks of all cases in three spaces, and the AUCs over the same pairs."""

    num_items: int
    original: Ranks
    reconstructed: Ranks
    prefix: Ranks
    auc_embedding: float
    """By cosine of reconstructed vectors."""
    auc_prefix: float
    """By weighted common codes; see `weighted_match`."""
    auc_exact: float
    """By equality of all codes: 0.5 where every item has a code of its own."""

    def hit_rates(self, cutoff: int) -> dict[str, float]:
        """HR@cutoff by space: original, reconstructed, prefix and random."""
        return {
            "original": hit_rate(self.original, cutoff),
            "reconstructed": hit_rate(self.reconstructed, cutoff),
            "prefix": hit_rate(self.prefix, cutoff),
            "random": random_hit_rate(self.num_items, cutoff),
        }

    def retention(self, cutoff: int) -> float:
        """`ranking.retention` at `cutoff`."""
        rates = self.hit_rates(cutoff)
        return retention(rates["reconstructed"], rates["original"], rates["random"])


def item_to_item(
    vectors: Rows,
    codes: Ints,
    reconstruct: Callable[[Ints], Floats],
    cases: Cases,
    negatives: Cases,
    hierarchical: bool = True,
    track: Track = silent,
    device: str = "auto",
) -> ItemToItem:
    """`ItemToItem` of a catalogue with `vectors` (N, D) and `codes` (N, L).

    `vectors` may lie in a file. `reconstruct` turns codes (G, L) into vectors (G, D) and is called
    with the distinct codes, all at once where their vectors can be held. `codes` are the published
    ones, without the suffix that tells a bucket apart. Hierarchical ids are matched by their common
    prefix, others by the number of equal codes.
    `negatives` repeat the queries of `cases` with unrelated targets (`random_negatives`).
    Ranks are exact, over all N items, and the same on every `device` (auto, cpu, cuda, cuda:N;
    auto is CUDA where there is one). Time O(T N D); memory beyond the arguments is bounded by
    that of `Search` and some 100 bytes an item.
    """
    from sidmint.evaluation.code_ranks import EqualCodesSearch, rank_by_prefix
    from sidmint.evaluation.cosines import CosineSearch

    if len(cases) == 0:
        raise BadInput(
            "no test case: no two neighbouring events of a user end in a held-out one; lower "
            "ingest.min_interactions, or give interactions in which users have several events"
        )
    by_code = Pool.of(codes)
    reconstructed = CosineSearch(by_code.through(reconstruct), device)
    match = Matches(codes, reconstructed, hierarchical)
    auc_embedding, auc_prefix, auc_exact = (
        area_under_curve(score(cases), score(negatives))
        for score in (match.cosine, match.weighted, match.exact)
    )
    return ItemToItem(
        num_items=len(vectors),
        original=CosineSearch(Pool.of_rows(vectors), device).rank(cases, track),
        reconstructed=reconstructed.rank(cases, track),
        prefix=(
            rank_by_prefix(codes, cases)
            if hierarchical
            else EqualCodesSearch(by_code, device).rank(cases, track)
        ),
        auc_embedding=auc_embedding,
        auc_prefix=auc_prefix,
        auc_exact=auc_exact,
    )


@dataclass(frozen=True)
class Matches:
    """Scores (T,) of single pairs, for the AUCs."""

    codes: Ints
    reconstructed: CosineSearch
    hierarchical: bool

    def cosine(self, cases: Cases) -> npt.NDArray[np.float64]:
        """Cosine of the reconstructed vectors."""
        return self.reconstructed.scores(cases)

    def weighted(self, cases: Cases) -> npt.NDArray[np.float64]:
        """Sum of 2^-(l-1) over the levels of the common prefix (our reading of DRQ 5.5).

        For ids without a hierarchy, where no code outranks another: the number of equal codes.
        """
        from sidmint.evaluation.code_ranks import common_prefix

        left, right = self.codes[cases.queries], self.codes[cases.targets]
        if not self.hierarchical:
            return np.asarray((left == right).sum(axis=1), dtype=np.float64)
        return np.asarray(2 - 2.0 ** (1 - common_prefix(left, right)), dtype=np.float64)

    def exact(self, cases: Cases) -> npt.NDArray[np.float64]:
        """1 where all codes are equal, else 0."""
        equal = self.codes[cases.queries] == self.codes[cases.targets]
        return np.asarray(equal.all(axis=1), dtype=np.float64)
