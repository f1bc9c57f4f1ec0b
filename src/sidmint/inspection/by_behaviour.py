"""Figures that a log allows: item-to-item retrieval on the last event of each user."""

from __future__ import annotations

import numpy as np

from sidmint.errors import BadInput
from sidmint.evaluation import (
    Cases,
    ItemToItem,
    area_under_curve,
    hit_rate,
    item_to_item,
    random_negatives,
)
from sidmint.evaluation.code_ranks import common_prefix, rank_by_prefix
from sidmint.inspection.figures import Figures
from sidmint.inspection.implied import ImpliedCodebooks
from sidmint.params import Params
from sidmint.progress import Track
from sidmint.seeds import generator_for
from sidmint.types import Floats, Ints


def measure_behaviour(
    codes: Ints,
    vectors: Floats | None,
    implied: ImpliedCodebooks | None,
    cases: Cases,
    params: Params,
    figures: Figures,
    track: Track,
) -> None:
    """Add hit rates and AUCs over `cases`; by prefix alone where there are no vectors.

    Codes (N, L) are read as a hierarchy: ids match by the length of their common prefix.
    """
    num_items = len(codes)
    cutoffs = [cutoff for cutoff in params.evaluate.cutoffs if 1 <= cutoff < num_items - 1]
    figures.metrics["num_cases"] = len(cases)
    if not len(cases) or num_items < 3:
        figures.unmeasured["*"] = (
            "no user's last event and the one before it are on two items of the table"
        )
        return
    negatives = random_negatives(
        cases,
        num_items,
        params.evaluate.negatives,
        generator_for(params.seed, "evaluate", "negatives"),
    )
    if vectors is None or implied is None:
        _add_prefixes(codes, cases, negatives, cutoffs, figures)
        return
    found = item_to_item(vectors, codes, implied.reconstruct, cases, negatives, True, track)
    for cutoff in cutoffs:
        _add_hit_rates(found, cutoff, figures)
    figures.metrics |= {
        "auc_embedding": found.auc_embedding,
        "auc_prefix": found.auc_prefix,
        "auc_exact": found.auc_exact,
    }


def _add_hit_rates(found: ItemToItem, cutoff: int, figures: Figures) -> None:
    rates = found.hit_rates(cutoff)
    figures.metrics |= {
        f"hr_original_at_{cutoff}": rates["original"],
        f"hr_at_{cutoff}": rates["reconstructed"],
        f"prefix_hr_at_{cutoff}": rates["prefix"],
    }
    try:
        figures.metrics[f"retention_at_{cutoff}"] = found.retention(cutoff)
    except BadInput:
        figures.unmeasured[f"retention_at_{cutoff}"] = (
            f"the vectors themselves are no better than chance (hit rates {rates['original']:.4f} "
            f"and {rates['random']:.4f})"
        )


def _add_prefixes(
    codes: Ints, cases: Cases, negatives: Cases, cutoffs: list[int], figures: Figures
) -> None:
    ranks = rank_by_prefix(codes, cases)
    for cutoff in cutoffs:
        figures.metrics[f"prefix_hr_at_{cutoff}"] = hit_rate(ranks, cutoff)
    # Weights 2^-(l-1) rise with the length of the prefix, and an AUC asks for the order alone.
    right, wrong = (
        common_prefix(codes[asked.queries], codes[asked.targets]).astype(np.float64)
        for asked in (cases, negatives)
    )
    figures.metrics["auc_prefix"] = area_under_curve(right, wrong)
    is_whole = ((lengths == codes.shape[1]).astype(np.float64) for lengths in (right, wrong))
    figures.metrics["auc_exact"] = area_under_curve(*is_whole)
