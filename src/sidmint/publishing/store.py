"""The versioned registry: immutable versions, one pointer that moves, one log.

A publish is: compare the champion with the one the verdict was judged against, draft, manifest
last, add the version, replace the pointer, append to the log. Killed before the pointer is
replaced, it leaves the old champion and perhaps a version that no line names; killed after,
the new champion and a log line that the pointer still carries and the next writer adds. Every
other act takes the same way: one that moves nothing replaces the pointer by one with the same
champion and its own line. A reader resolves the pointer once and then reads a version that nobody
changes.

Where the registry lies is the backend's to know: `local`, a folder; `bucket`, an S3 bucket.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sidmint.disk import digest, sync_folder, write_synced
from sidmint.errors import BadInput, RegistryConflict, did_you_mean
from sidmint.json_text import dump_json
from sidmint.layout import safe_name
from sidmint.publishing.acts import in_words, moves
from sidmint.publishing.audit import AuditLog, Entry, seal
from sidmint.publishing.backend import CHAMPION, Backend
from sidmint.publishing.files import files_in, sync_tree
from sidmint.publishing.local import LocalBackend
from sidmint.publishing.versions import Head, Pointer, Release

_VERSION = re.compile(r"v(\d{4,})(?:\.([1-9]\d*))?")
"""v0003: a table that was trained; v0003.1, v0003.2: that table with later items beside it."""
_MOST_TOLD = 5
"""Moves that a conflict names."""

Assemble = Callable[[Path], Mapping[str, Any]]
"""Fills an empty folder with the files of a release and returns what its manifest says of them.

It may return `files` for those that it hashed while it wrote them; the others are hashed here."""

Allow = Callable[[Sequence[Entry]], Mapping[str, Any]]
"""Asked while nobody else writes: raises if the log so far forbids the act, else returns what the
line says beside the facts."""


class VersionStore:
    """The registry in a folder, or behind another backend. Making one reads and writes nothing."""

    def __init__(self, place: Path | Backend, lock_seconds: float = 60.0) -> None:
        self.backend = LocalBackend(place, lock_seconds) if isinstance(place, Path) else place

    @property
    def where(self) -> str:
        """The place as messages name it."""
        return self.backend.where

    @property
    def log(self) -> AuditLog:
        """Every act."""
        return self.backend.log

    @property
    def folder(self) -> Path:
        """Where its files lie on this disk."""
        return self.backend.folder

    def champion(self) -> Pointer | None:
        """The pointer as it is now; None where nothing was ever champion."""
        head = self.head()
        return head.champion if head else None

    def head(self) -> Head | None:
        """champion.json as it is now; None where nobody ever wrote to this registry."""
        text = self.backend.pointer_bytes()
        head = None if text is None else Head.parse(text)
        if head is None and text is not None:
            raise BadInput(
                f"{self.where}/{CHAMPION} is damaged: it wants version, manifest_sha256, sequence "
                "and the log entry that says the same. Its entry is the last line of log.jsonl; "
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
        return sorted(filter(_VERSION.fullmatch, self.backend.version_names()), key=_number)

    def release(self, version: str | None = None) -> Release:
        """The version of that name, or the champion; `BadInput` if there is none."""
        if version is None:
            pointer = self.champion()
            if pointer is None:
                raise BadInput(
                    f"nothing is published in {self.where} yet; `sidmint run`, then "
                    "`sidmint publish`"
                )
            version = pointer.version
        safe_name(version, "version")
        found = self.backend.release(version) if _VERSION.fullmatch(version) else None
        if found is None:
            nearest = _nearest(version, self.versions())
            raise BadInput(f"there is no version {version!r} in {self.where}{nearest}")
        return found

    def publish(
        self,
        assemble: Assemble,
        parent: str | None,
        facts: Mapping[str, Any],
        minor_of: str | None = None,
    ) -> Pointer:
        """Make a new version out of what `assemble` writes, and make it champion.

        It gets the next number, v0004, or with `minor_of` v0003 (or a minor version of it) the
        next minor one, v0003.1.

        `parent` is the champion that the caller judged against: if another is champion by
        now, `RegistryConflict` is raised and nothing is left behind. `facts` go into the log
        entry (action, by, reason, ...). If `assemble` raises, nothing is left behind either.
        """
        with self._writing() as (before, drafts):
            self._expect(parent)
            version, manifest_sha256 = self._make(assemble, parent, drafts, minor_of)
            with self._withdrawing(version):
                return self._move(version, manifest_sha256, facts, before)

    def propose(self, assemble: Assemble, parent: str | None, facts: Mapping[str, Any]) -> str:
        """Make a new version as `publish` does, and leave the champion as it is; its name."""
        with self._writing() as (before, drafts):
            self._expect(parent)
            version, manifest_sha256 = self._make(assemble, parent, drafts)
            with self._withdrawing(version):
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
        with self._writing() as (before, _):
            added = allow(self.log.entries())
            self._expect(parent)
            manifest_sha256 = digest(self.release(version).file("manifest.json"))
            return self._move(version, manifest_sha256, {**facts, **added}, before)

    def note(
        self, facts: Mapping[str, Any], version: str | None = None, allow: Allow = lambda _: {}
    ) -> Entry:
        """Add a line about `version`, or about none, that moves nothing; `allow` is asked first."""
        with self._writing() as (before, _):
            added = allow(self.log.entries())
            path = self.release(version).file("manifest.json") if version else None
            return self._note(version, digest(path) if path else None, {**facts, **added}, before)

    def recover(self) -> bool:
        """Add the log line that a killed process left unwritten; true if there was one."""
        if not self.backend.exists():
            return False
        with self.backend.alone():
            return self._settle_log(self.head())

    @contextmanager
    def _writing(self) -> Iterator[tuple[Head | None, Path]]:
        """The head, and a folder for drafts; what a killed writer left behind is put right."""
        with self.backend.alone():
            head = self.head()
            self._settle_log(head)
            with self.backend.drafting() as drafts:
                yield head, drafts

    @contextmanager
    def _withdrawing(self, version: str) -> Iterator[None]:
        """Takes the new version back where somebody else wrote first."""
        try:
            yield
        except RegistryConflict:
            self.backend.withdraw(version)
            raise

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

    def _make(
        self, assemble: Assemble, parent: str | None, drafts: Path, minor_of: str | None = None
    ) -> tuple[str, str]:
        """A new version; its name, and the digest of its manifest."""
        version = self._claimed_version(minor_of)
        draft = drafts / version
        draft.mkdir()
        manifest = {**assemble(draft), "version": version, "parent": parent}
        manifest_sha256 = _finish_draft(draft, manifest)
        self.backend.add(version, draft)
        return version, manifest_sha256

    def _claimed_version(self, minor_of: str | None) -> str:
        # A number is never given twice, not even one whose version no line names.
        named = [*self.versions(), *(entry["version"] or "" for entry in self.log.entries())]
        numbers = [_number(name) for name in named]
        if minor_of is None:
            major, minor = max(numbers, default=(0, 0))[0] + 1, 0
        else:
            major = _number(minor_of)[0]
            minor = max(number[1] for number in numbers if number[0] == major) + 1
        while not self.backend.claim(version := _name(major, minor)):
            major, minor = (major + 1, 0) if minor_of is None else (major, minor + 1)
        return version

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
        text = before.to_bytes() if before else None
        if not self.backend.replace_pointer(text, Head(entry).to_bytes()):
            now = self.head()
            told = in_words(now.entry) if now else f"{CHAMPION} is gone"
            raise RegistryConflict(
                f"somebody else wrote to {self.where} meanwhile: {told}; give the command again"
            )
        with self.backend.storing(f"{done}, and the next command that writes adds its log line"):
            self.backend.flush_pointer()
            self.log.append(entry)
        return entry


def utc_now() -> str:
    """The time to the second, as ISO 8601 in UTC. For the registry only, never for DVC outputs."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _finish_draft(draft: Path, manifest: Mapping[str, Any]) -> str:
    """Write the manifest over everything in `draft`, all of it on the disk; returns its digest."""
    sync_tree(draft)
    hashed = manifest.get("files", {})
    listing = {
        name: {
            "sha256": hashed[name]["sha256"] if name in hashed else digest(path),
            "bytes": path.stat().st_size,
        }
        for name, path in files_in(draft).items()
    }
    path = draft / "manifest.json"
    write_synced(path, dump_json({**manifest, "files": listing}).encode())
    sync_folder(draft)
    for file in files_in(draft).values():
        file.chmod(0o444)
    return digest(path)


def trained_version(version: str) -> str:
    """The version whose training `version` rests on: v0003 of v0003.2, and of v0003 itself."""
    return version.partition(".")[0]


def _number(version: str) -> tuple[int, int]:
    """(3, 0) of v0003 and (3, 2) of v0003.2: they sort as they were made."""
    match = _VERSION.fullmatch(version)
    return (int(match.group(1)), int(match.group(2) or 0)) if match else (0, 0)


def _name(major: int, minor: int) -> str:
    return f"v{major:04d}.{minor}" if minor else f"v{major:04d}"


def _nearest(version: str, known: list[str]) -> str:
    if not known:
        return ", which is empty"
    return did_you_mean(version, known) or f"; the newest is {known[-1]}"
