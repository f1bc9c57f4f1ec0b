"""One self-contained HTML page from a `Run`.

The page loads nothing: style, script, drawings and data are inside, and its Content
Security Policy forbids every request and every script but its own (by hash). Jinja escapes
all values; what enters as `Markup` is made here, from our own files and drawings.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from sidmint.gate.verdict import Verdict
from sidmint.layout import Layout
from sidmint.progress import Track, silent
from sidmint.reporting import figures, tables
from sidmint.reporting.drawing import Chart, Panel, series_role
from sidmint.reporting.run import Candidate, Run
from sidmint.reporting.summary import (
    catalogue_words,
    collision_words,
    headline,
    leader,
    percent,
    tally,
)
from sidmint.reporting.tree import browser_data

LEVEL_COLUMNS = (
    "level",
    "size",
    "perplexity",
    "dead_codes",
    "gini",
    "branching",
    "relative_mse",
    "cosine",
)


@dataclass(frozen=True)
class Table:
    """Column heads and rows of text."""

    heads: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Section:
    """What the page shows about one tokenizer."""

    name: str
    anchor: str
    role: str
    leads: bool
    verdict: Verdict
    tally: str
    highlights: list[tuple[str, str, str]]
    usage: Chart
    effective: Chart
    spectrum: Chart
    hit_rates: Chart
    segment_bars: Chart
    training: Chart
    levels: Table
    segments: Table
    geometry: Table
    collisions: list[tuple[str, str, str]]
    collision_words: str
    buckets: list[tables.Bucket]


def render(run: Run, track: Track = silent) -> str:
    """The report of `run` as one HTML document; the same run gives the same bytes."""
    cutoff = chosen_cutoff(run)
    best = leader(run.candidates, run.select_by)
    sections = [
        _section(candidate, index, cutoff, candidate is best, run.bucket_titles)
        for index, candidate in enumerate(
            track(run.candidates, "drawing the report", total=len(run.candidates))
        )
    ]
    tree = browser_data(run.items, {c.name: c.sids for c in run.candidates})
    sampled = len(tree["ids"]) < tree["numItems"]
    script = _own_file("page.js")
    return _template().render(
        title=run.title,
        headline=headline(run),
        champion=run.champion,
        sections=sections,
        cutoff=cutoff,
        comparison=tables.comparison(run.candidates, run.champion, cutoff),
        every_metric=tables.every_metric(run.candidates, run.champion),
        together=_together(run.candidates),
        profile=tables.facts(run.profile),
        checks=run.checks,
        catalogue_words=catalogue_words(run.items),
        commands=commands(run),
        sampled=(tables.number(len(tree["ids"])), tables.number(tree["numItems"]))
        if sampled
        else None,
        tree_json=Markup(json_for_html(tree)),  # noqa: S704 - escaped by json_for_html
        style=Markup(_own_file("page.css")),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        script_hash=_hash_of(script),
        svg=_svg,
    )


def json_for_html(value: Any) -> str:
    r"""`value` as JSON that can stand inside a <script> element whatever strings it holds.

    `<`, `>` and `&` could end the element or begin a comment in it, U+2028 and U+2029
    end a line in JavaScript; inside JSON strings all five may be written as \uXXXX.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def chosen_cutoff(run: Run) -> int:
    """The K that tables show: the one in the metric that decides, else the middle one measured."""
    cutoffs = sorted({int(k) for c in run.candidates for k in c.hit_rates["k"].unique()})
    named = run.select_by.rpartition("_at_")[2]
    if named.isdecimal() and int(named) in cutoffs:
        return int(named)
    return cutoffs[len(cutoffs) // 2]


def commands(run: Run) -> list[tuple[str, str]]:
    """Where to read more: commands and places relative to the workspace, never a machine's path."""
    here = Layout(Path())
    docs = here.data_docs / "uncommitted" / "data_docs" / "local_site" / "index.html"
    best = leader(run.candidates, run.select_by)
    publish = [("Publish the leader", f"sidmint publish --tokenizer {best.name}")] if best else []
    return [
        *publish,
        ("Published versions", "sidmint versions"),
        ("A metric over versions", f"sidmint history {run.select_by}"),
        (
            "Every run and its curves",
            f"mlflow ui --backend-store-uri sqlite:///{here.mlflow_database}",
        ),
        ("Data Docs of all checks", docs.as_posix()),
    ]


def _section(
    candidate: Candidate, index: int, cutoff: int, leads: bool, num_titles: int
) -> Section:
    anchor = f"tokenizer-{index + 1}"
    segment_columns = [
        column
        for column in (
            "segment",
            "num_items",
            "num_cases",
            f"hr_original_at_{cutoff}",
            f"hr_at_{cutoff}",
            f"retention_at_{cutoff}",
        )
        if column in candidate.segments.columns
    ]
    return Section(
        name=candidate.name,
        anchor=anchor,
        role=series_role(index),
        leads=leads,
        verdict=candidate.verdict,
        tally=tally(candidate.verdict),
        highlights=_highlights(candidate.metrics, cutoff),
        usage=figures.usage_curves(candidate.usage, candidate.levels, anchor),
        effective=figures.effective_size_curves(candidate.overlap, candidate.levels, anchor),
        spectrum=figures.spectrum(candidate.spectrum, anchor),
        hit_rates=figures.hit_rates(candidate.hit_rates, anchor),
        segment_bars=figures.segment_bars(candidate.segments, cutoff, anchor),
        training=figures.training_curves(candidate.curve, anchor),
        levels=_table(candidate.levels, LEVEL_COLUMNS),
        segments=_table(candidate.segments, segment_columns),
        geometry=_geometry(candidate.metrics),
        collisions=_before_and_after(candidate.collisions),
        collision_words=collision_words(candidate.metrics, str(candidate.collisions["policy"])),
        buckets=tables.worst_buckets(candidate.buckets, candidate.codes, num_titles),
    )


def _highlights(metrics: Mapping[str, float], cutoff: int) -> list[tuple[str, str, str]]:
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


def _together(candidates: Iterable[Candidate]) -> list[Chart]:
    chosen = list(candidates)
    if len(chosen) < 2:
        return []
    levels = {candidate.name: candidate.levels for candidate in chosen}
    branching = figures.levels_together(levels, "branching", "Effective children a prefix")
    error = figures.levels_together(levels, "relative_mse", "Relative error after each level")
    hits = figures.hit_rates_together({c.name: c.hit_rates for c in chosen})
    return [Chart((*hits.panels, *branching.panels, *error.panels), hits.keys)]


def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(_own_file("page.html"))


def _svg(panel: Panel) -> Markup:
    return Markup(panel.svg)  # noqa: S704 - drawn and escaped by svg.inline_svg


def _own_file(name: str) -> str:
    return files("sidmint.reporting").joinpath(name).read_text(encoding="utf-8")


def _hash_of(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
