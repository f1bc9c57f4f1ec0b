"""How far an item lies from each codeword of the last level: what reassignment weighs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sidmint.semantic_ids import LastLevelDistances
from sidmint.tokenizers.base import Tokenizer
from sidmint.types import Floats, Ints


def last_level_distances(model: Tokenizer, vectors: Floats, codes: Ints) -> LastLevelDistances:
    """Squared distances of what the earlier levels left over to every last codeword.

    Rows that the function is asked for are rows of `vectors` (N, D) and `codes` (N, L).
    """
    import torch

    from sidmint.quantization.assignment import all_distances

    codebooks = model.codebooks()
    last = torch.from_numpy(codebooks.levels[-1])
    residuals = model.latent(vectors) - codebooks.decode(codes, codes.shape[1] - 1)

    def distances(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        return np.asarray(all_distances(torch.from_numpy(residuals[rows]), last).numpy())

    return distances
