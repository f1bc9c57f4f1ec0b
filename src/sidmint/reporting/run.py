"""What one page shows, as plain values: the stage reads it, the other modules here word it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

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
    spectrum: pl.DataFrame
    buckets: pl.DataFrame
    hit_rates: pl.DataFrame
    segments: pl.DataFrame
    codes: pl.DataFrame
    sids: pl.DataFrame


@dataclass(frozen=True)
class Run:
    """A run over one catalogue, its candidates in the order of params.yaml."""

    title: str
    select_by: str
    bucket_titles: int
    items: pl.DataFrame
    profile: Mapping[str, Any]
    checks: Sequence[Mapping[str, Any]]
    champion: Champion | None
    """The published version that candidates are compared with; None: there is none yet."""
    candidates: tuple[Candidate, ...]
