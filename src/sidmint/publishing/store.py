"""The versioned registry: immutable versions, one pointer that moves, one log.

A publish is: compare the champion with the one the verdict was judged against, draft, manifest
last, add the version, replace the pointer, append to the log. Killed before the pointer is
replaced, it leaves the old champion and perhaps a version that was never champion; killed after,
the new champion and a log line that the pointer still carries and the next writer adds. A reader
resolves the pointer once and then reads a version that nobody changes.

Where the registry lies is the backend's to know: `local`, a folder; `bucket`, an S3 bucket.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sidmint.artifacts import dump_json
from sidmint.errors import BadInput, RegistryConflict, did_you_mean
from sidmint.layout import safe_name
from sidmint.publishing.audit import AuditLog, seal
from sidmint.publishing.backend import CHAMPION, VERSIONS, Backend
from sidmint.publishing.files import digest, files_in, sync_folder, sync_tree, write_synced
from sidmint.publishing.local import LocalBackend
from sidmint.publishing.versions import Pointer, Release

_VERSION = re.compile(r"v(\d{4,})")

Assemble = Callable[[Path], Mapping[str, Any]]
"""Fills an empty folder with the files of a release and returns what its manifest says of them."""


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
        """Every move of the pointer."""
        return self.backend.log

    @property
    def folder(self) -> Path:
        """Where its files lie on this disk."""
        return self.backend.folder

    @property
    def versions_folder(self) -> Path:
        """Where the versions of a registry in a folder are."""
        return self.folder / VERSIONS

    @property
    def pointer_file(self) -> Path:
        """champion.json of a registry in a folder."""
        return self.folder / CHAMPION

    def champion(self) -> Pointer | None:
        """The pointer as it is now; None where nothing was ever published."""
        return self._parsed(self.backend.pointer_bytes())

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
        known = self.versions()
        if version not in known:
            raise BadInput(
                f"there is no version {version!r} in {self.where}{_nearest(version, known)}"
            )
        return self.backend.release(version)

    def publish(self, assemble: Assemble, parent: str | None, facts: Mapping[str, Any]) -> Pointer:
        """Make a new version out of what `assemble` writes, and make it champion.

        `parent` is the champion that the caller judged against: if another is champion by
        now, `RegistryConflict` is raised and nothing is left behind. `facts` go into the log
        entry (action, by, reason, ...). If `assemble` raises, nothing is left behind either.
        """
        with self._writing(parent) as (before, drafts):
            version = self._claimed_version()
            draft = drafts / version
            draft.mkdir()
            manifest = {**assemble(draft), "version": version, "parent": parent}
            manifest_sha256 = _finish_draft(draft, manifest)
            self.backend.add(version, draft)
            try:
                return self._move(version, manifest_sha256, facts, before)
            except RegistryConflict:
                self.backend.withdraw(version)
                raise

    def point_to(self, version: str, parent: str | None, facts: Mapping[str, Any]) -> Pointer:
        """Make an existing version champion; `parent` as for `publish`."""
        with self._writing(parent) as (before, _):
            manifest_sha256 = digest(self.release(version).file("manifest.json"))
            return self._move(version, manifest_sha256, facts, before)

    def recover(self) -> bool:
        """Add the log line that a killed process left unwritten; true if there was one."""
        if not self.backend.exists():
            return False
        with self.backend.alone():
            return self._settle_log(self.champion())

    @contextmanager
    def _writing(self, parent: str | None) -> Iterator[tuple[bytes | None, Path]]:
        """The pointer's bytes, and a folder for drafts; what a killed writer left is put right."""
        with self.backend.alone():
            before = self.backend.pointer_bytes()
            pointer = self._parsed(before)
            self._settle_log(pointer)
            if (pointer.version if pointer else None) != parent:
                raise self._conflict(parent)
            with self.backend.drafting() as drafts:
                yield before, drafts

    def _parsed(self, text: bytes | None) -> Pointer | None:
        pointer = None if text is None else Pointer.parse(text)
        if pointer is None and text is not None:
            raise BadInput(
                f"{self.where}/{CHAMPION} is damaged: it wants version, manifest_sha256, sequence "
                "and the log entry that says the same. Its entry is the last line of log.jsonl; "
                "restore both from one copy"
            )
        return pointer

    def _settle_log(self, pointer: Pointer | None) -> bool:
        return self.log.settle(pointer.entry if pointer else None)

    def _conflict(self, parent: str | None) -> RegistryConflict:
        pointer = self.champion()
        return RegistryConflict(
            f"judged against {parent or 'an empty registry'} but "
            f"{pointer.version if pointer else 'no version'} is champion now; `sidmint run` "
            "judges it again"
        )

    def _claimed_version(self) -> str:
        # A number is never given twice, not even one whose version never became champion.
        named = [*self.versions(), *(entry["version"] for entry in self.log.entries())]
        number = max(map(_number, named), default=0) + 1
        while not self.backend.claim(f"v{number:04d}"):
            number += 1
        return f"v{number:04d}"

    def _move(
        self, version: str, manifest_sha256: str, facts: Mapping[str, Any], before: bytes | None
    ) -> Pointer:
        champion = self._parsed(before)
        entry = seal(
            {
                **facts,
                "version": version,
                "previous": champion.version if champion else None,
                "manifest_sha256": manifest_sha256,
                "at": utc_now(),
            },
            champion.entry if champion else None,
        )
        pointer = Pointer.of(entry)
        if not self.backend.replace_pointer(before, pointer.to_bytes()):
            raise self._conflict(champion.version if champion else None)
        moved = f"{version} is champion, and the next publish or rollback writes its log line"
        with self.backend.storing(moved):
            self.backend.flush_pointer()
            self.log.append(entry)
        return pointer


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
