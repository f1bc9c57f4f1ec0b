"""Does the log tell what happened? Each line against the ones before it, and against manifests.

The chain of hashes says that no line was changed after it was written. It does not say that a line
was true: that the champion before was the champion before, that a version has one manifest, that
the manifest says the same of who made it, and that nobody approved, promoted or retired what was
not there to be.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sidmint.publishing.acts import ACTS, Standing, Standings, advance, moves, objection
from sidmint.publishing.audit import Entry
from sidmint.publishing.versions import Pointer

ManifestOf = Callable[[str], Any]


def story_problems(entries: Sequence[Entry], manifest_of: ManifestOf) -> list[str]:
    """What cannot have happened as `entries` tell it, oldest first; [] if nothing.

    `manifest_of(version)` gives the parsed manifest of a version, None where there is none that
    can be read (which others report).
    """
    problems: list[str] = []
    known: Standings = {}
    champion: Pointer | None = None
    for number, entry in enumerate(entries, start=1):
        told = [
            *_about_the_champion(entry, champion),
            *_about_the_version(entry, known, manifest_of),
        ]
        problems += [f"log.jsonl line {number} {problem}" for problem in told]
        if isinstance(entry.get("version"), str) and moves(entry):
            champion = Pointer(
                entry["version"],
                entry.get("manifest_sha256", ""),
                entry["sequence"],
                entry["hash"],
            )
        advance(known, entry)
    return problems


def _about_the_champion(entry: Entry, champion: Pointer | None) -> list[str]:
    """Whether a line names the champion that the lines above it made."""
    act, what = ACTS.get(entry["action"]), entry.get("version") or "it"
    if act is None:
        return [f"tells of an act {entry['action']!r} that this sidmint does not know"]
    if act.moves != moves(entry):
        done = "moves the pointer" if moves(entry) else "leaves the pointer where it is"
        return [f"{done}, which to {entry['action']} does not"]
    before = champion.version if champion else None
    if entry.get("previous") != before:
        return [
            f"says that {entry.get('previous') or 'nothing'} was champion before "
            f"{what}; by the line above it was {before or 'nothing'}"
        ]
    if not act.moves and entry["champion"] != (asdict(champion) if champion else None):
        return ["says another move than an earlier line of how the champion became it"]
    return []


def _about_the_version(entry: Entry, known: Standings, manifest_of: ManifestOf) -> list[str]:
    """Whether what a line does to its version can have been done to it then."""
    act, version, digest = ACTS.get(entry["action"]), entry.get("version"), None
    if act is None:
        return []
    if not act.version:
        return [] if version is None else [f"refuses a table and names {version}, a version"]
    digest = entry.get("manifest_sha256")
    if not isinstance(version, str) or not isinstance(digest, str):
        return ["names no version, or no digest of its manifest"]
    problems = []
    if version in known and known[version].manifest_sha256 != digest:
        problems.append(f"gives {version} another manifest than an earlier line")
    if against := objection(known, entry["action"], version):
        problems.append(f"{act.verb} {version}, which {against}")
    if entry["action"] == "promote" and not _is_approved(entry, known.get(version)):
        problems.append(f"says that {version} was approved, which no line above it does")
    return problems + _disagreements(version, entry, manifest_of(version))


def _is_approved(entry: Entry, standing: Standing | None) -> bool:
    """Whether the approval that a promotion names is the newest decision on its version."""
    decision = standing.decision if standing else None
    named = (entry.get("approval"), entry.get("approved_by"))
    return named == ((decision["hash"], decision["by"]) if decision else (None, None))


def _disagreements(version: str, entry: Entry, manifest: Any) -> list[str]:
    if not isinstance(manifest, dict):
        return []
    logged, written = _by_log(entry), _by_manifest(manifest)
    # Whoever rolls back says who and why of the rollback; only the table is the manifest's.
    names = logged if ACTS[entry["action"]].makes else ("tokenizer",)
    return [
        f"says {name} {logged[name]!r} of {version}, its manifest {written[name]!r}"
        for name in names
        if logged[name] != written[name]
    ]


def _by_log(entry: Entry) -> dict[str, Any]:
    """What a line that made a version says; what it leaves out counts as said."""
    return {
        "tokenizer": entry.get("tokenizer"),
        "by": entry.get("by"),
        "override": bool(entry.get("override")),
        "reason": entry.get("reason") if entry.get("override") else None,
        "overruled": entry.get("overruled") or [],
        "previous": entry.get("previous"),
    }


def _by_manifest(manifest: dict[str, Any]) -> dict[str, Any]:
    """The same, as the manifest says it."""
    override = manifest.get("override")
    return {
        "tokenizer": manifest.get("tokenizer"),
        "by": manifest.get("created_by"),
        "override": override is not None,
        "reason": override.get("reason") if isinstance(override, dict) else None,
        "overruled": manifest.get("overruled") or [],
        "previous": manifest.get("parent"),
    }


def snapshot_problems(snapshot: Path, entries: Sequence[Entry]) -> list[str]:
    """Whether the moves that `snapshot` (data/champion.json) knows of are still in the log.

    The file is tracked by git, outside the registry: of a log and a pointer that lost their last
    moves alike, nothing else tells. It knows of moves alone: of other lines that were cut off
    behind the last move, the head that `sidmint verify` prints tells, where somebody keeps it.
    """
    try:
        known = json.loads(snapshot.read_bytes())
        head, sequence = known.get("log_head"), known.get("log_sequence")
    except (OSError, ValueError, AttributeError, RecursionError):
        return []
    if not isinstance(head, str) or not isinstance(sequence, int):
        return []  # nothing was published, or an older sidmint wrote it
    if 1 <= sequence <= len(entries) and entries[sequence - 1]["hash"] == head:
        return []
    return [
        f"{snapshot.name} of the workspace knows of the move in line {sequence} ({head[:12]}), "
        f"which the log of {len(entries)} lines does not have: its last ones were cut off, or it "
        "is another's"
    ]
