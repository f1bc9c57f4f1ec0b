"""`sidmint inspect`: measure and judge a table that another system wrote."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sidmint.cli.output import console, emit
from sidmint.cli.workspace import VARIABLE, open_workspace
from sidmint.errors import BadInput, SidmintError

if TYPE_CHECKING:
    from sidmint.inspection import Inspection
    from sidmint.params import Params


def inspect(
    file: Annotated[
        Path,
        typer.Argument(
            help="Parquet, CSV, TSV, JSON Lines, a JSON index as LETTER and LC-Rec write, or .npy."
        ),
    ],
    vectors: Annotated[
        Path | None,
        typer.Option(help="Item vectors: .npy in the order of the table, or Parquet by item id."),
    ] = None,
    interactions: Annotated[
        Path | None, typer.Option(help="Interaction log: Parquet, CSV, TSV or JSON Lines.")
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(
            help="Codes of each codebook, e.g. 256,256,256; one number stands for all levels. "
            "Without it only codes in use can be seen."
        ),
    ] = None,
    suffix: Annotated[
        bool | None,
        typer.Option(
            "--suffix/--no-suffix",
            help="Whether the last number only tells apart items of one code; found out if left.",
            show_default=False,
        ),
    ] = None,
    show_buckets: Annotated[
        int, typer.Option(min=0, help="Show so many of the worst shared codes.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure and judge a table of Semantic IDs made by any system.

    Prints every figure that the files allow and applies the gate rules that can be: those of the
    workspace you are in, else the defaults. Exit codes: 0 passed, 1 refused, 2 bad input.
    """
    with _plain_errors():
        from sidmint.inspection import inspect_table
        from sidmint.progress import on_terminal

        params, origin = _settings()
        found = inspect_table(
            file,
            params,
            vectors_path=vectors,
            interactions_path=interactions,
            sizes=_parse_sizes(sizes),
            suffix=suffix,
            num_buckets=show_buckets,
            track=on_terminal,
        )
    emit(_document(found, origin), as_json, lambda: _show(found, origin))
    if not found.verdict.passed:
        raise typer.Exit(1)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Errors quote ids and column names of a file that nobody vouches for: show them as text."""
    try:
        yield
    except SidmintError as error:
        from sidmint.reporting.titles import one_line

        raise type(error)(one_line(str(error), 2000)) from error


def _settings() -> tuple[Params, str]:
    """The settings to measure and judge by, and where they are from."""
    from sidmint.params import Params

    try:
        here = open_workspace()
    except BadInput:
        if os.environ.get(VARIABLE):
            raise
        return Params(), "sidmint's default gate (this is no workspace)"
    return here.params, f"the gate of {here.layout.params}"


def _parse_sizes(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        raise BadInput(f"--sizes wants whole numbers, e.g. 256,256,256, got {text!r}")
    return tuple(map(int, parts))


def _document(found: Inspection, origin: str) -> dict[str, Any]:
    from sidmint.gate.verdict import json_numbers

    table, verdict = found.table, found.verdict
    return {
        "verdict": "passed" if verdict.passed else "refused",
        "reasons": list(verdict.blocked_by),
        "warnings": list(verdict.warnings),
        "rules": [rule.to_dict() for rule in verdict.rules],
        "not_applied": dict(found.not_applied),
        "metrics": json_numbers(found.metrics),
        "levels": found.levels.to_dicts(),
        "buckets": [] if found.buckets is None else list(map(_plain_row, found.buckets.to_dicts())),
        "read": {
            "file": _plain(table.name),
            "sha256": verdict.table_sha256,
            "items": table.codes.num_items,
            "levels": table.codes.num_levels,
            "sizes": list(table.codes.sizes),
            "sizes_from": table.sizes_from,
            "offsets": list(table.offsets),
            "suffix": table.suffixes is not None,
            "notes": [_plain(note) for note in found.read],
        },
        "gate": {"from": _plain(origin), "sha256": verdict.thresholds_sha256},
    }


def _show(found: Inspection, origin: str) -> None:
    """Verdict first, then what it rests on, then what could not be said."""
    from sidmint.cli.views import bucket_view, level_views, metric_view

    table, verdict = found.table, found.verdict
    word, style = ("PASSED", "bold green") if verdict.passed else ("REFUSED", "bold red")
    held = sum(rule.passed for rule in verdict.rules)
    console.print(word, style=style, end=" ")
    _say(f"{table.name}: {held} of {len(verdict.rules)} applied rules hold, of {origin}")
    for reason in verdict.blocked_by:
        _list(reason)
    for warning in verdict.warnings:
        _list(f"warning: {warning}")
    console.print(
        f"\n[bold]Read[/] {table.codes.num_items:,} items, {table.codes.num_levels} levels"
    )
    for note in found.read:
        _list(note)
    for view in (*level_views(found.levels, found.metrics), metric_view(found.metrics)):
        console.print()
        console.print(view)
    if found.buckets is not None and found.buckets.height:
        console.print("\n[bold]Worst shared codes[/]")
        console.print(bucket_view(found.buckets))
    if found.not_applied:
        console.print("\n[bold]Rules not applied[/] (they neither hold nor refuse)")
        for reason in dict.fromkeys(found.not_applied.values()):
            names = [name for name, why in found.not_applied.items() if why == reason]
            _list(f"{', '.join(names)}: {reason}")


def _list(sentence: str) -> None:
    console.print("  - ", end="")
    _say(sentence)


def _say(sentence: str) -> None:
    from sidmint.cli.views import plain

    console.print(plain(sentence), soft_wrap=True)


def _plain(text: str) -> str:
    """Text of a file for JSON: whole, but without characters that a terminal would obey."""
    from sidmint.reporting.titles import one_line

    return one_line(text, max(len(text), 1))


def _plain_row(row: dict[str, Any]) -> dict[str, Any]:
    return row | {name: _plain(row[name]) for name in ("item_id", "title")}


def register(app: typer.Typer) -> None:
    """Add `inspect`."""
    app.command()(inspect)
