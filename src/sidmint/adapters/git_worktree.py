"""A commit as a folder of its own, beside the one that somebody works in."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sidmint.errors import BadInput


@contextmanager
def worktree(root: Path, commit: str, keep: bool = False) -> Iterator[Path]:
    """The tree of `commit` of the repository at `root`, in a temporary folder; gone afterwards.

    What is changed or checked out at `root` stays as it is. With `keep` the folder stays too, as a
    worktree that `git worktree list` names. `BadInput` where git does not have the commit.
    """
    folder = Path(tempfile.mkdtemp(prefix="sidmint-")) / "worktree"
    try:
        _git(root, "worktree", "add", "--quiet", "--detach", str(folder), commit)
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder.parent, ignore_errors=True)
            subprocess.run(["git", "worktree", "prune"], cwd=root, capture_output=True)


def _git(root: Path, *arguments: str) -> None:
    try:
        ended = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    except OSError as error:
        raise BadInput(
            f"git cannot be called ({error.strerror}); it must be on the PATH"
        ) from error
    if ended.returncode:
        raise BadInput(
            f"git cannot check the commit out at a place of its own: {ended.stderr.strip()}; "
            "`git fetch` brings commits that this clone does not have"
        )
