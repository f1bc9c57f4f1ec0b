"""A commit as a folder of its own, beside the one that somebody works in."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sidmint.errors import BadInput


@contextmanager
def worktree(root: Path, commit: str, keep: bool = False) -> Iterator[Path]:
    """`root` as it was at `commit`, in a temporary folder of its own; gone afterwards.

    `root` may be a folder inside its repository. What is changed or checked out there stays as
    it is. With `keep` the folder stays too, as a worktree that `git worktree list` names.
    `BadInput` where git does not have the commit.
    """
    folder = Path(tempfile.mkdtemp(prefix="sidmint-")) / "worktree"
    try:
        # Without hooks: DVC's own would look for data that is not there yet.
        no_hooks = ("-c", f"core.hooksPath={os.devnull}")
        _git(root, *no_hooks, "worktree", "add", "--quiet", "--detach", str(folder), commit)
        yield folder / _git(root, "rev-parse", "--show-prefix").strip()
    finally:
        if not keep:
            shutil.rmtree(folder.parent, ignore_errors=True)
            subprocess.run(["git", "worktree", "prune"], cwd=root, capture_output=True)


def _git(root: Path, *arguments: str) -> str:
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
    return ended.stdout
