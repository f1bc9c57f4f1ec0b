"""Key metrics over the published versions, this run's candidates as the last point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sidmint.contracts import describe_metric
from sidmint.reporting.drawing import (
    INK,
    MUTED,
    Chart,
    Key,
    Panel,
    panel,
    plain_ticks,
    series_role,
)
from sidmint.reporting.run import Candidate, PastVersion, Run
from sidmint.reporting.svg import PLACEHOLDERS
from sidmint.reporting.tables import Table, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOWEST_SHARE = "perplexity_share"
"""The lowest of perplexity_share_1, _2, ...: a chain is as strong as its weakest level."""
_TOLD = ("collision_rate", "conflict_rate", "n_eff_share", _LOWEST_SHARE)
_MOST_LABELS = 5


@dataclass(frozen=True)
class History:
    """Small multiples and the table beside them; None and empty where nothing is published."""

    words: str
    chart: Chart | None
    table: Table


def history(run: Run, cutoff: int | None) -> History:
    """The metrics that tell a table's health over versions, and where this run would go on.

    A version that lacks a metric leaves a gap in its line. `cutoff` is the K of retention,
    None where this run measured none.
    """
    past = run.history or ()
    if not past:
        return History(_why_empty(run), None, Table([], []))
    everything = [*(each.metrics for each in past), *(each.metrics for each in run.candidates)]
    measured = [
        name
        for name in (*_TOLD, f"retention_at_{cutoff}", "cold_coverage")
        if any(_value(metrics, name) is not None for metrics in everything)
    ]
    chart = Chart(
        tuple(_panel(name, past, run.candidates) for name in measured),
        tuple(_keys(past, run.candidates)),
    )
    words = (
        f"{number(len(past))} version{'s' if len(past) > 1 else ''} so far, oldest first; the "
        "coloured points are this run. An arrow says which way is better."
    )
    return History(words, chart, _table(past, measured))


def _why_empty(run: Run) -> str:
    if run.champion is None:
        return "Nothing is published yet: the first release begins the history."
    return (
        "The history of versions is not in this workspace; `sidmint run` brings it from the "
        "registry."
    )


def _value(metrics: Mapping[str, float], name: str) -> float | None:
    if name != _LOWEST_SHARE:
        return metrics.get(name)
    shares = [value for key, value in metrics.items() if key.startswith(f"{_LOWEST_SHARE}_")]
    return min(shares, default=None)


def _panel(name: str, past: Sequence[PastVersion], candidates: Sequence[Candidate]) -> Panel:
    values = [_value(version.metrics, name) for version in past]
    ours = [_value(candidate.metrics, name) for candidate in candidates]

    def draw(axes: Axes) -> None:
        line = [float("nan") if value is None else value for value in values]
        axes.plot(range(len(past)), line, color=MUTED, linewidth=1.4)
        for place, (version, value) in enumerate(zip(past, values, strict=True)):
            if value is not None:
                _mark(axes, place, value, version)
        centre = _version_axis(axes, past)
        for index, value in enumerate(ours):
            if value is not None:
                # Apart, so that equal ones do not hide each other.
                apart = (index - (len(ours) - 1) / 2) * 0.03 * centre
                color = PLACEHOLDERS[series_role(index)]
                axes.plot([centre + apart], [value], color=color, marker="o", ms=5)
        axes.margins(y=0.15)
        plain_ticks(axes.yaxis)

    shown = [number(value) for value in values]
    label = f"{_title(name)}, version by version: {', '.join(shown)}; this run: " + ", ".join(
        f"{c.name} {number(v)}" for c, v in zip(candidates, ours, strict=True)
    )
    return panel(_title(name), f"history-{name.replace('_', '-')}", label, draw)


def _title(name: str) -> str:
    described = f"{_LOWEST_SHARE}_1" if name == _LOWEST_SHARE else name
    return f"{_named(name)} {'↑' if describe_metric(described).better == 'higher' else '↓'}"


def _named(name: str) -> str:
    return f"lowest {name}" if name == _LOWEST_SHARE else name


def _mark(axes: Axes, place: int, value: float, version: PastVersion) -> None:
    """A disc; hollow where somebody went back from it; a diamond where it was overridden."""
    face = PLACEHOLDERS["page"] if version.rolled_back else INK
    size = 6.5 if version.champion else 4.0
    marker = "D" if version.override else "o"
    axes.plot(
        [place], [value], color=INK, marker=marker, ms=size, markerfacecolor=face, linestyle=""
    )


def _version_axis(axes: Axes, past: Sequence[PastVersion]) -> float:
    """The oldest version and a few others by name; returns where this run stands."""
    step = -(-len(past) // _MOST_LABELS)
    centre = len(past) * 1.06
    places = [place for place in range(0, len(past), step) if centre - place > centre / 6]
    axes.set_xticks([*places, centre], [*(past[place].version for place in places), "this run"])
    axes.set_xlim(-0.04 * centre - 0.1, centre * 1.12)
    return centre


def _keys(past: Sequence[PastVersion], candidates: Sequence[Candidate]) -> list[Key]:
    keys = [Key("published versions, the champion larger", "ink", mark="●")]
    if any(version.rolled_back for version in past):
        keys.append(Key("rolled back from", "ink", mark="○"))
    if any(version.override for version in past):
        keys.append(Key("published by override", "ink", mark="◆"))
    keys += [Key(c.name, series_role(index), mark="●") for index, c in enumerate(candidates)]
    return keys


def _table(past: Sequence[PastVersion], names: Sequence[str]) -> Table:
    """Newest first: that is where a reader looks."""
    heads = ["version", "tokenizer", "published", "status", *map(_named, names)]
    rows = [
        [
            version.version,
            version.tokenizer,
            version.created_at[:10],
            _status(version),
            *(number(_value(version.metrics, name)) for name in names),
        ]
        for version in reversed(past)
    ]
    return Table([head.replace("_", " ") for head in heads], rows)


def _status(version: PastVersion) -> str:
    said = ["champion"] if version.champion else []
    said += ["rolled back"] if version.rolled_back else []
    said += ["by override"] if version.override else []
    return ", ".join(said) or "replaced"
