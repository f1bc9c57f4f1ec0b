"""Who wins and who loses: items by popularity, and the cases that look for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidmint.errors import BadInput
from sidmint.evaluation.ranking import Ranks, hit_rate, random_hit_rate, retention

SEGMENTS = ("head", "torso", "tail", "cold")
"""In the order of the numbers that `assign_segments` gives."""


@dataclass(frozen=True)
class SegmentScore:
    """One segment. `figures` maps hr_original_at_K, hr_at_K and retention_at_K to their values.

    A figure that is not defined is not there: without a case there is no hit rate; where
    original vectors are no better than chance over the segment's cases, there is no retention.
    """

    segment: str
    num_items: int
    num_cases: int
    figures: Mapping[str, float]


def assign_segments(
    num_train: npt.NDArray[np.integer],
    cold: npt.NDArray[np.bool_],
    head_share: float,
    torso_share: float,
) -> npt.NDArray[np.int8]:
    """Segment (N,) of each item, as an index into `SEGMENTS`.

    Warm items by falling `num_train`, ties in row order (items are sorted by id): the first
    round(head_share * W) of the W warm items are head, up to round((head_share + torso_share) * W)
    torso, the rest tail. Items withheld from training are cold whatever their popularity.
    """
    if head_share + torso_share > 1:
        raise BadInput(
            f"segments.head_share {head_share} and segments.torso_share {torso_share} are more "
            "than all items together; lower one of them"
        )
    warm = np.flatnonzero(~cold)
    warm = warm[np.argsort(-num_train[warm].astype(np.int64), kind="stable")]
    head, torso = round(head_share * len(warm)), round((head_share + torso_share) * len(warm))
    segment_of = np.full(len(cold), SEGMENTS.index("cold"), dtype=np.int8)
    for name, members in zip(SEGMENTS, np.split(warm, [head, torso]), strict=False):
        segment_of[members] = SEGMENTS.index(name)
    return segment_of


def segments_by_count(
    num_train: npt.NDArray[np.integer], cold: npt.NDArray[np.bool_], bounds: tuple[int, int]
) -> npt.NDArray[np.int8]:
    """The same by training events: fewer than `bounds[0]` tail, than `bounds[1]` torso, else head.

    What companies do with views ("cold" below 100, below 600); an item withheld from training
    is cold here whatever its count.
    """
    segment_of = np.full(len(cold), SEGMENTS.index("head"), dtype=np.int8)
    segment_of[num_train < bounds[1]] = SEGMENTS.index("torso")
    segment_of[num_train < bounds[0]] = SEGMENTS.index("tail")
    segment_of[cold] = SEGMENTS.index("cold")
    return segment_of


def score_segments(
    segment_of: npt.NDArray[np.int8],
    targets: npt.NDArray[np.integer],
    original: Ranks,
    reconstructed: Ranks,
    cutoffs: Sequence[int],
) -> tuple[SegmentScore, ...]:
    """`SegmentScore` of each segment: a case belongs to the segment of its target.

    Chance is that of the whole catalogue, which every case is searched in.
    """
    return tuple(
        _score(
            name,
            int(np.count_nonzero(segment_of == index)),
            original.where(segment_of[targets] == index),
            reconstructed.where(segment_of[targets] == index),
            {cutoff: random_hit_rate(len(segment_of), cutoff) for cutoff in cutoffs},
        )
        for index, name in enumerate(SEGMENTS)
    )


def _score(
    name: str, num_items: int, original: Ranks, reconstructed: Ranks, chance: Mapping[int, float]
) -> SegmentScore:
    figures = {}
    for cutoff, random in chance.items() if len(original) else ():
        of_vectors, of_ids = hit_rate(original, cutoff), hit_rate(reconstructed, cutoff)
        figures[f"hr_original_at_{cutoff}"] = of_vectors
        figures[f"hr_at_{cutoff}"] = of_ids
        if of_vectors > random:
            figures[f"retention_at_{cutoff}"] = retention(of_ids, of_vectors, random)
    return SegmentScore(name, num_items, len(original), figures)
