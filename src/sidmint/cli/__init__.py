"""The `sidmint` command.

Exit codes: 0 done; 1 refused (a gate, a verification, a conflict) or a stage failed;
2 bad input or bad usage. Heavy imports stay inside the commands: `--help` answers at once.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from sidmint import __version__
from sidmint.cli import (
    build,
    choose,
    doctor,
    inspect,
    metrics,
    new,
    presets,
    ranking,
    refresh,
    setup,
    stages,
    versions,
)
from sidmint.cli.output import complain
from sidmint.cli.workspace import VARIABLE
from sidmint.errors import SidmintError
from sidmint.garbage import collect_rarely

_ENVIRONMENT = {
    "DVC_NO_ANALYTICS": "1",
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # Threads that spin while they wait starve the stage beside them: a fit that took 12 s
    # with waiting threads took 67 s with spinning ones. Read when torch is loaded.
    "OMP_WAIT_POLICY": "PASSIVE",
}
"""Set where the user has not: no tracking, and threads that share the cores."""

app = typer.Typer(
    help="Build, diagnose, gate, publish and audit Semantic ID tables.",
    epilog="Exit codes: 0 done; 1 refused or failed; 2 bad input or bad usage.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"sidmint {__version__}")
        raise typer.Exit


@app.callback()
def _everywhere(
    workspace: Annotated[
        Path | None,
        typer.Option(help="The workspace; by default the one you are in.", show_default=False),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    if workspace is not None:
        os.environ[VARIABLE] = str(workspace)


new.register(app)
doctor.register(app)
setup.register(app)
build.register(app)
choose.register(app)
versions.register(app)
refresh.register(app)
inspect.register(app)
metrics.register(app)
presets.register(app)
ranking.register(app)
stages.register(app)


def main() -> None:
    """Run the command; an error that the user can mend is one message, without a traceback."""
    collect_rarely()
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        app()
    except SidmintError as error:
        complain(str(error))
        sys.exit(error.exit_code)
