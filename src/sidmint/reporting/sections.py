"""What the page shows about one tokenizer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from sidmint.gate.verdict import Verdict
from sidmint.reporting import figures, level_figures, tables
from sidmint.reporting.drawing import Chart, series_role
from sidmint.reporting.recommended import RecommendedView, recommended_view
from sidmint.reporting.run import Candidate
from sidmint.reporting.summary import collision_words, percent, tally
from sidmint.reporting.tables import Table

USAGE_COLUMNS = ("level", "size", "perplexity", "dead_codes", "gini", "top_code_share")
ADDED_COLUMNS = (
    "level",
    "num_prefixes",
    "branching",
    "information",
    "possible_information",
    "relative_mse",
    "cosine",
    "latent_relative_mse",
    "latent_cosine",
)


@dataclass(frozen=True)
class Section:
    """Words, figures and tables of one tokenizer; `role` is the colour that it has everywhere."""

    name: str
    anchor: str
    role: str
    leads: bool
    verdict: Verdict
    tally: str
    highlights: list[tuple[str, str, str]]
    usage: Chart
    effective: Chart
    robustness: Chart | None
    errors: Chart
    prefixes: Chart
    spectrum: Chart
    hit_rates: Chart | None
    """None where no hit rate was measured, for want of a log; so are the bars by segment."""
    segment_bars: Chart | None
    worth: RecommendedView | None
    training: Chart
    levels: Table
    added: Table
    segments: Table
    geometry: Table
    collisions: list[tuple[str, str, str]]
    collision_words: str
    buckets: list[tables.Bucket]


def section(
    candidate: Candidate, index: int, cutoff: int | None, leads: bool, num_titles: int
) -> Section:
    """The section of the `index`-th candidate; `leads`: it would be published.

    `cutoff` is the K of tables, None where no hit rate was measured; `num_titles` is how many
    titles of a shared code are listed.
    """
    anchor = f"tokenizer-{index + 1}"
    levels = candidate.levels
    errors, prefixes = level_figures.what_levels_add(levels, len(candidate.sids), anchor)
    return Section(
        name=candidate.name,
        anchor=anchor,
        role=series_role(index),
        leads=leads,
        verdict=candidate.verdict,
        tally=tally(candidate.verdict),
        highlights=_highlights(candidate.metrics, cutoff),
        usage=level_figures.usage_curves(candidate.usage, levels, anchor),
        effective=level_figures.effective_size_curves(candidate.overlap, levels, anchor),
        robustness=_robustness(candidate.robustness, anchor),
        errors=errors,
        prefixes=prefixes,
        spectrum=figures.spectrum(candidate.spectrum, anchor),
        hit_rates=None if cutoff is None else figures.hit_rates(candidate.hit_rates, anchor),
        segment_bars=None
        if cutoff is None
        else figures.segment_bars(candidate.segments, cutoff, anchor),
        worth=recommended_view(candidate, anchor),
        training=figures.training_curves(candidate.curve, anchor),
        levels=_table(levels, USAGE_COLUMNS),
        added=_table(levels, ADDED_COLUMNS),
        segments=_segments(candidate.segments, cutoff),
        geometry=_geometry(candidate.metrics),
        collisions=_before_and_after(candidate.collisions),
        collision_words=collision_words(candidate.metrics, str(candidate.collisions["policy"])),
        buckets=tables.worst_buckets(candidate.buckets, candidate.codes, num_titles),
    )


def _robustness(table: pl.DataFrame | None, anchor: str) -> Chart | None:
    return None if table is None else level_figures.robustness_curves(table, anchor)


def _highlights(metrics: Mapping[str, float], cutoff: int | None) -> list[tuple[str, str, str]]:
    """The four numbers that lead a section; one that was not measured is left out."""
    shares = [v for name, v in metrics.items() if name.startswith("perplexity_share_")]
    found = {
        "Codes not lost to collisions": (
            1 - metrics["collision_rate"] if "collision_rate" in metrics else None,
            "distinct codes / items, before resolution",
        ),
        "Conflicts": (metrics.get("conflict_rate"), "items that collide with an unrelated one"),
        "Weakest level": (min(shares, default=None), "perplexity / codebook size, lowest level"),
        f"Retention @ {cutoff}": (
            metrics.get(f"retention_at_{cutoff}"),
            "hit rate kept of the original vectors",
        ),
    }
    return [
        (label, percent(value), note) for label, (value, note) in found.items() if value is not None
    ]


def _table(frame: pl.DataFrame, columns: Iterable[str]) -> Table:
    chosen = list(columns)
    heads = [column.replace("_", " ") for column in chosen]
    return Table(heads, tables.plain_table(frame, chosen))


def _segments(segments: pl.DataFrame, cutoff: int | None) -> Table:
    figures_at = [f"{name}_at_{cutoff}" for name in ("hr_original", "hr", "retention")]
    wanted = ["segment", "num_items", "num_cases", *figures_at]
    return _table(segments, [column for column in wanted if column in segments.columns])


def _geometry(metrics: Mapping[str, float]) -> Table:
    """Geometry metrics as a row a quantity and a column a space."""
    spaces = ["raw", "latent", "quantized"]
    quantities = ("effective_rank", "participation_ratio", "top_eigenvalue_share")
    rows = [
        [name.replace("_", " "), *(tables.number(metrics.get(f"{name}_{s}")) for s in spaces)]
        for name in (*quantities, "dimension_correlation")
    ]
    return Table(["", *spaces], rows)


def _before_and_after(collisions: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    before, after = collisions["before"], collisions["after"]
    names = [name for name in before if name in after]
    return [
        (name.replace("_", " "), tables.number(before[name]), tables.number(after[name]))
        for name in names
        if isinstance(before[name], int | float)
    ]
