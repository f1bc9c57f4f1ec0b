"""New items get ids from the champion's own tokenizer: no training, and no published id moves.

A refresh is planned, judged by the rules of `refresh` in params.yaml, and published as a minor
version of the champion (v0003.1). Published items keep their rows, new ones come behind them: row
numbers of the index, of held-out cases and of the recommender stay true. decisions/0016 says why.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidmint import __version__
from sidmint.disk import digest
from sidmint.errors import BadInput, Refused, RegistryConflict
from sidmint.gate.refreshing import RefreshParams
from sidmint.gate.rules import Rule, absolute_rules
from sidmint.gate.verdict import RuleResult, Verdict, result_of
from sidmint.json_text import dump_json
from sidmint.layout import Layout
from sidmint.neighbours import extend_index, load_index, replace_vectors, save_index
from sidmint.params import load_params
from sidmint.progress import Track, silent
from sidmint.publishing.arrivals import (
    ROWS_AT_ONCE,
    Arrivals,
    Sorted,
    neighbours_of,
    pieces,
    sort_out,
)
from sidmint.publishing.describing import describe_table
from sidmint.publishing.files import NEIGHBOURS, SOURCES_FILE, copy_regular
from sidmint.publishing.placing import RETIRED, Placed, place, published_ids
from sidmint.publishing.refresh_figures import refresh_figures, table_figures
from sidmint.publishing.release import Published, check_whole, published
from sidmint.publishing.snapshot import sync_champion
from sidmint.publishing.store import VersionStore, trained_version, utc_now
from sidmint.publishing.tables import table_sha256
from sidmint.publishing.versions import Pointer, Release

_COPIED = (
    *("params.yaml", "dvc.lock", "cases.parquet", SOURCES_FILE),
    *("tokenizer/", "recommender/"),
)
"""Files and folders of the champion that a minor version holds as they are. report.html is not
among them: it is about the trained table."""
_ROOM = Rule("refresh_without_room", "refresh_without_room", "critical", high=0)
"""Always asked: an item without room has no id of its own."""


@dataclass(frozen=True)
class Plan:
    """What a refresh would do to the champion, and whether it may."""

    champion: Pointer
    release: Release
    arrivals: Arrivals
    found: Sorted
    placed: Placed | None
    """None where there is nothing to do: every item is published, or changed and may not move."""
    metrics: dict[str, float]
    """Of the new items, and of the whole table as far as it was measured anew."""
    results: tuple[RuleResult, ...]
    thresholds_sha256: str

    @property
    def changed(self) -> tuple[str, ...]:
        """Published items whose text is another one now, by id."""
        return tuple(self.arrivals.item_ids.gather(self.found.changed).to_list())

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why one must train again; empty: the refresh may be published."""
        return self._failed("critical")

    @property
    def warnings(self) -> tuple[str, ...]:
        """What else to know."""
        return self._failed("warning")

    def _failed(self, severity: str) -> tuple[str, ...]:
        return tuple(r.reason for r in self.results if not r.passed and r.severity == severity)

    def require_passed(self) -> None:
        """`Refused` with every reason, unless the rules hold or there is nothing to do."""
        if self.refusals:
            lines = [f"{self.release.version} cannot take these items as it is: retrain"]
            lines += [f"  - {reason}" for reason in self.refusals]
            lines.append("add them to the catalogue, then `sidmint run` and `sidmint publish`")
            raise Refused("\n".join(lines))


def plan_refresh(
    settings: RefreshParams,
    store: VersionStore,
    release: Release,
    arrivals: Arrivals,
    move_changed: bool = False,
    track: Track = silent,
) -> Plan:
    """What `release`, the champion, makes of `arrivals`. Writes nothing.

    Its files are verified first (`Refused` if one is damaged). Text that changed is reported, and
    moves an id only with `move_changed`. `RegistryConflict` where it is champion no longer.
    """
    pointer = store.champion()
    if pointer is None or pointer.version != release.version:
        raise _moved_on(release)
    check_whole(store, release, pointer.manifest_sha256)
    before = published_ids(release)
    found = sort_out(arrivals, before.table["item_id"], _index_of(release, before.table.height))
    if not len(found.new) and not (move_changed and len(found.changed)):
        return Plan(pointer, release, arrivals, found, None, {}, (), settings.digest())
    from sidmint.tokenizers import storage

    model = storage.load(release.whole("tokenizer"))
    placed = place(before, model, arrivals, found, move_changed, track)
    mse = release.metrics.get("reconstruction_mse")
    metrics = refresh_figures(before, placed, arrivals.halves.shape[1], mse)
    metrics |= table_figures(before, placed)
    results = _judged(settings, metrics, len(before.sizes))
    return Plan(pointer, release, arrivals, found, placed, metrics, results, settings.digest())


def _index_of(release: Release, num_items: int) -> Any:
    index = load_index(release.file(NEIGHBOURS))
    if index.ntotal != num_items:
        raise BadInput(
            f"the index of {release.version} holds {index.ntotal:,} items, its table "
            f"{num_items:,}; `sidmint verify {release.version}` says what is damaged"
        )
    return index


def _judged(
    settings: RefreshParams, metrics: dict[str, float], num_levels: int
) -> tuple[RuleResult, ...]:
    """One result a rule, sorted by name. By definition alone: decisions/0016 says why."""
    rules = {rule.name: rule for rule in absolute_rules(settings.rules, num_levels)}
    rules[_ROOM.name] = _ROOM
    ordered = (rules[name] for name in sorted(rules))
    return tuple(result_of(rule, metrics, rule.holds(metrics)) for rule in ordered)


def publish_refresh(layout: Layout, store: VersionStore, plan: Plan, by: str = "") -> Published:
    """Make `plan` a minor version and the champion; where there is nothing to do, do nothing.

    `Refused` where the rules do not hold, and where ids would move though `registry.approval` is
    person; `RegistryConflict` where another version became champion
    since. Otherwise as `release.publish`: the whole version or nothing of it.
    """
    plan.require_passed()
    if plan.placed is None:
        return published(store, plan.champion, plan.release.version, changed=False)
    placed = plan.placed
    if placed.moved and load_params(layout.params).registry.approval == "person":
        raise Refused(
            f"registry.approval is person, and a refresh asks nobody: it may add ids, but not move "
            f"the {len(placed.moved):,} that are published; leave --move-changed out, or train "
            "again"
        )
    facts = {
        "action": "refresh",
        "tokenizer": plan.release.manifest["tokenizer"],
        "by": by,
        "reason": None,
        "override": False,
        "overruled": [],
    }

    def assemble(folder: Path) -> dict[str, Any]:
        return _fill(store, folder, plan, placed) | {
            "created_at": utc_now(),
            "created_by": by,
            "override": None,
            "overruled": [],
        }

    version = plan.release.version
    try:
        pointer = store.publish(assemble, version, facts, minor_of=version)
    except RegistryConflict as error:
        champion = store.champion()
        if champion is not None and champion.version == version:
            raise  # another process keeps the lock
        raise _moved_on(plan.release) from error
    sync_champion(layout, store)
    return published(store, pointer, version, changed=True)


def _moved_on(release: Release) -> RegistryConflict:
    return RegistryConflict(
        f"{release.version} is champion no longer, so these ids may be taken by now; give the "
        "refresh again"
    )


def _fill(store: VersionStore, folder: Path, plan: Plan, placed: Placed) -> dict[str, Any]:
    """Write the files of a minor version into the empty `folder`; returns what describes them."""
    release, manifest = plan.release, plan.release.manifest
    # Again: a flow may publish much later.
    check_whole(store, release, plan.champion.manifest_sha256)
    _copy(release, folder, without="recommender/" if placed.moved else None)
    placed.table.write_parquet(folder / "sids.parquet", compression="zstd", statistics=True)
    if placed.retired.height:
        placed.retired.write_parquet(folder / RETIRED, compression="zstd", statistics=True)
    _write_index(folder, plan, placed)
    metrics = release.metrics | plan.metrics
    (folder / "metrics.json").write_text(dump_json(metrics), "utf-8")
    verdict = Verdict(
        tokenizer=manifest["tokenizer"],
        champion=release.version,
        thresholds_sha256=plan.thresholds_sha256,
        table_sha256=digest(folder / "sids.parquet"),
        rules=plan.results,
        champion_sha256=plan.champion.manifest_sha256,
    )
    (folder / "verdict.json").write_text(dump_json(verdict.to_dict()), "utf-8")
    tokenizer = json.loads((folder / "tokenizer" / "tokenizer.json").read_bytes())
    kept = ("format", "tokenizer", "catalogue_digest", "dvc_lock_sha256", "git_commit")
    return {
        **{key: manifest.get(key) for key in (*kept, "git_changed")},
        "sidmint_version": __version__,
        **describe_table(folder / "sids.parquet", tokenizer),
        "neighbours": neighbours_of(release) | {"num_items": placed.table.height},
        "refresh": _describe(plan, placed),
    }


def _describe(plan: Plan, placed: Placed) -> dict[str, Any]:
    """What the manifest says of the refresh; `num_trained_items` are the rows before any."""
    manifest = plan.release.manifest
    earlier = manifest.get("refresh") or {}
    return {
        "of": trained_version(plan.release.version),
        "num_trained_items": earlier.get("num_trained_items", manifest["num_items"]),
        "trained_table_sha256": earlier.get(
            "trained_table_sha256", table_sha256(manifest["files"])
        ),
        "num_new": placed.table.height - manifest["num_items"],
        "moved": list(placed.moved),
        "arrivals_sha256": plan.arrivals.sha256(),
        "measured": sorted(plan.metrics),
    }


def _write_index(folder: Path, plan: Plan, placed: Placed) -> None:
    index = load_index(plan.release.file(NEIGHBOURS))
    arrivals, new, changed = plan.arrivals, plan.found.new, plan.found.changed
    if len(placed.coded_rows) > len(new):  # changed ones were read, whether their ids moved or not
        replace_vectors(index, plan.found.published_rows, arrivals.vectors(changed))
    for start in pieces(len(new)):
        extend_index(index, arrivals.vectors(new[start : start + ROWS_AT_ONCE]))
    save_index(index, folder / NEIGHBOURS)


def _copy(release: Release, folder: Path, without: str | None) -> None:
    """Copy what stays as it is, and hash each copy against the manifest."""
    for name, listed in release.manifest["files"].items():
        if not name.startswith(_COPIED) or (without and name.startswith(without)):
            continue
        target = folder / name
        target.parent.mkdir(exist_ok=True)
        copy_regular(release.file(name), target)
        if digest(target) != listed["sha256"]:
            raise Refused(
                f"{release.version} changed while it was being copied: {name} has other bytes; "
                f"`sidmint verify {release.version}` says what is damaged"
            )
