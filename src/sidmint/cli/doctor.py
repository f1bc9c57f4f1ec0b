"""`sidmint doctor`: what is missing here, and what a run would use."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from sidmint.cli.findings import Finding
from sidmint.cli.output import console, emit
from sidmint.errors import BadInput, Refused, SidmintError

_COLOURS = {"ok": "green", "warning": "bold yellow", "missing": "bold red"}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Say what is missing, and which device, precision and threads a run would use, and why.

    Changes nothing. The exit code is 1 where a run would fail for something that is missing.
    Outside of a workspace the machine alone is looked at.
    """
    findings = _look()
    emit([asdict(finding) for finding in findings], as_json, lambda: _show(findings))
    missing = sorted({finding.name for finding in findings if finding.state == "missing"})
    if missing:
        raise Refused(f"missing: {', '.join(missing)}")


def _look() -> list[Finding]:
    from sidmint.cli.machine import machine_findings
    from sidmint.cli.workspace import open_workspace
    from sidmint.cli.workspace_checks import workspace_findings

    try:
        here = open_workspace()
    except BadInput as error:
        none = Finding("workspace", "warning", str(error))
        return [*machine_findings(Path.cwd(), None), none]
    try:
        params = here.params
    except SidmintError:
        params = None  # said by the workspace's own findings
    found = Finding("workspace", "ok", str(here.layout.root))
    return [*machine_findings(here.layout.root, params), found, *workspace_findings(here)]


def _show(findings: list[Finding]) -> None:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        state = Text(finding.state, _COLOURS[finding.state])
        said = Text(finding.found)
        if finding.way_out:
            said.append(f"\n{finding.way_out}", "italic")
        table.add_row(state, Text(finding.name), said)
    console.print(table)


def register(app: typer.Typer) -> None:
    """Add `doctor`."""
    app.command()(doctor)
