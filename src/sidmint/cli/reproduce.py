"""`sidmint reproduce`: make a version again from its code and data, and compare every file."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from sidmint.cli.output import console, emit, errors
from sidmint.cli.workspace import VARIABLE, open_store, open_workspace
from sidmint.errors import Refused

if TYPE_CHECKING:
    from sidmint.publishing.reproduction import Reproduction


def reproduce(
    version: Annotated[str, typer.Argument(help="A version; `sidmint versions` lists them.")],
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the worktree, to look at what differs.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Make a version again: its commit and its data in a worktree, every stage, every hash.

    Your own files stay as they are, and no stage takes anything out of DVC's cache. The exit
    code is 0 only where every file has the sha256 of the manifest.
    """
    found = _again(version, keep, sys.stderr.fileno() if as_json else None)

    def render() -> None:
        table = Table("file", "published", "again", "", box=None, header_style="bold")
        for file in found.files:
            word = Text("same", "green") if file.same else Text("DIFFERS", "bold red")
            table.add_row(Text(file.name), *map(_short, (file.published, file.again)), word)
        console.print(table)
        for note in found.notes:
            console.print(f"  note: {note}", markup=False, soft_wrap=True)
        if found.folder is not None:
            console.print(f"  the run lies in {found.folder}", markup=False, soft_wrap=True)
        if not found.differing:
            console.print(f"{found.version} was made again: {len(found.files)} files, all the same")

    emit({"same": not found.differing, **asdict(found)}, as_json, render)
    if found.differing:
        raise Refused(
            f"{found.version} was not made again: {len(found.differing)} of {len(found.files)} "
            f"files differ, {', '.join(found.differing)}"
        )


def _again(version: str, keep: bool, output: int | None) -> Reproduction:
    from sidmint.adapters.dvc_repo import restore, run_everything_again, share_cache
    from sidmint.adapters.git_worktree import worktree
    from sidmint.publishing.reproduction import (
        Reproduction,
        caveats,
        commit_of,
        compare_again,
        inputs_of,
        prepare,
    )

    root, store = open_workspace().layout.root, open_store()
    release = store.release(version)
    commit, inputs = commit_of(store, release), inputs_of(release)
    with worktree(root, commit, keep) as folder:
        prepare(folder, store, release)
        share_cache(root, folder)
        restore(folder, inputs)
        errors.print(f"running every stage at {commit[:12]} in {folder}", soft_wrap=True)
        if code := run_everything_again(folder, _environment(folder), output):
            raise Refused(f"a stage of {version} failed when it was run again (exit code {code})")
        return Reproduction(
            version=release.version,
            git_commit=commit,
            notes=caveats(release, _has_own_code(folder)),
            files=compare_again(folder, release),
            folder=str(folder) if keep else None,
        )


def _environment(folder: Path) -> dict[str, str]:
    """Stages work in `folder`, with the code of sidmint that lies there, if one does."""
    from sidmint.adapters.dvc_repo import repro_environment

    environment = {**repro_environment(), VARIABLE: str(folder)}
    if _has_own_code(folder):
        paths = [str(folder / "src"), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return environment


def _has_own_code(folder: Path) -> bool:
    return (folder / "src" / "sidmint" / "__init__.py").is_file()


def _short(sha256: str | None) -> str:
    return sha256[:16] if sha256 else "-"
