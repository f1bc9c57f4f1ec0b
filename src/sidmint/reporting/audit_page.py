"""The registry's past as one self-contained HTML page: versions, figures, and every act.

As the report's page, it loads nothing: its Content Security Policy forbids every request and
every script. Jinja escapes all values. The page holds no time but those of the log, so that the
same registry gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from sidmint.reporting.page import own_file, template
from sidmint.reporting.tables import number


@dataclass(frozen=True)
class Change:
    """One setting, bound or revision. `loosened`: a bound that lets more through than before."""

    key: str
    before: str
    after: str
    loosened: bool = False


@dataclass(frozen=True)
class Deed:
    """One line of the log, for a reader."""

    sequence: int
    at: str
    by: str
    what: str
    """"published", "refused", ..."""
    subject: str
    """The version, or the table that was refused."""
    reason: str
    tone: str
    """"good", "bad" or ""."""
    verdict: str
    """What the gate said; "" of an act on a version that was there already."""
    objections: tuple[str, ...]
    """The gate's reasons against it."""
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class VersionLine:
    """One version as it stands."""

    version: str
    status: str
    tokenizer: str
    num_items: int
    parent: str
    made: str
    made_by: str
    override: str
    """Who published against the gate and why; "" where nobody did."""
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Past:
    """Everything that the page shows."""

    name: str
    champion: str | None
    problems: tuple[str, ...]
    """What `sidmint verify` finds; empty: the registry is intact."""
    num_files: int
    log_head: str
    versions: tuple[VersionLine, ...]
    deeds: tuple[Deed, ...]
    """Oldest first."""


def render_audit(past: Past, metrics: Sequence[tuple[str, str]]) -> str:
    """The page of `past`; `metrics` are the names, with meanings, of the figures it shows."""
    measured = [
        (name, meaning)
        for name, meaning in metrics
        if any(name in version.metrics for version in past.versions)
    ]
    figures = [
        (version, [_figure(version.metrics.get(name)) for name, _ in measured])
        for version in past.versions
    ]
    return template("audit.html").render(
        past=past,
        measured=measured,
        figures=figures,
        refusals=sum(deed.what == "refused" for deed in past.deeds),
        loosened=[deed for deed in past.deeds if any(c.loosened for c in deed.changes)],
        number=number,
        style=Markup(own_file("page.css") + own_file("audit.css")),  # noqa: S704 - our own files
    )


def _figure(value: float | None) -> str:
    return "" if value is None else number(value)
