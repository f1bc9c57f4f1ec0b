"""The versioned registry: immutable version folders, one pointer that moves, one log.

    registry/
      versions/v0001/   never changed once it is there; its manifest.json was written last
      champion.json     the version that is served; replaced in one step, never edited
      log.jsonl         one line an act (see `acts`, `audit`)
      staging/          drafts; whatever lies here when the lock is taken is a killed writer's
      .lock             held by the one process that writes; readers never take it

A publish is: lock, compare the champion with the one the verdict was judged against, draft
on the same file system, fsync, manifest last, rename the folder, replace the pointer, append
to the log. Killed before the pointer is replaced, it leaves the old champion and perhaps a
version that no line names; killed after, the new champion and a log line that the
pointer still carries and the next writer adds. Every other act takes the same way: one that
moves nothing replaces the pointer file by one with the same champion and its own line. A reader
resolves the pointer once and then reads a folder that nobody changes.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sidmint.artifacts import dump_json
from sidmint.errors import BadInput, Refused, RegistryConflict, did_you_mean
from sidmint.layout import safe_name
from sidmint.publishing.acts import in_words, moves
from sidmint.publishing.audit import AuditLog, Entry, seal
from sidmint.publishing.files import (
    digest,
    files_in,
    storing,
    sync_folder,
    sync_tree,
    write_synced,
)
from sidmint.publishing.versions import Head, Pointer, Release

_VERSION = re.compile(r"v(\d{4,})")
_MOST_TOLD = 5
"""Moves that a conflict names."""

Assemble = Callable[[Path], Mapping[str, Any]]
"""Fills an empty folder with the files of a release and returns what its manifest says of them."""

Allow = Callable[[Sequence[Entry]], Mapping[str, Any]]
"""Asked while nobody else writes: raises if the log so far forbids the act, else returns what the
line says beside the facts."""


class VersionStore:
    """The registry in `folder`. Making one reads and writes nothing."""

    def __init__(self, folder: Path, lock_seconds: float = 60.0) -> None:
        self.folder = folder
        self.log = AuditLog(folder / "log.jsonl")
        self._lock_seconds = lock_seconds

    @property
    def versions_folder(self) -> Path:
        """Where the version folders are."""
        return self.folder / "versions"

    @property
    def pointer_file(self) -> Path:
        """champion.json."""
        return self.folder / "champion.json"

    def misplaced(self) -> list[str]:
        """What lies in the place of the registry's own files and folders: links, other kinds."""
        files = dict.fromkeys((self.pointer_file, self.log.path, self._lock_file), stat.S_ISREG)
        folders = dict.fromkeys((self.versions_folder, self._staging), stat.S_ISDIR)
        found = []
        for path, is_right in (files | folders).items():
            with suppress(FileNotFoundError):
                mode = path.lstat().st_mode
                if stat.S_ISLNK(mode):
                    found.append(f"{path.name} is a link, not the registry's own")
                elif not is_right(mode):
                    kind = "file" if path in files else "folder"
                    found.append(f"{path.name} is not a regular {kind}")
        return found

    def champion(self) -> Pointer | None:
        """The pointer as it is now; None where nothing was ever champion."""
        head = self.head()
        return head.champion if head else None

    def head(self) -> Head | None:
        """champion.json as it is now; None where nobody ever wrote to this registry."""
        try:
            text = self.pointer_file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BadInput(f"{self.pointer_file} cannot be read ({error.strerror})") from error
        head = Head.parse(text)
        if head is None:
            raise BadInput(
                f"{self.pointer_file} is damaged: it wants version, manifest_sha256, sequence and "
                "the log entry that says the same. Its entry is the last line of log.jsonl; "
                "restore both from one copy"
            )
        return head

    def entries(self) -> list[Entry]:
        """Every line that can be read, and the one that a killed process did not come to write."""
        lines, head = self.log.readable(), self.head()
        if head is not None and lines[-1:] != [head.entry]:
            lines.append(head.entry)
        return lines

    def versions(self) -> list[str]:
        """Every version there is, oldest first, also one that never became champion."""
        if not self.versions_folder.is_dir():
            return []
        folders = (path for path in self.versions_folder.iterdir() if not path.is_symlink())
        names = [path.name for path in folders if path.is_dir()]
        return sorted(filter(_VERSION.fullmatch, names), key=_number)

    def release(self, version: str | None = None) -> Release:
        """The version of that name, or the champion; `BadInput` if there is none."""
        if version is None:
            pointer = self.champion()
            if pointer is None:
                raise BadInput(
                    f"nothing is published in {self.folder} yet; `sidmint run`, then "
                    "`sidmint publish`"
                )
            version = pointer.version
        safe_name(version, "version")
        known = self.versions()
        if version not in known:
            raise BadInput(
                f"there is no version {version!r} in {self.folder}{_nearest(version, known)}"
            )
        return Release(version, self.versions_folder / version)

    def publish(self, assemble: Assemble, parent: str | None, facts: Mapping[str, Any]) -> Pointer:
        """Make a new version out of what `assemble` writes, and make it champion.

        `parent` is the champion that the caller judged against: if another is champion by
        now, `RegistryConflict` is raised and nothing is left behind. `facts` go into the log
        entry (action, by, reason, ...). If `assemble` raises, nothing is left behind either.
        """
        with self._writing() as before:
            self._expect(parent)
            version, manifest_sha256 = self._make(assemble, parent)
            return self._move(version, manifest_sha256, facts, before)

    def propose(self, assemble: Assemble, parent: str | None, facts: Mapping[str, Any]) -> str:
        """Make a new version as `publish` does, and leave the champion as it is; its name."""
        with self._writing() as before:
            self._expect(parent)
            version, manifest_sha256 = self._make(assemble, parent)
            self._note(version, manifest_sha256, facts, before)
            return version

    def point_to(
        self,
        version: str,
        parent: str | None,
        facts: Mapping[str, Any],
        allow: Allow = lambda _: {},
    ) -> Pointer:
        """Make an existing version champion; `parent` as for `publish`, `allow` is asked first."""
        with self._writing() as before:
            added = allow(self.log.entries())
            self._expect(parent)
            manifest_sha256 = digest(self.release(version).file("manifest.json"))
            return self._move(version, manifest_sha256, {**facts, **added}, before)

    def note(
        self, facts: Mapping[str, Any], version: str | None = None, allow: Allow = lambda _: {}
    ) -> Entry:
        """Add a line about `version`, or about none, that moves nothing; `allow` is asked first."""
        with self._writing() as before:
            added = allow(self.log.entries())
            path = self.release(version).file("manifest.json") if version else None
            return self._note(version, digest(path) if path else None, {**facts, **added}, before)

    def recover(self) -> bool:
        """Add the log line that a killed process left unwritten; true if there was one."""
        if not self.folder.is_dir():
            return False
        with self._locked():
            return self._settle_log(self.head())

    @property
    def _staging(self) -> Path:
        return self.folder / "staging"

    @property
    def _lock_file(self) -> Path:
        return self.folder / ".lock"

    @contextmanager
    def _writing(self) -> Iterator[Head | None]:
        """The lock, with what a killed writer left behind put right; yields the head."""
        with self._locked():
            head = self.head()
            self._settle_log(head)
            self._clear_staging()
            self._staging.mkdir()
            self.versions_folder.mkdir(exist_ok=True)
            try:
                yield head
            finally:
                self._clear_staging()

    def _clear_staging(self) -> None:
        # What stays is part of no version, and the next writer takes it away.
        with suppress(OSError):
            shutil.rmtree(self._staging, ignore_errors=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with storing(self.folder), self._alone():
            yield

    @contextmanager
    def _alone(self) -> Iterator[None]:
        from filelock import FileLock, Timeout

        self.folder.mkdir(parents=True, exist_ok=True)
        if misplaced := self.misplaced():  # before the lock: its file may be the link
            raise Refused(
                f"{self.folder}: {'; '.join(misplaced)}; a registry writes only what lies in its "
                "own folder. Put the file or folder itself there"
            )
        # flock only: the kernel frees it when its holder is killed, a lock file made by hand stays.
        lock = FileLock(self._lock_file, timeout=self._lock_seconds, fallback_to_soft=False)
        try:
            with lock:
                yield
        except Timeout as error:
            raise RegistryConflict(
                f"another process has been writing to {self.folder} for {self._lock_seconds:g} s; "
                "try again when it has ended"
            ) from error

    def _settle_log(self, head: Head | None) -> bool:
        return self.log.settle(head.entry if head else None)

    def _expect(self, parent: str | None) -> None:
        pointer = self.champion()
        now = pointer.version if pointer else None
        if now != parent:
            raise RegistryConflict(
                f"judged against {parent or 'an empty registry'} but {now or 'no version'} is "
                f"champion now; `sidmint run` judges it again{self._since(parent)}"
            )

    def _since(self, parent: str | None) -> str:
        """What moved the champion since `parent` was it, newest last; "" where nobody can tell."""
        told = [entry for entry in self.log.readable() if moves(entry)]
        places = [n for n, entry in enumerate(told, start=1) if entry.get("version") == parent]
        later = told[places[-1] if places else 0 :][-_MOST_TOLD:]
        return f". Since then {'; '.join(map(in_words, later))}" if later else ""

    def _make(self, assemble: Assemble, parent: str | None) -> tuple[str, str]:
        """A new version folder; its name, and the digest of its manifest."""
        version = self._next_version()
        draft = self._staging / version
        draft.mkdir()
        manifest = {**assemble(draft), "version": version, "parent": parent}
        manifest_sha256 = _finish_draft(draft, manifest)
        os.rename(draft, self.versions_folder / version)
        sync_folder(self.versions_folder)
        return version, manifest_sha256

    def _next_version(self) -> str:
        # A number is never given twice, not even one whose version no line names.
        named = [*self.versions(), *(entry["version"] or "" for entry in self.log.entries())]
        return f"v{max(map(_number, named), default=0) + 1:04d}"

    def _move(
        self, version: str, manifest_sha256: str, facts: Mapping[str, Any], before: Head | None
    ) -> Pointer:
        champion = before.champion if before else None
        entry = self._write(
            {
                **facts,
                "version": version,
                "previous": champion.version if champion else None,
                "manifest_sha256": manifest_sha256,
            },
            before,
            f"{version} is champion",
        )
        return Pointer(version, manifest_sha256, entry["sequence"], entry["hash"])

    def _note(
        self,
        version: str | None,
        manifest_sha256: str | None,
        facts: Mapping[str, Any],
        before: Head | None,
    ) -> Entry:
        champion = before.champion if before else None
        return self._write(
            {
                **facts,
                "version": version,
                "previous": champion.version if champion else None,
                "manifest_sha256": manifest_sha256,
                "champion": asdict(champion) if champion else None,
            },
            before,
            "It is done",
        )

    def _write(self, facts: Mapping[str, Any], before: Head | None, done: str) -> Entry:
        """Replace the pointer file by one that carries the new line, then add the line."""
        entry = seal({**facts, "at": utc_now()}, before.entry if before else None)
        draft = self._staging / "champion.json"
        write_synced(draft, Head(entry).to_bytes())
        # Asked again because flock does nothing on some network file systems.
        if (now := self.head()) != before:
            told = in_words(now.entry) if now else "champion.json is gone"
            raise RegistryConflict(
                f"somebody else wrote to {self.folder} meanwhile: {told}; give the command again"
            )
        os.replace(draft, self.pointer_file)
        with storing(self.folder, f"{done}, and the next command that writes adds its log line"):
            sync_folder(self.folder)
            self.log.append(entry)
        return entry


def utc_now() -> str:
    """The time to the second, as ISO 8601 in UTC. For the registry only, never for DVC outputs."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _finish_draft(draft: Path, manifest: Mapping[str, Any]) -> str:
    """Write the manifest over everything in `draft`, all of it on the disk; returns its digest."""
    sync_tree(draft)
    listing = {
        name: {"sha256": digest(path), "bytes": path.stat().st_size}
        for name, path in files_in(draft).items()
    }
    path = draft / "manifest.json"
    write_synced(path, dump_json({**manifest, "files": listing}).encode())
    sync_folder(draft)
    for file in files_in(draft).values():
        file.chmod(0o444)
    return digest(path)


def _number(version: str) -> int:
    match = _VERSION.fullmatch(version)
    return int(match.group(1)) if match else 0


def _nearest(version: str, known: list[str]) -> str:
    if not known:
        return ", which is empty"
    return did_you_mean(version, known) or f"; the newest is {known[-1]}"
