"""Publish and roll back: a table becomes champion in one go, or an earlier one again.

The way in steps, for those who want a person to look in between, is `promotion`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidmint.artifacts import Artifacts
from sidmint.errors import BadInput, Refused
from sidmint.execution.engine import Engine, InThisProcess
from sidmint.layout import Layout, safe_name
from sidmint.params import Params
from sidmint.progress import Track, silent
from sidmint.publishing.acts import moves, objection, standings
from sidmint.publishing.audit import Entry
from sidmint.publishing.bundle import fill
from sidmint.publishing.candidates import Candidate
from sidmint.publishing.opening import open_registry
from sidmint.publishing.refusals import consider
from sidmint.publishing.snapshot import sync_champion
from sidmint.publishing.store import Assemble, VersionStore, utc_now
from sidmint.publishing.tables import table_sha256
from sidmint.publishing.verify import release_problems
from sidmint.publishing.versions import Pointer, Release

_HERE = InThisProcess()


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
    engine: Engine = _HERE,
    track: Track = silent,
) -> Published:
    """Make the table of `tokenizer` the champion; without a name, the passing leader's.

    `Refused` with every reason if the verdict is not about what is there, or does not pass and no
    `override` is given; `RegistryConflict` if the verdict compared with a champion that is
    champion no longer (an override does not help: run again); `BadInput` if a stage has not
    run. Publishing the table that is champion already changes nothing. What the gate refused is
    kept in the log. Where `registry.approval` is person, nothing is published in one go. `engine`
    checks the parts of tables that lie in parts.
    """
    if params.registry.approval == "person":
        raise Refused(
            "registry.approval is person, and publish asks nobody: `sidmint propose`, then "
            "`sidmint approve VERSION --by NAME --reason TEXT`, then `sidmint promote VERSION`"
        )
    store = open_registry(layout, params.registry.path)
    asked = (tokenizer, override is not None, by)
    candidate = consider(params, artifacts, store, *asked, engine, track)
    champion = store.champion()
    if champion and _has_table(store.release(champion.version), candidate):
        store.recover()
        sync_champion(layout, store)
        return published(store, champion, champion.version, changed=False)
    pointer = store.publish(
        assembly(artifacts, candidate, override, by, engine, track),
        candidate.judged_against,
        making_facts("publish", candidate, override, by),
    )
    sync_champion(layout, store)
    return published(store, pointer, candidate.judged_against, changed=True)


def making_facts(
    action: str, candidate: Candidate, override: Override | None, by: str
) -> dict[str, Any]:
    """What the log says of an act that makes a version."""
    return {
        "action": action,
        "tokenizer": candidate.tokenizer,
        "by": override.by if override else by,
        "reason": override.reason if override else None,
        "override": override is not None,
        "overruled": list(candidate.refusals),
    }


def assembly(
    artifacts: Artifacts,
    candidate: Candidate,
    override: Override | None,
    by: str,
    engine: Engine = _HERE,
    track: Track = silent,
) -> Assemble:
    """Fills a version folder with `candidate`, and tells the manifest who made it."""

    def assemble(folder: Path) -> dict[str, Any]:
        return {
            **fill(folder, artifacts, candidate.contents, engine, track),
            "created_at": utc_now(),
            "created_by": override.by if override else by,
            "override": {"by": override.by, "reason": override.reason} if override else None,
            "overruled": list(candidate.refusals),
        }

    return assemble


def rollback(
    params: Params,
    layout: Layout,
    to: str | None = None,
    reason: str | None = None,
    by: str = "",
    engine: Engine = _HERE,
) -> Published:
    """Make an older version champion again: `to`, else the champion before this one.

    The files of that version are verified first (`Refused` if they are damaged, or if it was
    retired).
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
        return published(store, champion, champion.version, changed=False)
    require_whole(store, target, log, engine)
    facts = {
        "action": "rollback",
        "tokenizer": target.manifest["tokenizer"],
        "by": by,
        "reason": reason,
        "override": False,
        "overruled": [],
    }
    pointer = store.point_to(
        target.version, champion.version, facts, lambda log: _may_return(log, target.version)
    )
    sync_champion(layout, store)
    return published(store, pointer, champion.version, changed=True)


def require_whole(
    store: VersionStore, target: Release, log: Sequence[Entry], engine: Engine = _HERE
) -> None:
    """`Refused` if the files of `target` are not those that the log knows; `BadInput` if none."""
    standing = standings(log).get(target.version)
    if standing is None:
        raise BadInput(
            f"{target.version} is in no line of the log: its making was interrupted; propose or "
            "publish its table again"
        )
    check_whole(store, target, standing.manifest_sha256, engine)


def _may_return(log: Sequence[Entry], version: str) -> dict[str, Any]:
    if against := objection(standings(log), "rollback", version):
        raise Refused(f"{version} {against}; `sidmint versions` lists what there is")
    return {}


def _has_table(champion: Release, candidate: Candidate) -> bool:
    published = table_sha256(champion.manifest["files"])
    if published is None:
        raise BadInput(
            f"{champion.where}/manifest.json lists no table; `sidmint verify {champion.version}` "
            "says what is damaged"
        )
    # Of a minor version too: it is the trained table, with later items that publishing would lose.
    trained = (champion.manifest.get("refresh") or {}).get("trained_table_sha256")
    same_table: bool = candidate.table_sha256 in (published, trained)
    return same_table and champion.manifest["tokenizer"] == candidate.tokenizer


def _previous_champion(log: list[Entry]) -> str:
    """The champion that a rollback undoes to: publishing goes forward, rolling back takes back.

    v1, v2, v3, back to v2: one more rollback goes to v1, not to v3 again. Retired ones are passed
    over.
    """
    line: list[str] = []
    for entry in filter(moves, log):
        version = entry["version"]
        if entry["action"] == "rollback" and version in line:
            del line[line.index(version) + 1 :]
        else:
            line.append(version)
    known = standings(log)
    before = [version for version in line[:-1] if known[version].status != "retired"]
    if not before:
        raise BadInput(
            f"{line[-1]} has no champion before it that is not retired; name one with --to "
            "(`sidmint versions` lists them)"
        )
    return before[-1]


def check_whole(
    store: VersionStore, release: Release, manifest_sha256: str | None, engine: Engine = _HERE
) -> None:
    """`Refused` with every problem if a file of `release` is not what was published."""
    with store.backend.as_stored(release.version) as folder:
        problems = release_problems(folder, manifest_sha256, engine)
    if problems:
        lines = [f"{release.version} is damaged:", *(f"  - {problem}" for problem in problems)]
        raise Refused("\n".join(lines))


def published(
    store: VersionStore, pointer: Pointer, previous: str | None, changed: bool
) -> Published:
    """The result of a move."""
    release = store.release(pointer.version)
    return Published(
        release.version, release.whole(), release.where, release.manifest, previous, changed
    )
