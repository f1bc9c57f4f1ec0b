"""What a vector depends on beside its text, as words that can be compared."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path


def digest_of_files(folder: Path, paths: Iterable[Path]) -> str:
    """SHA-256 over names (below `folder`) and contents of the files among `paths`."""
    whole = hashlib.sha256()
    for path in sorted(path for path in paths if path.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{content} {path.relative_to(folder).as_posix()}\n".encode())
    return whole.hexdigest()


def versions(*packages: str) -> str:
    """`numpy 2.4.0, torch 2.13.0`: the installed versions of `packages`."""
    return ", ".join(f"{package} {version(package)}" for package in packages)
