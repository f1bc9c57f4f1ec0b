"""A registry in an S3 bucket: nobody waits for anybody, and conditional writes decide who won.

    s3://BUCKET/PREFIX/
      claims/v0001         who writes a version takes its number first (If-None-Match)
      versions/v0001/...   files, and manifest.json last: without it there is no version
      champion.json        replaced only while it is what the writer saw (If-Match)
      log.jsonl            likewise

What was read is kept on this disk, below a name made of the manifest's digest: a version never
changes, so a copy never grows old. `verify` alone reads everything again.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sidmint.disk import digest
from sidmint.errors import Refused, StorageFailed
from sidmint.publishing.audit import AuditLog
from sidmint.publishing.backend import CHAMPION, LOG, VERSIONS, Backend
from sidmint.publishing.files import files_in
from sidmint.publishing.objects import Objects
from sidmint.publishing.versions import Release

_MANIFEST = "manifest.json"
_ATTEMPTS = 20
"""At the end of a log that others write too."""


class BucketBackend(Backend):
    """The registry at `address` (s3://BUCKET/PREFIX); `folder` is for what is fetched of it."""

    def __init__(self, address: str, folder: Path) -> None:
        self.where = address
        self.folder = folder
        self._objects = Objects(address)
        self.log = _BucketLog(Path(LOG), self._objects)

    def exists(self) -> bool:
        """Whether there is a pointer."""
        return self.pointer_bytes() is not None

    def pointer_bytes(self) -> bytes | None:
        """The object champion.json."""
        found = self._objects.read(CHAMPION)
        return found[0] if found else None

    def version_names(self) -> list[str]:
        """Names below versions/ that have a manifest."""
        keys = [PurePosixPath(key).parts for key in self._objects.names(VERSIONS)]
        return [key[1] for key in keys if len(key) == 3 and key[2] == _MANIFEST]

    def release(self, version: str) -> Release | None:
        """Its manifest as it is in the bucket; other files when they are asked for."""
        found = self._objects.read(f"{VERSIONS}/{version}/{_MANIFEST}")
        if found is None:
            return None
        manifest = found[0]
        folder = self._kept(version, manifest)
        if not (folder / _MANIFEST).is_file():
            folder.mkdir(parents=True, exist_ok=True)
            _replace(folder / _MANIFEST, lambda draft: draft.write_bytes(manifest))
        return _FetchedRelease(version, folder, self._objects)

    @contextmanager
    def as_stored(self, version: str) -> Iterator[Path]:
        """A temporary folder with everything below the version's name."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            folder = Path(scratch, version)
            folder.mkdir()
            for key in self._objects.names(f"{VERSIONS}/{version}"):
                inner = PurePosixPath(key).relative_to(PurePosixPath(VERSIONS, version))
                target = folder / _safe(inner, key)
                target.parent.mkdir(parents=True, exist_ok=True)
                self._objects.fetch(key, target)
            yield folder

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lets everybody in, once the bucket has shown that it can tell who came second."""
        with self.storing("What is published stays as it was"):
            self._objects.require_conditions()
            yield

    def storing(self, meanwhile: str) -> AbstractContextManager[None]:
        """See `Objects.reaching`."""
        return self._objects.reaching(meanwhile)

    @contextmanager
    def drafting(self) -> Iterator[Path]:
        """A temporary folder on this disk."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            yield Path(scratch)

    def claim(self, version: str) -> bool:
        """By an object of a content of our own: a number is taken once."""
        return self._objects.write(f"claims/{version}", uuid.uuid4().hex.encode(), None)

    def add(self, version: str, draft: Path) -> None:
        """Upload the files, then the manifest; the draft becomes the copy on this disk."""
        files = files_in(draft)
        manifest = files.pop(_MANIFEST).read_bytes()
        self._objects.upload({f"{VERSIONS}/{version}/{name}": path for name, path in files.items()})
        if not self._objects.write(f"{VERSIONS}/{version}/{_MANIFEST}", manifest, None):
            raise Refused(f"{self.where} has another {version} already, which nobody claimed")
        kept = self._kept(version, manifest)
        kept.parent.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):  # a copy that is there already is as good
            os.rename(draft, kept)

    def withdraw(self, version: str) -> None:
        """Remove the version's objects, the manifest first; its number stays spent."""
        names = self._objects.names(f"{VERSIONS}/{version}")
        self._objects.remove(sorted(names, key=lambda name: not name.endswith(f"/{_MANIFEST}")))

    def replace_pointer(self, before: bytes | None, after: bytes) -> bool:
        """Under the tag of the object that was compared with `before`."""
        found = self._objects.read(CHAMPION)
        now, tag = found if found else (None, None)
        return now == before and self._objects.write(CHAMPION, after, tag)

    def flush_pointer(self) -> None:
        """Nothing: a bucket answers when what it was given is kept."""

    def misplaced(self) -> list[str]:
        """Nothing: a bucket has no links and no folders."""
        return []

    def strangers(self, versions: Collection[str]) -> list[str]:
        """Objects that nobody here writes; a claimed version's own are of its unfinished upload."""
        keys = [(key, PurePosixPath(key).parts) for key in self._objects.names("")]
        claimed = {parts[1] for _, parts in keys if parts[0] == "claims" and len(parts) == 2}
        known = {*versions, *claimed}

        def is_own(top: str, *inner: str) -> bool:
            if not inner:
                return top in (CHAMPION, LOG)
            return top == "claims" or (top == VERSIONS and inner[0] in known)

        return [key for key, parts in keys if not is_own(*parts)]

    def _kept(self, version: str, manifest: bytes) -> Path:
        return self.folder / hashlib.sha256(manifest).hexdigest()[:16] / version


@dataclass(frozen=True)
class _FetchedRelease(Release):
    """A version of a bucket: files come when they are asked for, and only as the manifest says."""

    objects: Objects

    @property
    def where(self) -> str:
        return f"{self.objects.address}/{VERSIONS}/{self.version}"

    def has(self, name: str) -> bool:
        return name in self.manifest["files"]

    def whole(self, below: str = "") -> Path:
        inner = (
            name for name in self.manifest["files"] if PurePosixPath(name).is_relative_to(below)
        )
        for name in inner:
            self.file(name)
        return self.folder / below

    def file(self, name: str) -> Path:
        path = self.folder / name
        if name != _MANIFEST and not path.is_file() and self.has(name):
            self._fetch(name, path)
        return super().file(name)

    def _fetch(self, name: str, path: Path) -> None:
        key = f"{VERSIONS}/{self.version}/{name}"
        _safe(PurePosixPath(name), key)
        path.parent.mkdir(parents=True, exist_ok=True)

        def download(draft: Path) -> None:
            self.objects.fetch(key, draft)
            if digest(draft) != self.manifest["files"][name]["sha256"]:
                raise Refused(
                    f"{self.where}/{name} was changed: its sha256 is not the one in the manifest; "
                    f"`sidmint verify {self.version}` says what is damaged"
                )

        _replace(path, download)


@dataclass(frozen=True)
class _BucketLog(AuditLog):
    """log.jsonl as an object, which is replaced by a longer one as nothing can be appended."""

    objects: Objects

    @property
    def where(self) -> str:
        return f"{self.objects.address}/{self.path}"

    def _contents(self) -> bytes | None:
        found = self.objects.read(LOG)
        return found[0] if found else None

    def _append(self, data: bytes) -> None:
        for _ in range(_ATTEMPTS):
            before, tag = self.objects.read(LOG) or (b"", None)
            # Whoever moved the pointer after us has written our line first.
            if data in before or self.objects.write(LOG, before + data, tag):
                return
        raise StorageFailed(f"{self.where} is being written by many at once; try again")


def _safe(inner: PurePosixPath, key: str) -> PurePosixPath:
    """`inner` if it stays below the folder that it is joined to."""
    if inner.is_absolute() or ".." in inner.parts or not inner.parts:
        raise Refused(f"the bucket holds {key!r}, a name that leads out of its version")
    return inner


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a draft and move it to `path` in one step."""
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        write(draft)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
