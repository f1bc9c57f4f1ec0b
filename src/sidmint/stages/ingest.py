"""Stage `ingest`: read the source, filter, order, split and check it.

Reads `data/raw` through the source that `ingest.source` names; writes items, interactions,
profile.json (what was read, kept and dropped), checks.json and metrics.json.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import polars as pl

from sidmint.artifacts import Artifacts
from sidmint.catalogue import Catalogue, build_catalogue
from sidmint.errors import BadInput
from sidmint.layout import Layout
from sidmint.params import IngestParams, Params
from sidmint.progress import Track, silent
from sidmint.sources import SOURCES, SourceFiles
from sidmint.types import Outcome

RESULT_VERSION = 1


class CatalogueCheck(Protocol):
    """Judges a finished catalogue: one row a check with name, severity, passed and reason."""

    def __call__(
        self,
        items: pl.DataFrame,
        interactions: pl.DataFrame,
        *,
        expected_items: int | None,
        expected_interactions: int | None,
    ) -> Sequence[Mapping[str, Any]]:
        """Check the two tables against the counts that params.yaml expects."""
        ...


def ingest(
    params: Params, artifacts: Artifacts, check: CatalogueCheck, track: Track = silent
) -> Outcome:
    """The catalogue on disk, or `BadInput` and nothing written.

    A critical check that fails stops the run: a catalogue with orphan interactions or a
    sequence file sorted by item id makes every number after it wrong without a sign.
    """
    settings = params.ingest
    files = _resolve(settings, artifacts.layout)
    raw = SOURCES[settings.source](settings, files, params.seed, track)
    catalogue = build_catalogue(
        raw.items,
        raw.interactions,
        min_interactions=settings.min_interactions,
        cold_share=settings.cold_share,
        seed=params.seed,
        protocol=settings.protocol,
        tie_order=settings.tie_order,
        time_shares=settings.time_shares,
        unknown_limit=settings.unknown_items_limit if settings.unknown_items == "drop" else 0.0,
        items_name=raw.items_name,
        interactions_name=raw.interactions_name,
    )
    checks = check(
        catalogue.items,
        catalogue.interactions,
        expected_items=settings.expected_items,
        expected_interactions=settings.expected_interactions,
    )
    _require_passed(checks, raw.interactions_name)
    profile = _profile(catalogue, settings, raw.left_out)
    metrics = _metrics(profile)
    with artifacts.writing("ingest") as out:
        out.table("items", catalogue.items)
        out.table("interactions", catalogue.interactions)
        out.json("profile", profile)
        out.json("checks", [dict(row) for row in checks])
        out.metrics(metrics)
    return Outcome(_headline(profile, checks), metrics)


def _resolve(settings: IngestParams, layout: Layout) -> SourceFiles:
    return SourceFiles(
        *(
            None if path is None else layout.inside(path)
            for path in (settings.items, settings.interactions)
        )
    )


def _require_passed(checks: Sequence[Mapping[str, Any]], name: str) -> None:
    failed = [row for row in checks if row["severity"] == "critical" and not row["passed"]]
    if failed:
        reasons = "; ".join(f"{row['name']}: {row['reason']}" for row in failed)
        raise BadInput(f"the catalogue of {name} failed {len(failed)} checks: {reasons}")


def _profile(
    catalogue: Catalogue, settings: IngestParams, left_out: Mapping[str, int]
) -> dict[str, Any]:
    dropped = {**catalogue.profile["dropped"], **left_out}
    return {**catalogue.profile, "dropped": dropped, "source": settings.source}


def _metrics(profile: Mapping[str, Any]) -> dict[str, float]:
    return {
        "num_items": profile["items"],
        "num_users": profile["users"],
        "num_events": profile["interactions"],
        "num_cold_items": profile["cold_items"],
        "density": profile["density"],
        "sorted_sequence_share": profile["sorted_sequence_share"],
        **{f"num_{name}": count for name, count in profile["split"].items()},
    }


def _headline(profile: Mapping[str, Any], checks: Sequence[Mapping[str, Any]]) -> str:
    warnings = [row["name"] for row in checks if not row["passed"]]
    line = (
        f"{profile['items']:,} items ({profile['cold_items']:,} cold: "
        f"{profile['cold_selection']}), {profile['users']:,} users, "
        f"{profile['interactions']:,} interactions"
    )
    left_out = profile["dropped"]["interactions_on_unknown_items"]
    if left_out:
        line += f"; {left_out:,} interactions on unknown items left out"
    return f"{line}; warnings: {', '.join(warnings)}" if warnings else line
