"""`sidmint new`: an empty folder becomes a workspace."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from sidmint.cli.output import console
from sidmint.errors import BadInput

_GIT = ".git"


def new(
    folder: Annotated[Path, typer.Argument(help="A new folder, an empty one, or a bare clone.")],
) -> None:
    """Make a workspace: the graph, params.yaml, git and DVC; nothing is run yet.

    It starts with the built-in catalogue. Inside another git repository it becomes a folder of
    that one; else it gets a repository of its own. Files are staged, the commit is yours.
    """
    from sidmint.adapters import dvc_repo, git_repo
    from sidmint.templates import workspace_files, write_workspace

    with _only_ours(folder):
        write_workspace(folder)
        outer = git_repo.is_in_repository(folder)
        if not outer:
            git_repo.start_repository(folder)
        dvc_repo.start(folder, inside_another=outer and not (folder / _GIT).exists())
        git_repo.stage_files(folder, (*workspace_files(), *dvc_repo.STARTED))
    console.print(f"made the workspace {folder.resolve()}", markup=False, soft_wrap=True)
    console.print("next, in that folder:")
    console.print("  sidmint init --items FILE --interactions FILE   # or: sidmint demo")
    console.print("  sidmint run")


@contextmanager
def _only_ours(folder: Path) -> Iterator[None]:
    """Make `folder`; `BadInput` where something lies in it; as it was if the work fails."""
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file; name a folder that is new or empty")
    before = {path.name for path in folder.iterdir()} if folder.exists() else None
    if in_the_way := sorted((before or set()) - {_GIT}):
        more = ", ..." if len(in_the_way) > 3 else ""
        raise BadInput(
            f"{folder} is not empty ({', '.join(in_the_way[:3])}{more}); name a folder that is "
            "new, empty, or holds nothing but .git"
        )
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for path in folder.iterdir():
            if path.name not in (before or ()):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        if before is None:
            folder.rmdir()
        raise


def register(app: typer.Typer) -> None:
    """Add `new`."""
    app.command()(new)
