"""One release as a folder: the table, what made it, what was measured of it, and the verdict."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from sidmint import __version__
from sidmint.artifacts import Artifacts
from sidmint.disk import digest
from sidmint.errors import BadInput, Refused
from sidmint.execution.engine import Engine, InThisProcess
from sidmint.execution.shards import PARTS, Shards, part_name, read_manifest
from sidmint.json_text import dump_json
from sidmint.layout import Layout
from sidmint.progress import Track, silent
from sidmint.publishing.by_id import write_by_id
from sidmint.publishing.describing import describe_table, same_neighbours
from sidmint.publishing.files import copy_hashed, copy_regular
from sidmint.publishing.judged import JUDGED, changes, fingerprints
from sidmint.publishing.judging import measured
from sidmint.publishing.tables import BY_ID, table_path
from sidmint.publishing.versions import IdLayout

FORMAT = 1
"""Version of the manifest's own form."""

_HERE = InThisProcess()

Listed = dict[str, str | int]
"""What a manifest says of a file: `sha256` and `bytes`."""


def collect_metrics(artifacts: Artifacts, tokenizer: str) -> dict[str, float]:
    """Every metric that the stages measured of `tokenizer`'s table, by name.

    `BadInput` if a stage has not run, if two stages disagree about one name, or if a value
    is not a finite number.
    """
    metrics: dict[str, float] = {}
    for name, value in measured(artifacts, tokenizer).items():
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise BadInput(f"{name} of {tokenizer} is {value!r}, not a finite number")
        metrics[name] = value
    return metrics


@dataclass(frozen=True)
class Contents:
    """What a release of one table is made of, as it was when it was checked."""

    tokenizer: str
    fingerprints: Mapping[str, str]
    """Of `judged.JUDGED`."""
    beside: Mapping[str, str]
    """SHA-256 of the files that a release holds beside what was judged, by their path in it."""


def contents(
    artifacts: Artifacts, tokenizer: str, engine: Engine = _HERE, track: Track = silent
) -> Contents:
    """What would be published of `tokenizer` now. `BadInput` where something is missing.

    `engine` checks the parts of tables that lie in parts.
    """
    beside = {name: digest(path) for name, path in _beside(artifacts, tokenizer).items()}
    return Contents(tokenizer, fingerprints(artifacts, tokenizer, engine, track), beside)


def _beside(artifacts: Artifacts, tokenizer: str) -> dict[str, Path]:
    """Without dvc.lock (stages run by hand) or report.html a release is made without that file."""
    layout = artifacts.layout
    files = {
        "verdict.json": artifacts.folder("gate", tokenizer) / "verdict.json",
        "params.yaml": layout.params,
    }
    optional = (layout.root / "dvc.lock", layout.stage("report") / "report.html")
    return files | {path.name: path for path in optional if path.exists()}


def fill(
    folder: Path,
    artifacts: Artifacts,
    of: Contents,
    engine: Engine = _HERE,
    track: Track = silent,
) -> dict[str, Any]:
    """Write the files of a release into the empty `folder`; returns what describes them.

    Each file is hashed where it lies in `folder`, parts of a table while they are copied: `Refused`
    if one, or anything that was judged, is no longer what it was when `of` was taken. `files` of
    what is returned lists the parts, so that nobody hashes them again; `engine` reads again those
    that are judged and not published.
    """
    tokenizer = of.tokenizer
    parts = _copy_judged(folder, artifacts, of, track)
    sources = _beside(artifacts, tokenizer)
    for name, wanted in of.beside.items():
        _copy(sources.get(name, artifacts.layout.root / name), folder / name, wanted, tokenizer)
    (folder / "metrics.json").write_text(dump_json(collect_metrics(artifacts, tokenizer)), "utf-8")
    table = table_path(folder)
    described = {
        "format": FORMAT,
        "sidmint_version": __version__,
        "tokenizer": tokenizer,
        **describe_table(table, artifacts.json("train", "tokenizer", tokenizer)),
        "neighbours": same_neighbours(table, artifacts),
        "catalogue_digest": _catalogue_digest(artifacts),
        "dvc_lock_sha256": of.beside.get("dvc.lock"),
        "raw": raw_outputs(artifacts.layout),
        **_git_state(artifacts.layout.root),
    }
    if table.is_dir():
        parts |= _sorted_by_id(table, described, track)
    moved = changes(*_read_again(artifacts, of, engine, track))
    if moved:
        raise _changed(moved[0].removeprefix("stale verdict: "), tokenizer)
    return {**described, "files": parts}


def _copy_judged(
    folder: Path, artifacts: Artifacts, of: Contents, track: Track
) -> dict[str, Listed]:
    """Copy what a release holds of `JUDGED`; the parts of tables among it, as `files`."""
    parts: dict[str, Listed] = {}
    for each in JUDGED:
        name = next((n for n in (each.name, each.parts) if n in of.fingerprints), None)
        if each.released_as is None or name is None:
            continue
        source = artifacts.folder(each.stage, None if each.shared else of.tokenizer) / each.file
        target, wanted = folder / each.released_as, of.fingerprints[name]
        if name == each.name:
            _copy(source, target, wanted, of.tokenizer)
        else:
            folders = (source.with_suffix(""), target.with_suffix(""))
            parts |= _copy_parts(*folders, wanted, of.tokenizer, track)
    return parts


def _read_again(
    artifacts: Artifacts, of: Contents, engine: Engine, track: Track
) -> tuple[dict[str, str], dict[str, str]]:
    """Fingerprints as they were and as they are, without those of parts that were copied.

    Each of these was compared with a manifest that was judged while it was copied.
    """
    copied = {each.parts for each in JUDGED if each.released_as} & of.fingerprints.keys()
    before = {name: sha256 for name, sha256 in of.fingerprints.items() if name not in copied}
    others = of.fingerprints.keys() - before
    return before, fingerprints(artifacts, of.tokenizer, engine, track, without=others)


def _copy(source: Path, target: Path, wanted: str, tokenizer: str) -> None:
    target.parent.mkdir(exist_ok=True)
    copy_regular(source, target)
    if digest(target) != wanted:
        raise _changed(f"{source.name} has other bytes", tokenizer)


def _copy_parts(
    source: Path, target: Path, wanted: str, tokenizer: str, track: Track
) -> dict[str, Listed]:
    """Copy a table in parts whose parts.json has the digest `wanted`; its parts, as `files`."""
    _copy(source / PARTS, target / PARTS, wanted, tokenizer)
    shards = Shards(target, read_manifest(target / PARTS))
    for index, part in enumerate(track(shards.parts, f"copying {target.name}")):
        name = part_name(index)
        if copy_hashed(source / name, target / name) != part.sha256:
            raise _changed(f"{source.name}/{name} has other bytes", tokenizer)
    return _listed(shards)


def _sorted_by_id(table: Path, described: Mapping[str, Any], track: Track) -> dict[str, Listed]:
    """Write the table once more, sorted by Semantic ID; its parts, as `files`."""
    shards = Shards(table, read_manifest(table / PARTS))
    ids = IdLayout.parse(described["semantic_ids"])
    if ids is None:
        raise BadInput(f"{described['semantic_ids']} describes no ids that a reader could follow")
    # Beside the release: whatever lies there is a draft, and goes with the next writer.
    with TemporaryDirectory(dir=table.parent.parent) as scratch:
        made = write_by_id(shards, ids, table.with_name(BY_ID), Path(scratch), track)
    return {} if made is None else _listed(made)


def _listed(shards: Shards) -> dict[str, Listed]:
    return {
        f"{shards.folder.name}/{part_name(index)}": {"sha256": part.sha256, "bytes": part.num_bytes}
        for index, part in enumerate(shards.parts)
    }


def _changed(what: str, tokenizer: str) -> Refused:
    return Refused(
        f"{tokenizer} changed while it was being published: {what}; wait for the run that writes "
        "it to end"
    )


def _catalogue_digest(artifacts: Artifacts) -> str:
    profile = artifacts.folder("ingest") / "profile.json"
    if profile.exists():
        found = artifacts.json("ingest", "profile").get("digest")
        if found:
            return str(found)
    items = artifacts.folder("ingest") / "items.parquet"
    parts = items.with_suffix("") / PARTS
    return digest(parts if parts.is_file() else items)


def raw_outputs(layout: Layout) -> dict[str, dict[str, Any]]:
    """What the `.dvc` files below data/raw track: path from the root -> hash, size and so on.

    With the files of a commit, this is the data that a version was made of.
    """
    found = {}
    for file in sorted(layout.raw.rglob("*.dvc")):
        for output in yaml.safe_load(file.read_text(encoding="utf-8")).get("outs") or ():
            path = (file.parent / output["path"]).relative_to(layout.root).as_posix()
            found[path] = {key: value for key, value in output.items() if key != "path"}
    return found


def _git_state(root: Path) -> dict[str, Any]:
    """The commit that `root` is at, and which tracked files differ from it; null without git."""
    commit = _git(root, "rev-parse", "--verify", "HEAD")
    changes = _git(root, "diff", "--name-only", "--relative", "HEAD") if commit else None
    changed = None if changes is None else sorted(changes.splitlines())
    return {
        "git_commit": commit,
        "git_changed": None if changed is None else bool(changed),
        "git_changed_files": changed,
    }


def _git(root: Path, *arguments: str) -> str | None:
    try:
        ended = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None  # no git, no repository, no commit yet: a release does not need one
    return ended.stdout.strip()
