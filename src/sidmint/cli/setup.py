"""`sidmint init`: from the user's own files to a workspace that can run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sidmint.cli.output import console
from sidmint.cli.workspace import open_workspace
from sidmint.errors import BadInput


def init(
    items: Annotated[Path | None, typer.Option(help="Your items: file or Parquet folder.")] = None,
    interactions: Annotated[
        Path | None,
        typer.Option(help="Your interaction log: file or Parquet folder. Without: content alone."),
    ] = None,
    vectors: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]FILE",
            help="Vectors you already have: .npy in the order of the items, or Parquet. NAME=FILE, "
            "any number of them: to be joined with those of the text (embed.sources).",
        ),
    ] = None,
    source: Annotated[
        str, typer.Option(help="table, amazon_2014, amazon_2018, amazon_2023 or movielens.")
    ] = "table",
    name: Annotated[
        str | None, typer.Option(help="Of the catalogue; default: the folder's.")
    ] = None,
    encoding: Annotated[
        str, typer.Option(help="Of CSV and TSV files: latin-1, cp1252, utf-16 ...")
    ] = "utf-8",
    id_format: Annotated[
        str,
        typer.Option(
            help="How item ids of log and items are compared: as_written, trimmed, lower, or "
            "number, which joins 000017 and 17."
        ),
    ] = "as_written",
    demo: Annotated[bool, typer.Option("--demo", help="Back to the built-in catalogue.")] = False,
) -> None:
    """Look at your files, propose params.yaml for them, and put them under DVC.

    Copies the files to data/raw, writes params.yaml (column mapping, text template, sizes, gate)
    and runs `dvc add`. Nothing is changed where the files cannot be understood.
    """
    from sidmint.adapters.dvc_repo import add
    from sidmint.params import IngestParams
    from sidmint.settings import parse_settings
    from sidmint.sources.bring_in import Sources, back_to_demo, bring_in
    from sidmint.sources.detect import Reading
    from sidmint.sources.vectors import files_by_source

    layout = open_workspace().layout
    if demo:
        if items or interactions or vectors:
            raise BadInput("--demo takes no files; leave it out to use your own")
        back_to_demo(layout)
        console.print("params.yaml is the built-in catalogue again; next: [bold]sidmint run[/]")
        return
    if items is None or (interactions is None and source not in ("table", "movielens")):
        raise BadInput(
            "init wants --items FILE, and --interactions FILE where there is a log (Amazon sources "
            "want both; movielens wants --items FOLDER), or --demo for the built-in catalogue"
        )
    asked = {"source": source, "encoding": encoding, "id_format": id_format}
    parse_settings(IngestParams, asked, "sidmint init")
    reading = Reading(encoding, id_format)
    named = files_by_source(vectors or ())
    whole = named.pop("", None)
    brought = bring_in(layout, Sources(source, items, interactions, whole, name, reading, named))
    for note in brought.notes:
        console.print(f"  - {note}", markup=False, soft_wrap=True)
    add(layout.root, brought.tracked)
    console.print("wrote [bold]params.yaml[/]; next: [bold]sidmint run[/]")


def register(app: typer.Typer) -> None:
    """Add `init`."""
    app.command()(init)
