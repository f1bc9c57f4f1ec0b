"""Everything that was done to the registry, refusals too: who, when, why, and on which verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sidmint.errors import BadInput
from sidmint.gate.loosening import ThresholdChange, threshold_changes
from sidmint.gate.thresholds import GateParams
from sidmint.publishing.acts import ACTS
from sidmint.publishing.audit import Entry
from sidmint.publishing.difference import (
    param_changes,
    published_params,
    published_thresholds,
    revision,
    thresholds_of,
)
from sidmint.publishing.store import VersionStore
from sidmint.publishing.versions import Release
from sidmint.settings import parse_settings

Answer = Literal["passed", "refused", "overruled"]
"""What became of the gate's verdict; `overruled`: it refused, and somebody let the table in."""


@dataclass(frozen=True)
class Judged:
    """What stood behind a new version, or behind a refusal."""

    verdict: Answer
    reasons: tuple[str, ...]
    """The gate's reasons against it."""
    verdict_sha256: str | None
    params_sha256: str | None
    thresholds_sha256: str | None
    against: str | None
    """The champion that it was compared with."""
    params: dict[str, tuple[Any, Any]]
    """Parameters that differ from that champion's; of a first version all, before it None."""
    thresholds: dict[str, ThresholdChange] | None
    """Bounds of the gate that differ from that champion's; None where they cannot be compared."""
    revisions: dict[str, tuple[Any, Any]]
    """Code and data that differ from that champion's; nothing of a refused table, which has no
    manifest."""


@dataclass(frozen=True)
class Told:
    """One line of the log."""

    sequence: int
    at: str
    by: str
    action: str
    version: str | None
    tokenizer: str | None
    reason: str | None
    champion: str | None
    """Who was champion afterwards."""
    judged: Judged | None
    """None of an act on a version that is there already."""


def chronicle(store: VersionStore) -> list[Told]:
    """Every line of the log, oldest first; empty where nobody ever wrote one.

    `BadInput` where a version that a line names cannot be read: `sidmint verify` says why.
    """
    known = set(store.versions())
    return [_told(store, entry, known) for entry in store.entries()]


def _told(store: VersionStore, entry: Entry, known: set[str]) -> Told:
    act, version = ACTS.get(entry["action"]), entry.get("version")
    judged = None
    if entry["action"] == "refuse":
        judged = _of_refusal(store, entry, known)
    elif act is not None and act.makes and version in known:
        judged = _of_version(store, store.release(version), known)
    is_move = "champion" not in entry
    return Told(
        sequence=entry["sequence"],
        at=entry["at"],
        by=entry["by"],
        action=entry["action"],
        version=version,
        tokenizer=entry.get("tokenizer"),
        reason=entry.get("reason"),
        champion=version if is_move else (entry["champion"] or {}).get("version"),
        judged=judged,
    )


def _of_version(store: VersionStore, release: Release, known: set[str]) -> Judged:
    manifest, verdict = release.manifest, release.verdict
    overruled: Sequence[str] = manifest["overruled"]
    parent = manifest["parent"]
    origin = store.release(parent) if parent in known else None
    digests = {name: file["sha256"] for name, file in manifest["files"].items()}
    before = asdict(revision(origin)) if origin else {}
    return Judged(
        verdict="overruled" if overruled else "passed",
        reasons=tuple(overruled),
        verdict_sha256=digests.get("verdict.json"),
        params_sha256=digests.get("params.yaml"),
        thresholds_sha256=verdict.get("thresholds_sha256"),
        against=parent,
        params=param_changes(_params(origin), published_params(release)),
        thresholds=published_thresholds(origin, release) if origin else None,
        revisions=param_changes(before, asdict(revision(release))),
    )


def _of_refusal(store: VersionStore, entry: Entry, known: set[str]) -> Judged:
    against = entry.get("judged_against")
    origin = store.release(against) if against in known else None
    changed: dict[str, Any] = entry.get("changed_params") or {}
    return Judged(
        verdict="refused",
        reasons=tuple(entry.get("reasons") or ()),
        verdict_sha256=entry.get("verdict_sha256"),
        params_sha256=entry.get("params_sha256"),
        thresholds_sha256=entry.get("thresholds_sha256"),
        against=against,
        params={key: (values[0], values[1]) for key, values in changed.items()},
        thresholds=_refusal_thresholds(origin, entry) if origin else None,
        revisions={},
    )


def _refusal_thresholds(origin: Release, entry: Entry) -> dict[str, ThresholdChange] | None:
    try:
        asked: GateParams = parse_settings(GateParams, entry.get("thresholds"), "the log")
        before = thresholds_of(published_params(origin))
        return threshold_changes(before, asked, origin.ids.levels)
    except BadInput:  # written by a release of sidmint that knew other rules
        return None


def _params(release: Release | None) -> Any:
    return published_params(release) if release else {}
