"""Vectors that a recommender has of the items: checked, and made no wider than the latent.

Shape letters: N items, c size of the given vectors, d latent size.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sidmint.errors import BadInput
from sidmint.types import Floats

LEAST_KNOWN = 2
"""Items with a vector: one alone has nothing to be told apart from."""


def collaborative_vectors(given: Floats | None, num_items: int, width: int, name: str) -> Tensor:
    """`given` (N, c) as float32 (N, min(c, d)), d being `width`; NaN for items without a vector.

    Vectors are centred, and of wider ones the first d principal directions are kept, which changes
    their dot products least. A row of `given` that is NaN throughout says that the item has no
    vector. Raises `BadInput` naming tokenizer `name` where none came, for another number of rows,
    for rows that are neither whole nor missing, and for fewer than two items with a vector.
    """
    if given is None:
        raise BadInput(
            f"tokenizer {name!r} aligns codes with collaborative vectors and got none; set "
            "embed.collaborative to a Parquet or .npy file of vectors by item id, as a recommender "
            f"has them, or take what needs them out of tokenizers.{name}.losses"
        )
    if given.ndim != 2 or len(given) != num_items:
        raise BadInput(
            f"collaborative vectors of shape {given.shape} for {num_items} items; tokenizer "
            f"{name!r} wants one row an item, NaN for an item without a vector"
        )
    missing_N = np.isnan(given).all(axis=1)
    bad = np.flatnonzero(~np.isfinite(given).all(axis=1) & ~missing_N)
    if len(bad):
        raise BadInput(
            f"the collaborative vector of row {int(bad[0])} holds NaN or infinity; mend the file"
        )
    if np.count_nonzero(~missing_N) < LEAST_KNOWN:
        raise BadInput(
            f"{np.count_nonzero(~missing_N)} of {num_items} items to fit have a collaborative "
            f"vector; tokenizer {name!r} wants {LEAST_KNOWN} and more: check the item ids of "
            "embed.collaborative"
        )
    known_Nc = torch.from_numpy(np.ascontiguousarray(given[~missing_N], dtype=np.float64))
    narrow = _narrowed(known_Nc - known_Nc.mean(dim=0), width).float()
    result = torch.full((num_items, narrow.shape[1]), torch.nan)
    result[torch.from_numpy(~missing_N)] = narrow
    return result


def _narrowed(centred_Nc: Tensor, width: int) -> Tensor:
    """Coordinates along the first principal directions, where there are more than `width`."""
    if centred_Nc.shape[1] <= width:
        return centred_Nc
    directions_cc = torch.linalg.eigh(centred_Nc.T @ centred_Nc)[1]
    narrow_Nd: Tensor = centred_Nc @ directions_cc[:, -width:].flip(1)
    return narrow_Nd
