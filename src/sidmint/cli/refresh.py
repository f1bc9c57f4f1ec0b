"""`sidmint refresh ITEMS`: ids for new items from the champion's tokenizer, without training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from sidmint.cli.output import console, emit, warn
from sidmint.cli.people import By, user
from sidmint.cli.telling_mlflow import tell_mlflow
from sidmint.cli.versions import PANEL
from sidmint.cli.workspace import open_store, open_workspace

if TYPE_CHECKING:
    from sidmint.publishing.refresh import Plan
    from sidmint.publishing.release import Published

_SHOWN_ITEMS = 10
_FIGURES = ("refresh_", "full_prefix_share_", "collision_rate", "doubled_collision_rate")
"""Of the metrics of a refresh, those that a person reads; the others are in `sidmint diff`."""


def refresh(
    items: Annotated[Path, typer.Argument(help="New and changed items: file or Parquet folder.")],
    vectors: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]FILE",
            help="Their vectors, where the champion's came ready-made: .npy in the order of the "
            "items, or Parquet. Of embed.sources, NAME=FILE for each that comes from a file.",
        ),
    ] = None,
    move_changed: Annotated[
        bool,
        typer.Option(
            "--move-changed", help="Give published items whose text changed the id of their text."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Measure and judge; publish nothing.")
    ] = False,
    by: By = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Give new items ids from the champion's own tokenizer, and publish them beside its table.

    No published id moves. The new version is a minor one of the champion, v0003.1. Refused (exit
    code 1) with every reason where the new items stray too far from those it was trained for:
    then train again. Items that are published already change nothing.
    """
    from sidmint.progress import on_terminal
    from sidmint.publishing.arrivals import read_arrivals
    from sidmint.publishing.refresh import plan_refresh, publish_refresh
    from sidmint.sources.new_items import read_new_items
    from sidmint.text_vectors import TextVectors

    here, store = open_workspace(), open_store()
    params = here.params
    release = store.release()
    given = read_new_items(items, vectors or (), params.ingest.columns, params.ingest.encoding)
    embed = params.embed
    encode = TextVectors(here.layout, embed.batch_size, embed.workers, on_terminal)
    arrivals = read_arrivals(given, release, here.layout.root, encode)
    for problem in encode.problems:
        warn(problem)
    plan = plan_refresh(params.refresh, store, release, arrivals, move_changed, on_terminal)
    published = None
    if not dry_run and not plan.refusals:
        published = publish_refresh(here.layout, store, plan, by or user())
        if published.changed:
            tell_mlflow(here, published.version, published.path, moved=True)
    emit(plan_as_dict(plan, published), as_json, lambda: _show(plan, published))
    plan.require_passed()


def plan_as_dict(plan: Plan, published: Published | None) -> dict[str, Any]:
    """What happened, as plain values; without `published` what would have happened."""
    done = published is not None and published.changed
    return {
        "champion": plan.release.version,
        "version": published.version if published and done else None,
        "path": str(published.path) if published and done else None,
        "published": done,
        "passed": not plan.refusals,
        "reasons": list(plan.refusals),
        "warnings": list(plan.warnings),
        "num_read": len(plan.arrivals.item_ids),
        "num_new": len(plan.found.new),
        "num_known": plan.found.num_known,
        "changed": list(plan.changed),
        "moved": list(plan.placed.moved) if plan.placed else [],
        "metrics": plan.metrics,
    }


def _show(plan: Plan, published: Published | None) -> None:
    found, placed = plan.found, plan.placed
    console.print(
        f"{len(plan.arrivals.item_ids):,} items read: {len(found.new):,} new, "
        f"{len(found.changed):,} changed, {found.num_known:,} as published in "
        f"[bold]{plan.release.version}[/]"
    )
    if len(found.changed):
        _show_changed(plan)
    if placed is None:
        console.print("nothing to do: no version was made")
        return
    _show_figures(plan)
    for reason in plan.warnings:
        console.print(f"  warning: {reason}", markup=False, soft_wrap=True)
    if published is not None:
        console.print(f"published [bold]{published.version}[/] (before: {published.previous})")
        console.print(f"  {published.path}", markup=False, soft_wrap=True)
    elif not plan.refusals:
        console.print("this would be published; nothing was written (--dry-run)")


def _show_changed(plan: Plan) -> None:
    shown = " ".join(plan.changed[:_SHOWN_ITEMS])
    more = " ..." if len(plan.changed) > _SHOWN_ITEMS else ""
    moved = len(plan.placed.moved) if plan.placed else 0
    kept = f"{moved:,} ids move" if moved else "their ids stay (--move-changed moves them)"
    console.print(f"  text changed: {shown}{more}; {kept}", markup=False, soft_wrap=True)


def _show_figures(plan: Plan) -> None:
    from sidmint.contracts import describe_metric

    table = Table(box=None, header_style="bold")
    table.add_column("figure", no_wrap=True)
    table.add_column("value", justify="right")
    table.add_column("meaning")
    for name, value in sorted(plan.metrics.items()):
        if name.startswith(_FIGURES):
            table.add_row(name, f"{value:.4g}", describe_metric(name).meaning)
    console.print(table)


def register(app: typer.Typer) -> None:
    """Add `refresh`."""
    app.command(rich_help_panel=PANEL)(refresh)
