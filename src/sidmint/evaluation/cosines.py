"""Search by cosine, exactly: unit vectors on a grid on which scalar products do not round.

Shape letters: U queries, C rows of one block, G rows of the pool, D their size, P pairs.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sidmint.errors import BadInput
from sidmint.evaluation.pool import Pool
from sidmint.evaluation.search import Search
from sidmint.quantization.assignment import VALUES_IN_FLIGHT, pair_distances
from sidmint.quantization.products import float32_error
from sidmint.types import Floats

GRID = 2.0**24
"""Steps of the grid to the unit: whole numbers up to this are float32's."""


class CosineSearch(Search):
    """`Search` by the cosine of rows (G, D), as their `directions` have it."""

    def __init__(self, pool: Pool, device: str = "auto") -> None:
        super().__init__(pool, directions, device)
        self.error = float32_error(self.rows.shape[1])

    def block(self, queries_UD: Tensor, rows_CD: Tensor, out_UC: Tensor) -> None:
        """See `Search`."""
        torch.mm(queries_UD, rows_CD.T, out=out_UC)

    def exact_pairs(self, left_PD: Tensor, right_PD: Tensor) -> Tensor:
        """See `Search`."""
        return (left_PD.double() * right_PD.double()).sum(dim=1)

    def exact_block(self, queries_UD: Tensor, rows_CD: Tensor) -> Tensor:
        """See `Search`."""
        return queries_UD.double() @ rows_CD.double().T


def directions(vectors: Floats) -> Floats:
    """Unit vectors (N, D) float32, each value rounded to a multiple of 2^-24; zero stays zero.

    A scalar product of two such rows is a multiple of 2^-48, and so is any sum of its terms,
    which is below 2 (Cauchy-Schwarz): float64 holds it without rounding, in whatever order it
    is summed. The grid moves a cosine by about 2e-8, less than a float32 product would.
    Raises `BadInput` for NaN and infinity.
    """
    unit = np.empty(vectors.shape, dtype=np.float32)
    piece = max(1, VALUES_IN_FLIGHT // vectors.shape[1])
    for start in range(0, len(vectors), piece):
        rows_BD = torch.from_numpy(vectors[start : start + piece].astype(np.float32))
        norms_B1 = pair_distances(rows_BD, torch.zeros_like(rows_BD)).sqrt_()[:, None]
        if not norms_B1.isfinite().all():
            raise BadInput(
                "cosines want finite vectors and one holds NaN or infinity; mend the embeddings, "
                "or train the tokenizer again where its reconstruction does"
            )
        norms_B1[norms_B1 == 0] = 1
        steps_BD = (rows_BD.double() / norms_B1).mul_(GRID).round_()
        unit[start : start + piece] = steps_BD.div_(GRID).numpy()
    return unit
