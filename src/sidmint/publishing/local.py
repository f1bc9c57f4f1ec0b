"""A registry in a folder of the workspace: one writer at a time, by a lock of the kernel's.

registry/
  versions/v0001/   never changed once it is there; its manifest.json was written last
  champion.json     the version that is served; replaced in one step, never edited
  log.jsonl         one line a move of the pointer (see `audit`)
  staging/          drafts; whatever lies here when the lock is taken is a killed writer's
  .lock             held by the one process that writes; readers never take it

Readers take no lock: they resolve the pointer once.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

from sidmint.disk import storing, sync_folder, write_synced
from sidmint.errors import BadInput, Refused, RegistryConflict
from sidmint.publishing.audit import AuditLog
from sidmint.publishing.backend import CHAMPION, LOG, VERSIONS, Backend
from sidmint.publishing.versions import Release

_OWN = {CHAMPION, LOG, ".lock", VERSIONS, "staging"}


class LocalBackend(Backend):
    """The registry in `folder`."""

    def __init__(self, folder: Path, lock_seconds: float = 60.0) -> None:
        self.folder = folder
        self.where = str(folder)
        self.log = AuditLog(folder / LOG)
        self._lock_seconds = lock_seconds

    def exists(self) -> bool:
        """Whether the folder is there."""
        return self.folder.is_dir()

    def pointer_bytes(self) -> bytes | None:
        """The bytes of champion.json; `BadInput` where it cannot be read."""
        try:
            return self._pointer_file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BadInput(f"{self._pointer_file} cannot be read ({error.strerror})") from error

    def version_names(self) -> list[str]:
        """Folders below versions/, links not among them."""
        if not self._versions.is_dir():
            return []
        folders = (path for path in self._versions.iterdir() if not path.is_symlink())
        return [path.name for path in folders if path.is_dir()]

    def release(self, version: str) -> Release | None:
        """The version's own folder."""
        folder = self._versions / version
        return Release(version, folder) if folder.is_dir() and not folder.is_symlink() else None

    def as_stored(self, version: str) -> AbstractContextManager[Path]:
        """The version's own folder."""
        return nullcontext(self._versions / version)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Holds the lock; `RegistryConflict` where another process keeps it too long."""
        with storing(self.folder, "What is published stays as it was"), self._locked():
            yield

    def storing(self, meanwhile: str) -> AbstractContextManager[None]:
        """See `disk.storing`."""
        return storing(self.folder, meanwhile)

    @contextmanager
    def drafting(self) -> Iterator[Path]:
        """staging/, with what a killed writer left behind taken away."""
        self._clear_staging()
        self._staging.mkdir()
        self._versions.mkdir(exist_ok=True)
        try:
            yield self._staging
        finally:
            self._clear_staging()

    def claim(self, version: str) -> bool:
        """True: the lock is claim enough."""
        return True

    def add(self, version: str, draft: Path) -> None:
        """Rename the folder, which is on the same file system."""
        os.rename(draft, self._versions / version)
        sync_folder(self._versions)

    def withdraw(self, version: str) -> None:
        """Nothing: a version that was never champion harms nobody, and its number is spent."""

    def replace_pointer(self, before: bytes | None, after: bytes) -> bool:
        """Write a draft and move it over champion.json."""
        draft = self._staging / CHAMPION
        write_synced(draft, after)
        # Asked again because flock does nothing on some network file systems.
        if self.pointer_bytes() != before:
            return False
        os.replace(draft, self._pointer_file)
        return True

    def flush_pointer(self) -> None:
        """Wait for the name in the folder."""
        sync_folder(self.folder)

    def misplaced(self) -> list[str]:
        """Links, and files and folders in each other's place."""
        files = dict.fromkeys((self._pointer_file, self.log.path, self._lock_file), stat.S_ISREG)
        folders = dict.fromkeys((self._versions, self._staging), stat.S_ISDIR)
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

    def strangers(self, versions: Collection[str]) -> list[str]:
        """Files beside the registry's own. Folders may be other catalogues' registries."""
        strangers = [
            path.name
            for path in self.folder.iterdir()
            if path.name not in _OWN and (path.is_symlink() or not path.is_dir())
        ]
        if self._versions.is_dir():
            strangers += [
                f"{VERSIONS}/{path.name}"
                for path in self._versions.iterdir()
                if path.name not in versions or path.is_symlink()
            ]
        return sorted(strangers)

    @property
    def _pointer_file(self) -> Path:
        return self.folder / CHAMPION

    @property
    def _versions(self) -> Path:
        return self.folder / VERSIONS

    @property
    def _staging(self) -> Path:
        return self.folder / "staging"

    @property
    def _lock_file(self) -> Path:
        return self.folder / ".lock"

    def _clear_staging(self) -> None:
        # What stays is part of no version, and the next writer takes it away.
        with suppress(OSError):
            shutil.rmtree(self._staging, ignore_errors=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
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
