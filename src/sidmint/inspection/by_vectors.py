"""Figures that vectors allow: conflicts, geometry, and by implied codebooks errors and overlap.

The vectors take the place of the latent space too: the noise of the overlap rate is scaled by
their variance, and errors are those of the space they come from.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from sidmint.diagnostics import (
    duplicate_floor,
    geometry,
    latent_variance,
    overlap,
    qualified_collisions,
    reconstruction,
)
from sidmint.diagnostics.diagnosis import QUOTED_KAPPA
from sidmint.diagnostics.reconstruction import Reconstruction, total
from sidmint.errors import BadInput
from sidmint.inspection.figures import Figures
from sidmint.inspection.implied import ImpliedCodebooks
from sidmint.inspection.layout import CodeTable
from sidmint.params import Params
from sidmint.progress import Track
from sidmint.seeds import generator_for
from sidmint.types import Floats, Ints, Pairs

MOST_OVERLAPPING = 2**16
"""Codes in use at a level up to which the overlap rate, a sum over pairs of them, is formed."""
_BETTER_THAN_CHANCE = 1.5
"""Less than so many times what random codes explain: codes and vectors hardly belong together."""
_ROWS = 65_536
"""Items reconstructed at once."""


def measure_vectors(
    table: CodeTable,
    vectors: Floats,
    implied: ImpliedCodebooks,
    pairs: Pairs,
    params: Params,
    figures: Figures,
    track: Track,
) -> None:
    """Add to `figures` what `vectors` (N, D) say of the codes; `pairs` (may be none) are benign."""
    _add_conflicts(table, vectors, pairs, params, figures, track)
    _add_geometry(vectors, params, figures)
    _add_reconstruction(table.codes.values, vectors, implied, figures, track)
    _add_overlap(table, vectors, implied, figures, track)


def _add_conflicts(
    table: CodeTable,
    vectors: Floats,
    pairs: Pairs,
    params: Params,
    figures: Figures,
    track: Track,
) -> None:
    cosine = params.diagnose.near_duplicate_cosine
    figures.qualified = qualified_collisions(table.codes.values, vectors, pairs, cosine, track)
    figures.metrics |= {
        "conflict_rate": figures.qualified.conflict_rate,
        "benign_pair_share": figures.qualified.benign_pair_share,
        "duplicate_floor": duplicate_floor(vectors),
    }


def _add_geometry(vectors: Floats, params: Params, figures: Figures) -> None:
    size = min(params.diagnose.geometry_sample, len(vectors))
    generator = generator_for(params.seed, "diagnose", "geometry")
    try:
        cloud = geometry(vectors[np.sort(generator.choice(len(vectors), size, replace=False))])
    except BadInput as error:
        names = ("effective_rank", "participation_ratio", "top_eigenvalue_share")
        for name in (*names, "dimension_correlation"):
            figures.unmeasured[f"{name}_raw"] = str(error)
        return
    figures.metrics |= {
        "effective_rank_raw": cloud.effective_rank,
        "participation_ratio_raw": cloud.participation_ratio,
        "top_eigenvalue_share_raw": cloud.top_eigenvalue_share,
        "dimension_correlation_raw": cloud.dimension_correlation,
    }


def _add_reconstruction(
    codes: Ints, vectors: Floats, implied: ImpliedCodebooks, figures: Figures, track: Track
) -> None:
    mean = vectors.mean(axis=0, dtype=np.float64)
    levels = track(range(1, codes.shape[1] + 1), "reconstructing")
    errors = [total(_errors(codes, vectors, implied, level, mean)) for level in levels]
    figures.metrics |= {
        "reconstruction_mse": errors[-1].mse,
        "relative_mse": errors[-1].relative_mse,
        "reconstruction_cosine": errors[-1].cosine,
    }
    figures.levels |= {
        "relative_mse": [error.relative_mse for error in errors],
        "cosine": [error.cosine for error in errors],
    }
    explained = 1 - errors[0].relative_mse
    by_chance = (len(implied.used[0]) - 1) / (len(codes) - 1)
    if explained < _BETTER_THAN_CHANCE * by_chance < 1:
        figures.notes.append(
            f"the first codes explain {explained:.1%} of the variance of the vectors, random ones "
            f"{by_chance:.1%}: do these vectors belong to these items, in this order?"
        )


def _errors(
    codes: Ints,
    vectors: Floats,
    implied: ImpliedCodebooks,
    num_levels: int,
    mean: npt.NDArray[np.float64],
) -> Iterator[Reconstruction]:
    for start in range(0, len(codes), _ROWS):
        rows = slice(start, start + _ROWS)
        yield reconstruction(vectors[rows], implied.reconstruct(codes[rows], num_levels), mean)


def _add_overlap(
    table: CodeTable, vectors: Floats, implied: ImpliedCodebooks, figures: Figures, track: Track
) -> None:
    sigma = float(np.sqrt(QUOTED_KAPPA * latent_variance(vectors)))
    values = table.codes.values
    for level in track(range(1, values.shape[1] + 1), "overlap"):
        used = implied.used[level - 1]
        names = f"overlap_rate_{level}", f"effective_codebook_size_{level}"
        if len(used) > MOST_OVERLAPPING:
            reason = (
                f"{len(used):,} codes in use; pairs of up to {MOST_OVERLAPPING:,} are looked at"
            )
            figures.unmeasured |= dict.fromkeys(names, reason)
            continue
        prior = np.bincount(np.searchsorted(used, values[:, level - 1])) / len(values)
        (found,) = overlap(implied.books.levels[level - 1], prior, (sigma,))
        figures.metrics[names[0]] = found.overlap_rate
        figures.metrics[names[1]] = found.effective_codebook_size
