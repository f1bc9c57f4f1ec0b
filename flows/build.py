"""Bring every stage up to date: `python -m flows.build`, which `sidmint run` calls.

Where nothing is stale this says so and ends, without starting Prefect. Otherwise the flow
in `flows.graph` runs: against the server that PREFECT_API_URL or the Prefect profile names,
else against one that lives as long as the run.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from rich.console import Console

from flows.board import showing
from flows.server import told_if_it_is_gone
from flows.settings import end_well_on_sigterm
from flows.stage_options import STAGE_OPTIONS, check_options
from flows.summary import BuildFailed, BuildSummary, as_table, up_to_date
from sidmint.adapters.dvc_repo import build_digest, read_plan
from sidmint.adapters.mlflow_runs import is_recorded
from sidmint.errors import SidmintError
from sidmint.garbage import collect_rarely
from sidmint.layout import Layout, find_workspace


def bring_up_to_date(layout: Layout, jobs: int | None = None, record: bool = True) -> BuildSummary:
    """Run the flow `build` if anything is stale or not recorded yet; raises `BuildFailed`."""
    plan = read_plan(layout.root)
    check_options(STAGE_OPTIONS, plan.graph.stages)
    if not plan.stale:
        digest = build_digest(layout.root, plan.graph)
        if not record or is_recorded(layout, digest):
            return up_to_date(plan.graph.nodes)
    from flows.graph import build

    with told_if_it_is_gone():
        return build(str(layout.root), jobs=jobs, record=record)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns 0, 1 where a stage failed, 2 on bad input."""
    parser = argparse.ArgumentParser(prog="python -m flows.build", description=__doc__)
    parser.add_argument("--workspace", type=Path, default=Path("."), help="default: here")
    parser.add_argument("--jobs", type=_positive, help="stages at a time; default: the cores")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.add_argument("--verbose", action="store_true", help="show what stages and Prefect say")
    parser.add_argument("--no-record", action="store_true", help="leave MLflow alone")
    given = parser.parse_args(arguments)
    end_well_on_sigterm()
    collect_rarely()
    try:
        layout = find_workspace(given.workspace)
        with _shown(given.verbose, given.json):
            summary = bring_up_to_date(layout, given.jobs, record=not given.no_record)
    except BuildFailed as error:
        _show(error.summary, given.json, given.verbose)
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except SidmintError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped; what was running was killed, what had ended is kept", file=sys.stderr)
        return 130
    _show(summary, given.json, given.verbose)
    return 0


def _shown(verbose: bool, as_json: bool) -> AbstractContextManager[object]:
    """A board in place of Prefect's log lines, which its UI has all the same; or the lines."""
    if verbose:
        return nullcontext()
    # Read by Prefect when it is imported. What fails is said at the end, with its last lines.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    return showing(Console(stderr=as_json, highlight=False))


def _show(summary: BuildSummary, as_json: bool, verbose: bool) -> None:
    if as_json:
        print(json.dumps(summary.as_json(), indent=2))
        return
    console = Console(highlight=False)
    num_nodes = len(summary.nodes)
    if summary.count("Cached") == num_nodes:
        console.print(f"everything is up to date ({num_nodes} stages)")
        return
    if verbose or console.is_terminal:  # elsewhere a line a stage has been printed
        console.print(as_table(summary))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("wants a number of stages, at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
