"""The highest of each row, with ties decided: equal scores go to the lower place.

Items stand in the order of their Semantic IDs, so a lower place is a smaller id. `topk` leaves
open which of several equal values it takes: rows where that matters are sorted in full.
"""

from __future__ import annotations

import torch
from torch import Tensor


def top_places(scores_BX: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Places (B, k) of the `k` highest scores of each row, rising, and their scores.

    All places where a row has no more than `k`. -inf is no candidate: which of them fill the
    end of a row is left open.
    """
    if scores_BX.shape[1] <= k:
        places = torch.arange(scores_BX.shape[1], device=scores_BX.device)
        return places.expand(scores_BX.shape), scores_BX
    values, places = scores_BX.topk(k, dim=1)
    floor = values[:, -1:]
    is_open = ((scores_BX >= floor).sum(dim=1) > k) & ~torch.isneginf(floor[:, 0])
    if bool(is_open.any()):
        ordered = scores_BX[is_open].argsort(dim=1, descending=True, stable=True)
        places[is_open] = ordered[:, :k]
    places = places.sort(dim=1).values
    return places, scores_BX.gather(1, places)


def top_ranked(scores_BX: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """`top_places` with the highest score first."""
    return ranked(*top_places(scores_BX, k))


def ranked(places_BX: Tensor, scores_BX: Tensor) -> tuple[Tensor, Tensor]:
    """Places that rise, and their scores, by falling score; equal scores keep their order."""
    order = scores_BX.argsort(dim=1, descending=True, stable=True)
    return places_BX.gather(1, order), scores_BX.gather(1, order)
