"""Does the log tell what happened? Each line against the ones before it, and against manifests.

The chain of hashes says that no line was changed after it was written. It does not say that a line
was true: that the champion before was the champion before, that a version has one manifest, and
that the manifest says the same of who published it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sidmint.publishing.audit import Entry

MAKING = ("publish", "refresh")
"""Actions that make a version; any other moves the pointer to one that is there."""

ManifestOf = Callable[[str], Any]


def story_problems(entries: Sequence[Entry], manifest_of: ManifestOf) -> list[str]:
    """What cannot have happened as `entries` tell it, oldest first; [] if nothing.

    `manifest_of(version)` gives the parsed manifest of a version, None where there is none that
    can be read (which others report).
    """
    problems: list[str] = []
    digests: dict[str, str] = {}
    champion: str | None = None
    for number, entry in enumerate(entries, start=1):
        where = f"log.jsonl line {number}"
        version, digest = entry.get("version"), entry.get("manifest_sha256")
        if not isinstance(version, str) or not isinstance(digest, str):
            problems.append(f"{where} names no version, or no digest of its manifest")
            continue
        if entry.get("previous") != champion:
            problems.append(
                f"{where} says that {entry.get('previous') or 'nothing'} was champion before "
                f"{version}; by the line above it was {champion or 'nothing'}"
            )
        is_new = version not in digests
        if digests.setdefault(version, digest) != digest:
            problems.append(f"{where} gives {version} another manifest than an earlier line")
        if (entry["action"] in MAKING) != is_new:
            done = "published again" if entry["action"] in MAKING else "never published"
            problems.append(f"{where} moves the pointer to {version}, which was {done}")
        problems += _disagreements(where, version, entry, manifest_of(version))
        champion = version
    return problems


def _disagreements(where: str, version: str, entry: Entry, manifest: Any) -> list[str]:
    if not isinstance(manifest, dict):
        return []
    logged, written = _by_log(entry), _by_manifest(manifest)
    # Whoever rolls back says who and why of the rollback; only the table is the manifest's.
    names = logged if entry["action"] in MAKING else ("tokenizer",)
    return [
        f"{where} says {name} {logged[name]!r} of {version}, its manifest {written[name]!r}"
        for name in names
        if logged[name] != written[name]
    ]


def _by_log(entry: Entry) -> dict[str, Any]:
    """What a line about publishing says; what it leaves out counts as said."""
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
    moves alike, nothing else tells.
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
        f"{snapshot.name} of the workspace knows of move {sequence} ({head[:12]}), which the log "
        f"of {len(entries)} moves does not have: its last ones were cut off, or it is another's"
    ]
