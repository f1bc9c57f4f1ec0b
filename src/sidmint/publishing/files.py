"""Files of a release: digests, listing without links, and writes that survive a power cut."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sidmint.errors import BadInput, StorageFailed

NEIGHBOURS = "neighbours.faiss"
"""The index in a release; the same name under data/build/embed."""

SOURCES_FILE = "sources.safetensors"
"""What was fitted of `embed.sources`, in a release; the same name under data/build/embed."""

TOKENIZER_FILES = ("tokenizer.safetensors", "tokenizer.json")
"""In the folder tokenizer/ of a release, and in what stage train writes."""


def digest(path: Path) -> str:
    """SHA-256 of the file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def walk(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Regular files below `folder` by relative POSIX name, sorted; and the names of anything else.

    Links are never followed: one could lead out of the folder, or be changed behind the
    digest's back.
    """
    files: dict[str, Path] = {}
    others: list[str] = []
    for parent, folders, names in os.walk(folder, followlinks=False):
        for name in (*names, *folders):
            path = Path(parent, name)
            kind = path.lstat().st_mode
            if stat.S_ISREG(kind):
                files[path.relative_to(folder).as_posix()] = path
            elif not stat.S_ISDIR(kind):
                others.append(path.relative_to(folder).as_posix())
    return dict(sorted(files.items())), sorted(others)


def files_in(folder: Path) -> dict[str, Path]:
    """Regular files below `folder` by relative name; `BadInput` if there is anything else."""
    files, others = walk(folder)
    if others:
        raise BadInput(
            f"a release holds regular files only, but {', '.join(others)} is a link or a device"
        )
    return files


def copy_regular(source: Path, target: Path) -> None:
    """Copy the bytes of a regular file; `BadInput` if `source` is a link."""
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError as error:
        raise BadInput(
            f"{source} is not there; `sidmint run` brings every stage up to date"
        ) from error
    except OSError as error:
        raise BadInput(
            f"{source} cannot be copied into a release ({error.strerror}); if it is a link of "
            "DVC's cache: `dvc config cache.type reflink,copy`, then `dvc checkout --relink`"
        ) from error
    with os.fdopen(descriptor, "rb") as reading, target.open("xb") as writing:
        while block := reading.read(1 << 20):
            writing.write(block)


@contextmanager
def storing(folder: Path, meanwhile: str = "What is published stays as it was") -> Iterator[None]:
    """Turns what a file system refuses into `StorageFailed`, which names path and way out.

    `meanwhile` says how things stand then.
    """
    try:
        yield
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else folder
        raise StorageFailed(
            f"{where} cannot be written: {error.strerror or error}. {meanwhile}; free or mend the "
            f"disk that {folder} lies on, then give the command again"
        ) from error


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file and wait until its bytes are on the disk."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the names in `folder` are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Wait until every file below `folder`, and every name, is on the disk."""
    for path in files_in(folder).values():
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    for parent, _, _ in os.walk(folder):
        sync_folder(Path(parent))
