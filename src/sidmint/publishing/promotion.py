"""From candidate to champion in steps: propose, approve or decline, promote; and retire.

A proposal is a version like any other: its folder never changes, so that what somebody looked
at is what is promoted. Each step is one line of the registry's log. `publish` takes the same
way in one step, where nobody need look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sidmint.artifacts import Artifacts
from sidmint.disk import digest
from sidmint.errors import BadInput, Refused
from sidmint.execution.engine import Engine, InThisProcess
from sidmint.layout import Layout
from sidmint.params import Params
from sidmint.progress import Track, silent
from sidmint.publishing.acts import Standing, Status, objection, standings
from sidmint.publishing.audit import Entry
from sidmint.publishing.candidates import Candidate
from sidmint.publishing.opening import open_registry
from sidmint.publishing.refusals import consider
from sidmint.publishing.release import (
    Override,
    Published,
    assembly,
    making_facts,
    published,
    require_whole,
)
from sidmint.publishing.snapshot import sync_champion
from sidmint.publishing.store import VersionStore
from sidmint.publishing.tables import table_sha256
from sidmint.publishing.versions import Release

_HERE = InThisProcess()

Way = Literal["command line", "prefect"]
"""By which way a decision came to us."""


@dataclass(frozen=True)
class Stands:
    """A version after an act that did not move the pointer."""

    version: str
    path: Path
    """Its files on this disk."""
    where: str
    """The place as messages name it."""
    manifest: Mapping[str, Any]
    status: Status
    champion: str | None
    """Who is served all the while."""
    changed: bool
    """False where it stood so already, and nothing was done."""


def propose(
    params: Params,
    artifacts: Artifacts,
    layout: Layout,
    tokenizer: str | None = None,
    override: Override | None = None,
    by: str = "",
    engine: Engine = _HERE,
    track: Track = silent,
) -> Stands:
    """Let the table of `tokenizer`, or the passing leader's, into the registry as a version.

    Checked as by `publish`, with the same errors; the champion stays. A table that is proposed
    or champion already, on the same verdict, is not let in again.
    """
    store = open_registry(layout, params.registry.path)
    asked = (tokenizer, override is not None, by)
    candidate = consider(params, artifacts, store, *asked, engine, track)
    store.recover()
    if (known := _proposed_before(store, candidate)) is not None:
        return _stands(store, known, changed=False)
    version = store.propose(
        assembly(artifacts, candidate, override, by, engine, track),
        candidate.judged_against,
        making_facts("propose", candidate, override, by),
    )
    return _stands(store, version, changed=True)


def decide(
    params: Params,
    layout: Layout,
    version: str,
    approved: bool,
    by: str,
    reason: str,
    way: Way = "command line",
) -> Stands:
    """Write down that somebody approves or declines a proposal, and of which files.

    The newest decision counts. `BadInput` without a name, or without a reason to approve;
    `Refused` if the files of the version are damaged, or if there is nothing to decide: it is
    retired, or was champion already.
    """
    if not by.strip() or (approved and not reason.strip()):
        raise BadInput("a decision wants --by NAME and --reason TEXT, neither of them empty")
    store, release = _open(params, layout, version)
    action = "approve" if approved else "decline"
    facts = {
        "action": action,
        "tokenizer": release.manifest["tokenizer"],
        "by": by,
        "reason": reason,
        "way": way,
    }
    store.note(facts, release.version, lambda log: _allowed(log, action, release))
    return _stands(store, release.version, changed=True)


def promote(
    params: Params, layout: Layout, version: str, reason: str | None = None, by: str = ""
) -> Published:
    """Make a proposed version champion.

    `Refused` if it was declined or retired, if its files are damaged, or if nobody approved it
    while `registry.approval` is person; `RegistryConflict`, which tells what happened since, if it
    was judged against a champion that is champion no longer.
    """
    store, release = _open(params, layout, version)
    champion = store.champion()
    if champion is not None and champion.version == release.version:
        sync_champion(layout, store)
        return published(store, champion, champion.version, changed=False)
    manifest = release.manifest
    facts = {
        "action": "promote",
        "tokenizer": manifest["tokenizer"],
        "by": by,
        "reason": reason,
        "override": manifest["override"] is not None,
        "overruled": manifest["overruled"],
    }

    def allow(log: Sequence[Entry]) -> dict[str, Any]:
        _allowed(log, "promote", release)
        decision = standings(log)[release.version].decision
        if decision is None and params.registry.approval == "person":
            raise Refused(
                f"nobody approved {release.version} yet, and registry.approval is person: `sidmint "
                f"approve {release.version} --by NAME --reason TEXT`"
            )
        return {
            "approval": decision["hash"] if decision else None,
            "approved_by": decision["by"] if decision else None,
        }

    pointer = store.point_to(release.version, manifest["parent"], facts, allow)
    sync_champion(layout, store)
    return published(store, pointer, manifest["parent"], changed=True)


def retire(params: Params, layout: Layout, version: str, reason: str, by: str) -> Stands:
    """Take a version out of use: nobody can promote it, or roll back to it, from now on.

    Its files stay, and so does what the log says of it. `Refused` of the champion. Retiring it
    again changes nothing.
    """
    if not by.strip() or not reason.strip():
        raise BadInput("retire wants --by NAME and --reason TEXT, neither of them empty")
    store, release = _open(params, layout, version, whole=False)
    if _standing(store.log.entries(), release.version).status == "retired":
        return _stands(store, release.version, changed=False)
    facts = {
        "action": "retire",
        "tokenizer": release.manifest["tokenizer"],
        "by": by,
        "reason": reason,
    }
    store.note(facts, release.version, lambda log: _allowed(log, "retire", release))
    return _stands(store, release.version, changed=True)


def _open(
    params: Params, layout: Layout, version: str, whole: bool = True
) -> tuple[VersionStore, Release]:
    """The registry with its log complete, and the version, whose files are those of the log."""
    store = open_registry(layout, params.registry.path)
    release = store.release(version)
    store.recover()
    if whole:
        require_whole(store, release, store.log.entries())
    return store, release


_WAY_OUT = {
    "approve": "there is nothing to approve",
    "decline": "there is nothing to decline",
    "promote": "`sidmint rollback --to VERSION` goes back to an earlier champion, and "
    "`sidmint propose` lets a new table in",
    "retire": "promote or roll back to another one first",
}


def _allowed(log: Sequence[Entry], action: str, release: Release) -> dict[str, Any]:
    """Asked under the lock: `Refused` if the act is out of place, or the manifest another."""
    standing = _standing(log, release.version)
    if against := objection({release.version: standing}, action, release.version):
        raise Refused(f"{release.version} {against}; {_WAY_OUT[action]}")
    if digest(release.file("manifest.json")) != standing.manifest_sha256:
        raise Refused(f"{release.version} is damaged; `sidmint verify {release.version}` says how")
    return {}


def _standing(log: Sequence[Entry], version: str) -> Standing:
    standing = standings(log).get(version)
    if standing is None:
        raise BadInput(
            f"{version} is in no line of the log: its making was interrupted; propose its table "
            "again"
        )
    return standing


def _proposed_before(store: VersionStore, candidate: Candidate) -> str | None:
    """The version that holds this very candidate on this very verdict, and is still in the race."""
    for version, standing in standings(store.log.entries()).items():
        if standing.status not in ("proposed", "approved", "champion"):
            continue
        manifest = store.release(version).manifest
        digests = {name: file["sha256"] for name, file in manifest["files"].items()}
        held = (manifest["tokenizer"], table_sha256(manifest["files"]))
        same_table = held == (candidate.tokenizer, candidate.table_sha256)
        same_verdict = digests.get("verdict.json") == candidate.verdict_sha256
        if same_table and (same_verdict or standing.status == "champion"):
            return version
    return None


def _stands(store: VersionStore, version: str, changed: bool) -> Stands:
    release, champion = store.release(version), store.champion()
    return Stands(
        version=version,
        path=release.whole(),
        where=release.where,
        manifest=release.manifest,
        status=_standing(store.log.entries(), version).status,
        champion=champion.version if champion else None,
        changed=changed,
    )
