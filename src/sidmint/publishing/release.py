"""Publish and roll back: the two ways in which the champion of a workspace changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidmint.artifacts import Artifacts
from sidmint.errors import BadInput, Refused
from sidmint.layout import Layout, safe_name
from sidmint.params import Params
from sidmint.publishing.audit import Entry
from sidmint.publishing.bundle import fill
from sidmint.publishing.candidates import Candidate, choose
from sidmint.publishing.opening import open_registry
from sidmint.publishing.snapshot import sync_champion
from sidmint.publishing.store import VersionStore, utc_now
from sidmint.publishing.verify import release_problems
from sidmint.publishing.versions import Pointer, Release


@dataclass(frozen=True)
class Override:
    """Somebody publishes against the gate: who, and why. Kept in manifest and log for ever."""

    by: str
    reason: str

    def __post_init__(self) -> None:
        if not self.by.strip() or not self.reason.strip():
            raise BadInput("--override wants --by NAME and --reason TEXT, neither of them empty")


@dataclass(frozen=True)
class Published:
    """The champion after a publish or a rollback."""

    version: str
    path: Path
    """Its files on this disk."""
    where: str
    """The place as messages name it."""
    manifest: Mapping[str, Any]
    previous: str | None
    """The champion before."""
    changed: bool
    """False where that version was champion already, and nothing was done."""


def publish(
    params: Params,
    artifacts: Artifacts,
    layout: Layout,
    tokenizer: str | None = None,
    override: Override | None = None,
    by: str = "",
) -> Published:
    """Make the table of `tokenizer` the champion; without a name, the passing leader's.

    `Refused` with every reason if the verdict is not about what is there, or does not pass and no
    `override` is given; `RegistryConflict` if the verdict compared with a champion that is
    champion no longer (an override does not help: run again); `BadInput` if a stage has not
    run. Publishing the table that is champion already changes nothing.
    """
    store = open_registry(layout, params.registry.path)
    candidate = choose(params, artifacts, tokenizer, overriding=override is not None)
    champion = store.champion()
    if champion and _has_table(store.release(champion.version), candidate):
        store.recover()
        sync_champion(layout, store)
        return _published(store, champion, champion.version, changed=False)
    facts = {
        "action": "publish",
        "tokenizer": candidate.tokenizer,
        "by": override.by if override else by,
        "reason": override.reason if override else None,
        "override": override is not None,
        "overruled": list(candidate.refusals),
    }

    def assemble(folder: Path) -> dict[str, Any]:
        described = fill(folder, artifacts, candidate.contents)
        return {
            **described,
            "created_at": utc_now(),
            "created_by": facts["by"],
            "override": {"by": override.by, "reason": override.reason} if override else None,
            "overruled": facts["overruled"],
        }

    pointer = store.publish(assemble, candidate.judged_against, facts)
    sync_champion(layout, store)
    return _published(store, pointer, pointer.entry["previous"], changed=True)


def rollback(
    params: Params,
    layout: Layout,
    to: str | None = None,
    reason: str | None = None,
    by: str = "",
) -> Published:
    """Make an older version champion again: `to`, else the champion before this one.

    The files of that version are verified first (`Refused` if they are damaged).
    """
    if to is not None:
        safe_name(to, "version")
    store = open_registry(layout, params.registry.path)
    champion = store.champion()
    if champion is None:
        raise BadInput(f"nothing is published in {store.where} yet: there is nothing to roll back")
    store.recover()
    log = store.log.entries()
    target = store.release(to or _previous_champion(log))
    if target.version == champion.version:
        sync_champion(layout, store)
        return _published(store, champion, champion.version, changed=False)
    _check_target(store, target, log)
    facts = {
        "action": "rollback",
        "tokenizer": target.manifest["tokenizer"],
        "by": by,
        "reason": reason,
        "override": False,
        "overruled": [],
    }
    pointer = store.point_to(target.version, champion.version, facts)
    sync_champion(layout, store)
    return _published(store, pointer, champion.version, changed=True)


def _has_table(champion: Release, candidate: Candidate) -> bool:
    files = champion.manifest["files"]
    if "sids.parquet" not in files:
        raise BadInput(
            f"{champion.where}/manifest.json lists no table; `sidmint verify {champion.version}` "
            "says what is damaged"
        )
    same_table: bool = files["sids.parquet"]["sha256"] == candidate.table_sha256
    return same_table and champion.manifest["tokenizer"] == candidate.tokenizer


def _previous_champion(log: list[Entry]) -> str:
    """The champion that a rollback undoes to: publishing goes forward, rolling back takes back.

    v1, v2, v3, back to v2: one more rollback goes to v1, not to v3 again.
    """
    line: list[str] = []
    for entry in log:
        version = entry["version"]
        if entry["action"] == "rollback" and version in line:
            del line[line.index(version) + 1 :]
        else:
            line.append(version)
    if len(line) < 2:
        raise BadInput(
            f"{line[0]} has no champion before it; name one with --to "
            "(`sidmint versions` lists them)"
        )
    return line[-2]


def _check_target(store: VersionStore, target: Release, log: list[Entry]) -> None:
    digests = {entry["version"]: entry["manifest_sha256"] for entry in log}
    if target.version not in digests:
        raise BadInput(
            f"{target.version} was never champion: its publishing was interrupted; publish its "
            "table again"
        )
    with store.backend.as_stored(target.version) as folder:
        problems = release_problems(folder, digests[target.version])
    if problems:
        raise Refused("\n".join([f"{target.version} is damaged:", *(f"  - {p}" for p in problems)]))


def _published(
    store: VersionStore, pointer: Pointer, previous: str | None, changed: bool
) -> Published:
    release = store.release(pointer.version)
    return Published(
        release.version, release.whole(), release.where, release.manifest, previous, changed
    )
