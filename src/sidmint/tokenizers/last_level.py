"""How far an item lies from each codeword of the last level: what reassignment weighs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sidmint.rows import Rows, rows_made
from sidmint.semantic_ids import LastLevelDistances
from sidmint.tokenizers.base import Tokenizer
from sidmint.types import Ints


def last_level_distances(model: Tokenizer, vectors: Rows, codes: Ints) -> LastLevelDistances:
    """Squared distances of what the earlier levels left over to every last codeword.

    Rows that the function is asked for are rows of `vectors` (N, D), which may stay in a file, and
    of `codes` (N, L).
    """
    import torch

    from sidmint.quantization.assignment import all_distances

    codebooks = model.codebooks()
    last = torch.from_numpy(codebooks.levels[-1])
    latent = rows_made(vectors, model.latent)

    def distances(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        residuals = latent[rows] - codebooks.decode(codes[rows], codes.shape[1] - 1)
        return np.asarray(all_distances(torch.from_numpy(residuals), last).numpy())

    return distances
