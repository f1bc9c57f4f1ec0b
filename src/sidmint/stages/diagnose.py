"""diagnose: what the tokenizer did to the catalogue, measured on its raw codes.

Reads ingest, embed, pairs, train and assign; writes usage, overlap, robustness, levels, spectrum
and buckets as tables, and metrics.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sidmint.artifacts import Artifacts
from sidmint.diagnostics import diagnosis, tables
from sidmint.diagnostics.robustness import Encode
from sidmint.params import Params
from sidmint.progress import Track, silent
from sidmint.rows import rows_made
from sidmint.seeds import generator_for, seed_for
from sidmint.types import Floats, Ints, Outcome

if TYPE_CHECKING:
    from sidmint.tokenizers import Tokenizer

RESULT_VERSION = 3


def diagnose(
    params: Params, artifacts: Artifacts, tokenizer: str, track: Track = silent
) -> Outcome:
    """Measure one tokenizer: utilization, collisions, overlap, robustness, geometry and errors.

    Codes are those before resolution, over all items.
    """
    from sidmint.tokenizers import storage

    model = storage.load(artifacts.folder("train", tokenizer))
    vectors = artifacts.vectors()
    subject = diagnosis.Subject(
        vectors=vectors,
        latent=rows_made(vectors, model.latent),
        codes=artifacts.codes("codes", tokenizer),
        codebooks=model.codebooks(),
        reconstruct=model.reconstruct,
        encode=latent_encoder(model),
        noise_seed=seed_for(params.seed, "diagnose", "noise"),
        variances=model.variances(),
    )
    settings = params.diagnose
    found = diagnosis.diagnose_subject(
        subject,
        artifacts.pairs(),
        settings.noise,
        settings.near_duplicate_cosine,
        _sample(params, len(vectors)),
        track,
    )
    metrics = found.metrics()
    buckets = tables.worst_buckets_table(
        found.qualified, artifacts.scan("ingest", "items"), settings.worst_buckets
    )
    with artifacts.writing("diagnose", tokenizer) as out:
        out.table("usage", tables.usage_table(found))
        out.table("overlap", tables.overlap_table(found))
        out.table("robustness", tables.robustness_table(found))
        out.table("levels", tables.levels_table(found))
        out.table("spectrum", tables.spectrum_table(found))
        out.table("buckets", buckets)
        out.metrics(metrics)
    return Outcome(_headline(tokenizer, metrics, len(found.usage)), metrics)


def latent_encoder(model: Tokenizer) -> Encode | None:
    """How `model` codes a latent vector that is no item's; None where the question is empty.

    Nearly all tokenizers code by the residual walk from the latent. The controls do not: for `lsh`
    and `random` the latent is the vector itself, so `encode` is asked (noise gives `random` other
    codes however small it is, which is what it is there to show). The codes of `category` come
    from the catalogue's tree: that noise on vectors does not change them says nothing of them.
    """
    import torch

    from sidmint.quantization.residual import residual_codes

    if model.walks:
        tables = [torch.from_numpy(table) for table in model.codebooks().levels]

        def walk(latent: Floats) -> Ints:
            return np.asarray(residual_codes(latent, tables).int().numpy())

        return walk
    return None if model.uses_categories else model.encode


def _sample(params: Params, num_items: int) -> npt.NDArray[np.int64]:
    """Rows of the geometry subset; the same for every tokenizer."""
    generator = generator_for(params.seed, "diagnose", "geometry")
    size = min(params.diagnose.geometry_sample, num_items)
    return np.sort(generator.choice(num_items, size, replace=False))


def _headline(tokenizer: str, metrics: Mapping[str, float], num_levels: int) -> str:
    used = "/".join(f"{metrics[f'perplexity_{level}']:.0f}" for level in range(1, num_levels + 1))
    return (
        f"{tokenizer}: N_eff {metrics['n_eff_share']:.1%} of items, conflicts "
        f"{metrics['conflict_rate']:.1%}, perplexity {used}, "
        f"relative error {metrics['relative_mse']:.3f}"
    )
