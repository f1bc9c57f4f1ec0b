"""`sidmint metrics`: every metric by name, so that a rule or a history can name it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from sidmint.cli.output import console, emit


def metrics(
    as_json: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False,
) -> None:
    """Every metric: its name, which way is better, and what it means."""
    from sidmint.contracts import METRICS

    def render() -> None:
        table = Table("metric", "better", "meaning", box=None, header_style="bold")
        for name, metric in METRICS.items():
            table.add_row(name, metric.better or "-", metric.meaning)
        console.print(table, markup=False)

    emit({name: asdict(metric) for name, metric in METRICS.items()}, as_json, render)


def register(app: typer.Typer) -> None:
    """Add `metrics`."""
    app.command()(metrics)
