"""Every figure of DRQ's Tables 1-5 of one fitted tokenizer, by the names of `drq_printed`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from sidmint.diagnostics import (
    collisions,
    geometry,
    latent_variance,
    overlap,
    reconstruction,
    utilization,
)
from sidmint.diagnostics.reconstruction import total
from sidmint.errors import BadInput
from sidmint.evaluation import Cases, ItemToItem, item_to_item
from sidmint.tokenizers import Tokenizer
from sidmint.tokenizers.decoupled import DecoupledTokenizer
from sidmint.tokenizers.encoders import Autoencoder
from sidmint.types import Codebooks, Floats, Ints

MEASURES_VERSION = 1
"""Raise it when a figure changes: rows measured before are then measured again."""

KAPPAS = (0.1, 0.25, 0.5, 1.0, 2.0)
QUOTED_KAPPA = 1.0
CUTOFFS = (20, 50, 100, 200)
ROWS = 65_536
"""Items reconstructed at once."""


def figures(
    tokenizer: Tokenizer, vectors: Floats, cases: Cases, negatives: Cases, sample: Ints
) -> dict[str, float]:
    """All figures over all items; geometry over the rows in `sample`."""
    latent, codes = tokenizer.latent(vectors), tokenizer.encode(vectors)
    codebooks = tokenizer.codebooks()
    found = geometry_figures(raw=vectors[sample], latent=latent[sample])
    found |= geometry_figures(quantized=codebooks.decode(codes[sample]))
    found |= code_figures(codes, codebooks, latent_variance(latent))
    found |= error_figures(vectors, lambda rows: tokenizer.reconstruct(codes[rows]))
    retrieved = item_to_item(
        vectors, codes, tokenizer.reconstruct, cases, negatives, tokenizer.hierarchical
    )
    found |= retrieval_figures(retrieved)
    if isinstance(tokenizer, DecoupledTokenizer):
        unquantized = unquantized_figures(tokenizer, vectors, latent, cases, negatives)
        found |= {f"{name}_unquantized": value for name, value in unquantized.items()}
    return found


def geometry_figures(**spaces: Floats) -> dict[str, float]:
    """Table 1, a set of figures for each space in which vectors differ."""
    found = {}
    for space, points in spaces.items():
        try:
            cloud = geometry(points)
        except BadInput:
            continue  # all coincide: a collapsed tokenizer, which its other figures tell
        found[f"participation_ratio_{space}"] = cloud.participation_ratio
        found[f"effective_rank_{space}"] = cloud.effective_rank
        found[f"top_eigenvalue_share_{space}"] = cloud.top_eigenvalue_share
        found[f"dimension_cosine_{space}"] = dimension_cosine(points)
        found[f"dimension_correlation_{space}"] = cloud.dimension_correlation
    return found


def dimension_cosine(vectors: Floats) -> float:
    """Mean absolute cosine over all pairs of dimensions of `vectors` (n, D) as they are.

    `Geometry.dimension_correlation` centres them first; here a common mean counts as likeness.
    A dimension that is zero throughout has no direction, so its pairs are left out.
    """
    columns = vectors.astype(np.float64)
    lengths = np.linalg.norm(columns, axis=0)
    columns = columns[:, lengths > 0] / lengths[lengths > 0]
    cosines = np.abs(columns.T @ columns)
    return float(cosines[np.triu_indices(len(cosines), k=1)].mean())


def code_figures(codes: Ints, codebooks: Codebooks, variance: float) -> dict[str, float]:
    """Tables 2 and 3 and the collisions, of codes (N, L) and the latent variance a dimension."""
    found: dict[str, float] = {}
    for level, table in enumerate(codebooks.levels, start=1):
        used = utilization(codes[:, level - 1], len(table))
        found[f"perplexity_{level}"] = used.perplexity
        found[f"active_codes_{level}"] = used.num_active
        found[f"gini_{level}"] = used.gini
        sigmas = [float(np.sqrt(kappa * variance)) for kappa in KAPPAS]
        for kappa, each in zip(KAPPAS, overlap(table, used.prior, sigmas), strict=True):
            at = "" if kappa == QUOTED_KAPPA else f"_kappa_{kappa:g}"
            found[f"overlap_rate_{level}{at}"] = each.overlap_rate
            found[f"effective_codebook_size_{level}{at}"] = each.effective_codebook_size
    shared = collisions(codes)
    return found | {
        "collision_rate": shared.collision_rate,
        "distinct_codes": shared.num_distinct,
        "largest_bucket": shared.largest_bucket,
        "composition_entropy": shared.composition_entropy,
    }


def error_figures(vectors: Floats, back: Callable[[slice], Floats]) -> dict[str, float]:
    """What comes back of `vectors` (N, D): `back(rows)` gives the reconstruction of some.

    `squared_error` is summed over dimensions, the MSE that DRQ prints.
    """
    mean = vectors.mean(axis=0, dtype=np.float64)
    blocks = (slice(start, start + ROWS) for start in range(0, len(vectors), ROWS))
    errors = total(reconstruction(vectors[rows], back(rows), mean) for rows in blocks)
    return {
        "squared_error": errors.squared_error / errors.num_vectors,
        "relative_mse": errors.relative_mse,
        "cosine": errors.cosine,
    }


def retrieval_figures(found: ItemToItem) -> dict[str, float]:
    """Tables 4 and 5, and the hit rates behind them."""
    figures: dict[str, float] = {
        "num_cases": len(found.original),
        "auc_embedding": found.auc_embedding,
        "auc_prefix": found.auc_prefix,
        "auc_exact": found.auc_exact,
    }
    for cutoff in CUTOFFS:
        rates = found.hit_rates(cutoff)
        figures[f"retention_at_{cutoff}"] = found.retention(cutoff)
        figures[f"hr_original_at_{cutoff}"] = rates["original"]
        figures[f"hr_at_{cutoff}"] = rates["reconstructed"]
        figures[f"prefix_hr_at_{cutoff}"] = rates["prefix"]
    return figures


def unquantized_figures(
    tokenizer: DecoupledTokenizer, vectors: Floats, latent: Floats, cases: Cases, negatives: Cases
) -> dict[str, float]:
    """Retention, error and cosine of what the decoder makes of the `latent` (N, d) itself."""
    decoded = decoder(tokenizer)(latent)
    numbers = np.arange(len(vectors), dtype=np.int32)[:, None]  # a code of its own for every item
    found = item_to_item(vectors, numbers, lambda codes: decoded[codes[:, 0]], cases, negatives)
    kept = {f"retention_at_{cutoff}": found.retention(cutoff) for cutoff in CUTOFFS}
    return kept | error_figures(vectors, lambda rows: decoded[rows])


def decoder(tokenizer: DecoupledTokenizer) -> Callable[[Floats], Floats]:
    """The decoder of a fitted tokenizer, from latents (n, d) to vectors (n, D)."""
    prefix = "autoencoder."
    state = {
        name.removeprefix(prefix): torch.from_numpy(value)
        for name, value in tokenizer.state().items()
        if name.startswith(prefix)
    }
    config = tokenizer.config
    autoencoder = Autoencoder(tokenizer.num_dimensions, config.hidden or (), config.latent_dim)
    autoencoder.load_state_dict(state)
    return lambda latent: np.asarray(autoencoder.decode(torch.from_numpy(latent)).numpy())
