"""One self-contained HTML page from a `Run`.

The page loads nothing: style, script, drawings and data are inside, and its Content
Security Policy forbids every request and every script but its own (by hash). Jinja escapes
all values; what enters as `Markup` is made here, from our own files and drawings.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup

from sidmint.contracts import NO_LOG
from sidmint.errors import BadInput
from sidmint.evaluation.hit_rate_intervals import (
    Certainty,
    hit_rate_differences,
    hit_rate_intervals,
)
from sidmint.layout import Layout
from sidmint.progress import Track, silent
from sidmint.reporting import figures, tables
from sidmint.reporting.against import against
from sidmint.reporting.drawing import Chart, Panel
from sidmint.reporting.history import history
from sidmint.reporting.run import Candidate, Run
from sidmint.reporting.sections import section
from sidmint.reporting.sources import sources_table, sources_words
from sidmint.reporting.summary import catalogue_words, headline, leader
from sidmint.reporting.tree import browser_data
from sidmint.seeds import generator_for


def render(run: Run, track: Track = silent) -> str:
    """The report of `run` as one HTML document; the same run gives the same bytes."""
    cutoff = chosen_cutoff(run)
    best = leader(run.candidates, run.select_by)
    certainty = {c.name: _certainty(c, run) for c in run.candidates}
    sections = [
        section(candidate, index, cutoff, candidate is best, run.bucket_titles)
        for index, candidate in enumerate(
            track(run.candidates, "drawing the report", total=len(run.candidates))
        )
    ]
    tree = browser_data(run.items, {c.name: c.sids for c in run.candidates})
    sampled = len(tree["ids"]) < tree["numItems"]
    script = own_file("page.js")
    return template("page.html").render(
        title=run.title,
        headline=headline(run),
        champion=run.champion,
        sections=sections,
        cutoff=cutoff,
        no_log=NO_LOG,
        comparison=tables.comparison(run.candidates, run.champion, cutoff, certainty),
        every_metric=tables.every_metric(run.candidates, run.champion, certainty),
        against=against(run, cutoffs(run), cutoff, certainty),
        history=history(run, cutoff),
        together=_together(run.candidates),
        profile=tables.facts(run.profile),
        checks=run.checks,
        sources=_sources(run),
        catalogue_words=catalogue_words(run.items),
        commands=commands(run),
        sampled=(tables.number(len(tree["ids"])), tables.number(tree["numItems"]))
        if sampled
        else None,
        tree_json=Markup(json_for_html(tree)),  # noqa: S704 - escaped by json_for_html
        style=Markup(own_file("page.css")),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        script_hash=_hash_of(script),
        svg=_svg,
    )


def _sources(run: Run) -> dict[str, Any] | None:
    if run.sources is None:
        return None
    return {"words": sources_words(run.sources), "table": sources_table(run.sources)}


def json_for_html(value: Any) -> str:
    r"""`value` as JSON that can stand inside a <script> element whatever strings it holds.

    `<`, `>` and `&` could end the element or begin a comment in it, U+2028 and U+2029
    end a line in JavaScript; inside JSON strings all five may be written as \uXXXX.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def cutoffs(run: Run) -> list[int]:
    """Every K that was measured, rising."""
    return sorted({int(k) for c in run.candidates for k in c.hit_rates["k"].unique()})


def chosen_cutoff(run: Run) -> int | None:
    """The K that tables show: the one in the metric that decides, else the middle one measured.

    None without an interaction log: no hit rate was measured at any K.
    """
    measured = cutoffs(run)
    if not run.has_log:
        return None
    if not measured:
        raise BadInput(
            "the report wants hit rates at one cutoff at least; name it in evaluate.cutoffs"
        )
    named = run.select_by.rpartition("_at_")[2]
    if named.isdecimal() and int(named) in measured:
        return int(named)
    return measured[len(measured) // 2]


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


def _certainty(candidate: Candidate, run: Run) -> Certainty:
    """Intervals of the candidate's hit rates, and of their differences to the champion's."""
    intervals = hit_rate_intervals(
        candidate.answers, cutoffs(run), generator_for(run.seed, "report", "intervals")
    )
    if run.champion_answers is None:
        return Certainty(intervals, None)
    generator = generator_for(run.seed, "report", "differences")
    return Certainty(
        intervals,
        hit_rate_differences(candidate.answers, run.champion_answers, cutoffs(run), generator),
    )


def _together(candidates: Iterable[Candidate]) -> list[Chart]:
    chosen = list(candidates)
    if len(chosen) < 2:
        return []
    levels = {candidate.name: candidate.levels for candidate in chosen}
    branching = figures.levels_together(levels, "branching", "Effective children a prefix")
    error = figures.levels_together(levels, "relative_mse", "Relative error after each level")
    if any(candidate.hit_rates.is_empty() for candidate in chosen):
        return [Chart((*branching.panels, *error.panels), branching.keys)]
    hits = figures.hit_rates_together({c.name: c.hit_rates for c in chosen})
    return [Chart((*hits.panels, *branching.panels, *error.panels), hits.keys)]


def template(name: str) -> Template:
    """A page of this package; every value that enters it is escaped, and an unknown one raises."""
    own = FunctionLoader(own_file)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, loader=own
    )
    return environment.get_template(name)


def _svg(panel: Panel) -> Markup:
    return Markup(panel.svg)  # noqa: S704 - drawn and escaped by svg.inline_svg


def own_file(name: str) -> str:
    """The text of a file of this package."""
    return files("sidmint.reporting").joinpath(name).read_text(encoding="utf-8")


def _hash_of(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
