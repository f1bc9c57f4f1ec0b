"""Files of a release: their names, listing and copying without links."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

from sidmint.disk import sync_file, sync_folder
from sidmint.errors import BadInput

NEIGHBOURS = "neighbours.faiss"
"""The index in a release; the same name under data/build/embed."""

SOURCES_FILE = "sources.safetensors"
"""What was fitted of `embed.sources`, in a release; the same name under data/build/embed."""

TOKENIZER_FILES = ("tokenizer.safetensors", "tokenizer.json")
"""In the folder tokenizer/ of a release, and in what stage train writes."""


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
    _copy(source, target, lambda _: None)


def copy_hashed(source: Path, target: Path) -> str:
    """As `copy_regular`; the SHA-256 of the bytes that were copied, which are read once."""
    found = hashlib.sha256()
    _copy(source, target, found.update)
    return found.hexdigest()


def _copy(source: Path, target: Path, see: Callable[[bytes], None]) -> None:
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
            see(block)
            writing.write(block)


def sync_tree(folder: Path) -> None:
    """Wait until every file below `folder`, and every name, is on the disk."""
    for path in files_in(folder).values():
        sync_file(path)
    for parent, _, _ in os.walk(folder):
        sync_folder(Path(parent))
