"""What one page shows, as plain values: the stage reads it, the other modules here word it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from sidmint.contracts import Items
from sidmint.evaluation.hit_rate_intervals import Answers
from sidmint.gate.rules import Champion
from sidmint.gate.verdict import Verdict


@dataclass(frozen=True)
class Candidate:
    """Everything the run measured about one tokenizer; tables as their stages wrote them."""

    name: str
    verdict: Verdict
    metrics: Mapping[str, float]
    collisions: Mapping[str, Any]
    curve: pl.DataFrame
    usage: pl.DataFrame
    overlap: pl.DataFrame
    levels: pl.DataFrame
    robustness: pl.DataFrame | None
    """None where noise on latent vectors means nothing for the tokenizer."""
    spectrum: pl.DataFrame
    buckets: pl.DataFrame
    hit_rates: pl.DataFrame
    answers: Answers
    segments: pl.DataFrame
    recommended: pl.DataFrame | None
    """The recommender's figures by segment; None where none was trained."""
    comparison: pl.DataFrame | None
    """The same beside the champion's; None where there is no champion to compare with."""
    codes: pl.DataFrame
    sids: pl.DataFrame


@dataclass(frozen=True)
class PastVersion:
    """A published version that is or was champion, with every metric that it was judged by."""

    version: str
    tokenizer: str
    created_at: str
    """ISO 8601 in UTC."""
    champion: bool
    override: bool
    """It was published against the gate."""
    rolled_back: bool
    """Somebody went back from it to another version."""
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Run:
    """A run over one catalogue, its candidates in the order of params.yaml."""

    title: str
    seed: int
    select_by: str
    bucket_titles: int
    items: pl.DataFrame
    profile: Mapping[str, Any]
    checks: Sequence[Mapping[str, Any]]
    champion: Champion | None
    """The published version that candidates are compared with; None: there is none yet."""
    champion_answers: Answers | None
    """None where the workspace does not have them; the candidates then stand by themselves."""
    history: tuple[PastVersion, ...] | None
    """Oldest first; None where the workspace has not asked the registry."""
    candidates: tuple[Candidate, ...]
    sources: pl.DataFrame | None = None
    """Geometry of each source of the vectors and of all joined; None where there is one source."""

    @property
    def has_log(self) -> bool:
        """Whether there are interactions: with any, some items are left to train on."""
        return not self.items[Items.COLD].all()
