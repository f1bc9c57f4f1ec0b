"""Ranks with ties, and the numbers made of them. Row order never decides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidmint.errors import BadInput


@dataclass(frozen=True)
class Ranks:
    """Where targets stand: `num_better` (T,) items score higher, `num_tied` (T,) others alike.

    The query is in neither count, the target not in `num_tied`.
    """

    num_better: npt.NDArray[np.int64]
    num_tied: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.num_better)

    def where(self, chosen: npt.NDArray[np.bool_]) -> Ranks:
        """Ranks of some of the cases."""
        return Ranks(self.num_better[chosen], self.num_tied[chosen])


def expected_hits(ranks: Ranks, cutoff: int) -> npt.NDArray[np.float64]:
    """Chance (T,) that each target is among the first `cutoff` when ties are ordered at random.

    With g better items and t others tied, the target takes each of the places g+1 .. g+1+t with
    the same chance: clip((cutoff - g) / (t + 1), 0, 1).
    """
    places = (cutoff - ranks.num_better) / (ranks.num_tied + 1)
    return np.clip(places, 0.0, 1.0)


def hit_rate(ranks: Ranks, cutoff: int) -> float:
    """HR@cutoff: the mean of `expected_hits`. Raises `BadInput` where there are no cases."""
    if len(ranks) == 0:
        raise BadInput(
            "a hit rate wants test cases and there are none; lower ingest.min_interactions, or "
            "give interactions in which users have several events"
        )
    return float(expected_hits(ranks, cutoff).mean())


def random_hit_rate(num_items: int, cutoff: int) -> float:
    """HR@cutoff of a random ranking of the pool without the query: cutoff / (N - 1), exactly."""
    if not 1 <= cutoff < num_items - 1:
        raise BadInput(
            f"a cutoff of {cutoff} does not fit {num_items} items: any ranking of the "
            f"{num_items - 1} others hits; keep evaluate.cutoffs between 1 and {num_items - 2}"
        )
    return cutoff / (num_items - 1)


def retention(reconstructed: float, original: float, random: float) -> float:
    """Share of the gain over chance that ids keep: (reconstructed - random) / (original - random).

    Our reading of DRQ 5.5. Values above 1 are possible (the paper prints 1.0045). Raises
    `BadInput` where the original vectors are no better than chance: there is nothing to keep.
    """
    if not original > random:
        raise BadInput(
            f"retention wants original vectors better than chance, got hit rates {original:.4f} "
            f"and {random:.4f}; choose another embed.encoder or embed.template, or smaller "
            "evaluate.cutoffs"
        )
    return (reconstructed - random) / (original - random)


def area_under_curve(
    positives: npt.NDArray[np.floating], negatives: npt.NDArray[np.floating]
) -> float:
    """AUC: chance that a random positive scores above a random negative, ties counting one half."""
    if len(positives) == 0 or len(negatives) == 0:
        raise BadInput(
            f"an AUC wants scores on both sides, got {len(positives)} positives and "
            f"{len(negatives)} negatives"
        )
    ordered = np.sort(negatives)
    below = np.searchsorted(ordered, positives, side="left")
    not_above = np.searchsorted(ordered, positives, side="right")
    return float((below + not_above).mean() / 2 / len(negatives))
