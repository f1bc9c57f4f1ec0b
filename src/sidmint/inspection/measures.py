"""Every figure that a table, its vectors and its log allow, by the names of the metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sidmint.inspection.by_codes import measure_codes, measure_ids
from sidmint.inspection.by_vectors import measure_vectors
from sidmint.inspection.figures import Figures
from sidmint.inspection.implied import implied_codebooks
from sidmint.inspection.layout import CodeTable
from sidmint.params import Params
from sidmint.progress import Track, silent
from sidmint.types import Floats, Pairs

if TYPE_CHECKING:
    from sidmint.inspection.behaviour import Behaviour


def measure(
    table: CodeTable,
    vectors: Floats | None,
    behaviour: Behaviour | None,
    params: Params,
    track: Track = silent,
) -> Figures:
    """`Figures` of `table`; `vectors` (N, D) and `behaviour` may be missing.

    Settings (noise, cosine of near-duplicates, cutoffs, negatives, seed) are those of `params`.
    """
    figures = Figures()
    codes = table.codes.values
    measure_codes(table, figures)
    measure_ids(table, figures)
    implied = None if vectors is None else implied_codebooks(vectors, codes, track)
    if vectors is not None and implied is not None:
        pairs = _no_pairs() if behaviour is None else behaviour.pairs
        measure_vectors(table, vectors, implied, pairs, params, figures, track)
    if behaviour is not None:
        from sidmint.inspection.by_behaviour import measure_behaviour

        measure_behaviour(codes, vectors, implied, behaviour.cases, params, figures, track)
    return figures


def _no_pairs() -> Pairs:
    none = np.empty(0, dtype=np.int32)
    return Pairs(none, none, np.empty(0, dtype=np.float32))
