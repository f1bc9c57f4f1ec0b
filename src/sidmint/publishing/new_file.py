"""A file for somebody else, written as a whole or not at all, in nobody's place."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from errno import ENOSYS, ENOTSUP, EPERM
from pathlib import Path

from sidmint.disk import digest, storing, sync_file, sync_folder
from sidmint.errors import BadInput

Write = Callable[[Path], None]
"""Writes a whole file at a path."""


def write_new(path: Path, write: Write, force: bool, keep_out: Path) -> str:
    """Write a file at `path` as a whole or not at all; returns its SHA-256.

    An existing file is replaced under `force` alone. `BadInput` where `path` exists, is a folder,
    lies in no folder, or lies in `keep_out`: the registry, in which only releases lie.
    """
    require_free(path, force, keep_out)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.draft")
    with storing(path.parent, f"{path} is as it was"):
        try:
            write(draft)
            sync_file(draft)
            found = digest(draft)
            _put(draft, path, force)
            sync_folder(path.parent)
        finally:
            draft.unlink(missing_ok=True)
    return found


def require_free(path: Path, force: bool, keep_out: Path) -> None:
    """Raise `BadInput` where `write_new` would: to ask before the work is done."""
    folder = path.parent
    if path.is_dir():
        raise BadInput(f"--output {path} is a folder; name a file in it")
    if not folder.is_dir():
        raise BadInput(f"--output {path}: the folder {folder} is not there; make it first")
    if folder.resolve().is_relative_to(keep_out.resolve()):
        raise BadInput(
            f"--output {path} lies in the registry {keep_out}, which keeps releases only; name a "
            "file elsewhere"
        )
    _require_absent(path, force)


def _put(draft: Path, path: Path, force: bool) -> None:
    if not force:
        try:
            os.link(draft, path)  # unlike a rename it never takes the place of another file
            return
        except FileExistsError:
            _require_absent(path, force)
        except OSError as error:
            if error.errno not in (EPERM, ENOTSUP, ENOSYS):  # a file system without links
                raise
            _require_absent(path, force)
    os.replace(draft, path)


def _require_absent(path: Path, force: bool) -> None:
    if not force and os.path.lexists(path):
        raise BadInput(f"--output {path} is there already; give another name, or --force")
