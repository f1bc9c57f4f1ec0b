"""Is the registry what it was when it was written? Every digest again, the pointer, the chain."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sidmint.disk import digest
from sidmint.errors import BadInput
from sidmint.execution.checking import PartToVerify, wrong_keys
from sidmint.execution.engine import Engine, InThisProcess
from sidmint.execution.shards import PARTS, part_name, read_manifest
from sidmint.progress import Track, silent
from sidmint.publishing.audit import Entry
from sidmint.publishing.files import walk
from sidmint.publishing.store import VersionStore
from sidmint.publishing.story import snapshot_problems, story_problems
from sidmint.publishing.versions import Head

_HERE = InThisProcess()


@dataclass(frozen=True)
class Verification:
    """What a check of the registry found."""

    versions: tuple[str, ...]
    num_files: int
    """Files whose digest was computed again."""
    log_head: str | None
    """Hash of the newest log line; noted elsewhere, it proves that the log was not rewritten."""
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    """Things to know that are no damage."""


def verify(
    store: VersionStore,
    version: str | None = None,
    snapshot: Path | None = None,
    track: Track = silent,
    engine: Engine = _HERE,
) -> Verification:
    """Recompute every sha256 of every version (or of one), and check pointer and log chain.

    Files are read by `engine`, several at a time where it has workers, each once.

    Finds a changed, missing or added file, a link, an edited manifest, a pointer that names
    another manifest, any edited, removed or added line of the log, and a line that tells what
    cannot have happened. With `snapshot` (the workspace's data/champion.json) also moves that
    were cut off log and pointer alike. Takes no lock.
    """
    known = store.versions()
    if version is None and not known and not _has_pointer(store):
        raise BadInput(f"nothing is published in {store.where} yet: there is nothing to verify")
    names = known if version is None else [store.release(version).version]
    head, problems = _head_and_log(store)
    digests = logged_digests(store, head)
    problems += [*_story(store, head, snapshot), *_strangers(store)]
    notes = []
    num_files = 0
    for name in names:
        with store.backend.as_stored(name) as folder:
            found = release_problems(folder, digests.get(name), engine, track)
            problems += [f"{name}: {problem}" for problem in found]
            num_files += len(walk(folder)[0])
        if name not in digests:
            notes.append(
                f"{name} is in no line of the log: its making was interrupted; nothing reads it"
            )
    missing = sorted(digests.keys() - set(known))
    problems += [f"{name} is in the log, but its folder is gone" for name in missing]
    log_head = head.entry["hash"] if head else None
    return Verification(tuple(names), num_files, log_head, tuple(problems), tuple(notes))


@dataclass(frozen=True)
class FileToRead:
    """A file of a version."""

    path: Path

    @property
    def task_bytes(self) -> int:
        """A buffer, whatever the file's size."""
        return 1 << 20

    def __str__(self) -> str:
        return str(self.path)


def release_problems(
    folder: Path,
    manifest_sha256: str | None,
    engine: Engine = _HERE,
    track: Track = silent,
) -> list[str]:
    """What differs between a version folder and its manifest; [] if nothing does.

    `manifest_sha256` is the digest that the log holds; None for a version it does not know,
    whose manifest can only be compared with the files. Of a part that was changed it is told too
    which row is out of order, if one is.
    """
    files, others = walk(folder)
    problems = [f"{name} is a link or a device, not a file" for name in others]
    manifest_file = files.pop("manifest.json", None)
    if manifest_file is None:
        return [*problems, "manifest.json is missing"]
    if manifest_sha256 is not None and digest(manifest_file) != manifest_sha256:
        problems.append("manifest.json was changed: its sha256 is not the one in the log")
    listed = _listing(manifest_file, folder.name)
    if listed is None:
        return [*problems, "manifest.json is not readable as the manifest of this version"]
    problems += [f"{name} is missing" for name in sorted(listed.keys() - files.keys())]
    problems += [f"{name} is not in the manifest" for name in sorted(files.keys() - listed.keys())]
    names = sorted(files.keys() & listed.keys())
    tasks = [FileToRead(files[name]) for name in names]
    found = engine.map(digest_and_size, tasks, f"verifying {folder.name}", track)
    for name, (sha256, num_bytes) in zip(names, found, strict=True):
        if num_bytes is None:
            problems.append(f"{name} {sha256}")
        elif listed[name] != {"sha256": sha256, "bytes": num_bytes}:
            more = "".join(f"; {problem}" for problem in _rows_of_part(folder, name))
            problems.append(f"{name} was changed: its sha256 is not the one in the manifest{more}")
    return problems


def digest_and_size(task: FileToRead) -> tuple[str, int | None]:
    """Of a whole file; of one that cannot be read what the system says, and None."""
    try:
        return digest(task.path), task.path.stat().st_size
    except OSError as error:
        return f"cannot be read: {error.strerror}", None


def _rows_of_part(folder: Path, name: str) -> list[str]:
    """What is wrong with the rows of a part that was changed; nothing of another file."""
    path = folder / name
    try:
        whole = read_manifest(path.with_name(PARTS))
        place = [part_name(index) for index in range(len(whole.parts))].index(path.name)
    except (BadInput, ValueError):
        return []
    return list(wrong_keys(PartToVerify(path, whole.form, whole.parts[place])))


def _listing(manifest_file: Path, version: str) -> Mapping[str, Any] | None:
    try:
        manifest = json.loads(manifest_file.read_bytes())
        files = manifest["files"] if manifest["version"] == version else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return files if isinstance(files, dict) else None


def _head_and_log(store: VersionStore) -> tuple[Head | None, list[str]]:
    try:
        head = store.head()
    except BadInput as error:
        return None, [str(error), *store.log.damage()]
    return head, store.log.problems(head.entry if head else None)


def _story(store: VersionStore, head: Head | None, snapshot: Path | None) -> list[str]:
    """What the lines tell; nothing where the chain itself is damaged, which is told already."""
    if store.log.damage():
        return []
    entries = _entries(store, head)

    @cache
    def manifest_of(version: str) -> Any:
        try:
            return json.loads(store.release(version).file("manifest.json").read_bytes())
        except (BadInput, OSError, ValueError, RecursionError):
            return None

    known = snapshot_problems(snapshot, entries) if snapshot else []
    return [*story_problems(entries, manifest_of), *known]


def _entries(store: VersionStore, head: Head | None) -> list[Entry]:
    """Every line that can be read; of a registry whose champion.json is damaged too."""
    return store.entries() if head is not None else store.log.readable()


def logged_digests(store: VersionStore, head: Head | None) -> dict[str, str]:
    """Version -> digest of its manifest, by the log and by the pointer's own copy of an entry.

    A version without one is in no line: its making was interrupted.
    """
    pairs = (
        (entry.get("version"), entry.get("manifest_sha256")) for entry in _entries(store, head)
    )
    return {name: value for name, value in pairs if isinstance(name, str) and value}


def _strangers(store: VersionStore) -> list[str]:
    """What lies in the registry and is not of it."""
    strangers = store.backend.strangers(store.versions())
    return [
        *store.backend.misplaced(),
        *(f"{name} does not belong in the registry" for name in strangers),
    ]


def _has_pointer(store: VersionStore) -> bool:
    try:
        return store.backend.pointer_bytes() is not None
    except BadInput:  # there is one, and it cannot be read
        return True
