"""What is asked of a disk: digests, writes that survive a power cut, refusals a user can mend."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sidmint.errors import StorageFailed


def digest(path: Path) -> str:
    """SHA-256 of the file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def storing(folder: Path, meanwhile: str) -> Iterator[None]:
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


def write_synced(path: Path, data: bytes | memoryview) -> None:
    """Write a new file and wait until its bytes are on the disk."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_file(path: Path) -> None:
    """Wait until the bytes of a file that is there are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Wait until the names in `folder` are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
