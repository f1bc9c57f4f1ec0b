"""A git repository around a new workspace."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

from sidmint.errors import BadInput


def is_in_repository(folder: Path) -> bool:
    """Whether `folder` lies in the work tree of a git repository, its own or an outer one."""
    return _run(folder, "rev-parse", "--is-inside-work-tree").returncode == 0


def start_repository(folder: Path) -> None:
    """Make `folder` the root of a git repository."""
    _called(folder, "init", "--quiet")


def stage_files(folder: Path, paths: Iterable[str]) -> None:
    """`git add` the `paths`; the commit is the user's, whose name it carries."""
    _called(folder, "add", "--", *paths)


def _called(folder: Path, *arguments: str) -> None:
    ended = _run(folder, *arguments)
    if ended.returncode:
        raise BadInput(f"`git {arguments[0]}` failed in {folder}: {ended.stderr.strip()}")


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True)
    except OSError as error:
        raise BadInput(
            f"git cannot be called ({error.strerror}); it must be on the PATH, since a workspace "
            "keeps its history in git"
        ) from error
