"""Stage `ingest`: read the source, filter, order, split and check it.

Reads `data/raw` through the source that `ingest.source` names; writes items, interactions,
profile.json (what was read, kept and dropped), checks.json and metrics.json. Of more items than
`execution.shard_rows`, both tables are folders of parts; where they come in Parquet, they are made
piece by piece and never held. A run that is killed begins anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import polars as pl

from sidmint.artifacts import Artifacts, StageWriter
from sidmint.catalogue import Catalogue, build_catalogue, build_without_log
from sidmint.contracts import STANDINGS, Interactions, Items
from sidmint.errors import BadInput
from sidmint.execution.shards import Shards
from sidmint.execution.splitting import split
from sidmint.gate.thresholds import needs_events
from sidmint.layout import Layout
from sidmint.params import IngestParams, Params
from sidmint.progress import Track, silent
from sidmint.sources import SOURCES, RawCatalogue, SourceFiles
from sidmint.sources.large_catalogue import make_large
from sidmint.sources.large_table import LargeTable, open_large
from sidmint.types import Outcome

RESULT_VERSION = 2


_OF_A_LOG = ("density", "sorted_sequence_share")


def check_without_log(params: Params) -> None:
    """Find settings of other sections that a catalogue without a log cannot serve, at once.

    `BadInput` names the setting and what it may be.
    """
    if params.ingest.source != "table" or params.ingest.interactions is not None:
        return
    if params.train.fit_on != "all":
        raise BadInput(
            f"ingest.interactions is null, so no item has interactions, and train.fit_on is "
            f"{params.train.fit_on}; set it to all"
        )
    if needs_events(params.gate.select_by):
        raise BadInput(
            f"ingest.interactions is null, so nobody measures {params.gate.select_by}, which "
            "gate.select_by names; name a metric of the ids themselves, such as relative_mse"
        )


class CatalogueCheck(Protocol):
    """Judges a finished catalogue: one row a check with name, severity, passed and reason."""

    def __call__(
        self,
        items: pl.DataFrame | Shards,
        interactions: pl.DataFrame | Shards,
        *,
        expected_items: int | None,
        expected_interactions: int | None,
        has_log: bool,
    ) -> Sequence[Mapping[str, Any]]:
        """Check the two tables against the counts that params.yaml expects.

        Without a log the table of interactions is empty, and not asked about.
        """
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
    shard_rows = params.execution.shard_rows
    large = open_large(settings, files, shard_rows)
    if large is not None:
        return _in_pieces(large, params, artifacts, check, track)
    raw = SOURCES[settings.source](settings, files, params.seed, track)
    catalogue = _build(raw, settings, params.seed)
    tables = catalogue.items, catalogue.interactions
    checks = _checked(check, tables, settings, raw.interactions is not None, raw.interactions_name)
    with artifacts.writing("ingest") as out:
        if catalogue.items.height > shard_rows:
            _cut(catalogue, out, shard_rows)
        else:
            out.table("items", catalogue.items)
            out.table("interactions", catalogue.interactions)
        profile = _profile(catalogue.profile, settings, raw.left_out)
        return _finish(out, profile, checks)


def _in_pieces(
    large: LargeTable, params: Params, artifacts: Artifacts, check: CatalogueCheck, track: Track
) -> Outcome:
    """The same of tables that are read, made and checked piece by piece."""
    settings = params.ingest
    if large.log is None:
        _require_no_split(settings)
    rules, shard_rows = _rules(settings, params.seed), params.execution.shard_rows
    with artifacts.writing("ingest") as out:
        made = make_large(large, rules, out, shard_rows, track)
        tables = made.items, made.interactions
        checks = _checked(check, tables, settings, large.log is not None, large.log_name)
        return _finish(out, _profile(made.profile, settings, {}), checks)


def _checked(
    check: CatalogueCheck,
    tables: tuple[pl.DataFrame | Shards, pl.DataFrame | Shards],
    settings: IngestParams,
    has_log: bool,
    name: str,
) -> Sequence[Mapping[str, Any]]:
    """What `check` finds; `BadInput` where a critical one fails."""
    checks = check(
        *tables,
        expected_items=settings.expected_items,
        expected_interactions=settings.expected_interactions,
        has_log=has_log,
    )
    _require_passed(checks, name)
    return checks


def _finish(
    out: StageWriter, profile: Mapping[str, Any], checks: Sequence[Mapping[str, Any]]
) -> Outcome:
    """Write what is said of the tables."""
    metrics = _metrics(profile)
    out.json("profile", profile)
    out.json("checks", [dict(row) for row in checks])
    out.metrics(metrics)
    return Outcome(_headline(profile, checks), metrics)


def _build(raw: RawCatalogue, settings: IngestParams, seed: int) -> Catalogue:
    if raw.interactions is None:
        _require_no_split(settings)
        return build_without_log(raw.items, raw.items_name)
    return build_catalogue(
        raw.items,
        raw.interactions,
        items_name=raw.items_name,
        interactions_name=raw.interactions_name,
        **_rules(settings, seed),
    )


def _rules(settings: IngestParams, seed: int) -> dict[str, Any]:
    """How a catalogue is filtered and split."""
    return {
        "min_interactions": settings.min_interactions,
        "cold_share": settings.cold_share,
        "seed": seed,
        "protocol": settings.protocol,
        "tie_order": settings.tie_order,
        "time_shares": settings.time_shares,
        "unknown_limit": settings.unknown_items_limit if settings.unknown_items == "drop" else 0.0,
        "item_set": settings.item_set,
    }


def _cut(catalogue: Catalogue, out: StageWriter, shard_rows: int) -> None:
    """Write the tables of a catalogue that is held as parts; no log stays one empty table."""
    made_of = catalogue.profile["digest"]
    items, key = out.parts("items", Items.ITEM_ID), Items.ITEM_ID
    split(catalogue.items, items.folder, key, made_of, shard_rows)
    if catalogue.interactions.is_empty():
        out.table("interactions", catalogue.interactions)
        return
    log, key = out.parts("interactions", Interactions.USER_ID, unique=False), Interactions.USER_ID
    split(catalogue.interactions, log.folder, key, made_of, shard_rows, unique=False)


def _require_no_split(settings: IngestParams) -> None:
    """Settings that only a log can serve, given by somebody who has none."""
    asked = {
        "protocol: time": settings.protocol == "time",
        "tie_order: shuffled": settings.tie_order == "shuffled",
        "unknown_items: drop": settings.unknown_items == "drop",
        "item_set: core": settings.item_set == "core",
    }
    without_effect = [setting for setting, is_asked in asked.items() if is_asked]
    if without_effect:
        raise BadInput(
            f"ingest.interactions is null, so there is no log, and {', '.join(without_effect)} "
            "would have no effect; name the log in ingest.interactions, or take these out of ingest"
        )


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
    profile: Mapping[str, Any], settings: IngestParams, left_out: Mapping[str, int]
) -> dict[str, Any]:
    return {**profile, "dropped": {**profile["dropped"], **left_out}, "source": settings.source}


def _metrics(profile: Mapping[str, Any]) -> dict[str, float]:
    return {
        "num_items": profile["items"],
        "num_users": profile["users"],
        "num_events": profile["interactions"],
        "num_cold_items": profile["cold_items"],
        **{f"num_items_{name}": profile["items_by_standing"][name] for name in STANDINGS},
        **{name: profile[name] for name in _OF_A_LOG if name in profile},
        **{f"num_{name}": count for name, count in profile["split"].items()},
    }


def _headline(profile: Mapping[str, Any], checks: Sequence[Mapping[str, Any]]) -> str:
    warnings = [row["name"] for row in checks if not row["passed"]]
    by_standing = profile["items_by_standing"]
    if not profile["interactions"]:
        line = f"{profile['items']:,} items, no interaction log: ids from content alone"
        return _with_warnings(line, warnings)
    line = (
        f"{profile['items']:,} items ({by_standing['warm']:,} warm, {by_standing['withheld']:,} "
        f"withheld: {profile['cold_selection']}, {by_standing['below_core']:,} below the k-core, "
        f"{by_standing['without_events']:,} without events), {profile['users']:,} users, "
        f"{profile['interactions']:,} interactions"
    )
    if profile["dropped"]["items_by_k_core"]:
        line += f"; {profile['dropped']['items_by_k_core']:,} items outside the k-core left out"
    left_out = profile["dropped"]["interactions_on_unknown_items"]
    if left_out:
        line += f"; {left_out:,} interactions on unknown items left out"
    return _with_warnings(line, warnings)


def _with_warnings(line: str, warnings: Sequence[str]) -> str:
    return f"{line}; warnings: {', '.join(warnings)}" if warnings else line
