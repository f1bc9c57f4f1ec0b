"""`sidmint export`: a published table, or what changed of it, as a file for other systems."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from sidmint.cli.output import console, emit
from sidmint.cli.workspace import open_store


def export(
    output: Annotated[Path, typer.Option(help="The file to write.", show_default=False)],
    version: Annotated[
        str | None, typer.Argument(help="Default: the champion.", show_default=False)
    ] = None,
    form: Annotated[
        Literal["index-json", "csv", "parquet", "delta", "item-vectors"],
        typer.Option(
            "--format",
            help="index-json: what LETTER, LC-Rec and MiniOneRec read. delta: what changed since "
            "another version, as .json or .parquet. item-vectors: what sasrec knows of the items, "
            "as .parquet, for embed.collaborative.",
        ),
    ] = "index-json",
    since: Annotated[
        str | None,
        typer.Option(help="The version that a delta is told from.", show_default=False),
    ] = None,
    prefix_format: Annotated[
        str | None,
        typer.Option(
            help="How index-json writes a code: {code}, with {letter} or {level}. "
            "Default: <{letter}_{code}>",
            show_default=False,
        ),
    ] = None,
    allow_formulas: Annotated[
        bool,
        typer.Option("--allow-formulas", help="Write a CSV whose ids begin with =, +, - or @."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Write a published table, or what changed since another, for systems that read files."""
    from sidmint.publishing.exporting import Options
    from sidmint.publishing.exporting import export as write

    options = Options(since, prefix_format, allow_formulas)
    found = write(open_store(), version, form, output, options, force)

    def render() -> None:
        what = found.version if found.since is None else f"{found.since} to {found.version}"
        console.print(f"{what} as {found.format} in {found.path}", markup=False, soft_wrap=True)
        console.print(f"  sha256 {found.sha256}", markup=False, soft_wrap=True)

    emit(asdict(found), as_json, render)
