"""Run the flows on a schedule: `python -m flows.schedules --cron "0 3 * * *"`.

Registers the deployment `nightly` with the Prefect server and stays to run it. What a
stage may take is in `flows.stage_options`; this is about when.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.schedules import Cron

from flows.graph import build
from flows.release import release
from sidmint.errors import SidmintError
from sidmint.layout import find_workspace


@flow(name="nightly", persist_result=False)
def nightly(workspace: str, jobs: int | None = None, publish: bool = False) -> dict[str, Any]:
    """Build, and if `publish`, release what passed. A refusal by the gate fails the run."""
    summary = build(workspace, jobs=jobs)
    outcome: dict[str, Any] = {"built": summary.as_json()}
    if publish:
        outcome["released"] = release(workspace)
    return outcome


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the schedule until stopped."""
    parser = argparse.ArgumentParser(prog="python -m flows.schedules", description=__doc__)
    parser.add_argument("--workspace", type=Path, default=Path("."), help="default: here")
    parser.add_argument("--cron", default="0 3 * * *", help="when; default: at 3 every night")
    parser.add_argument("--timezone", default="UTC")
    parser.add_argument("--jobs", type=int, help="stages at a time; default: the cores")
    parser.add_argument("--publish", action="store_true", help="publish what passes its gate")
    given = parser.parse_args(arguments)
    try:
        root = find_workspace(given.workspace).root
    except SidmintError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    nightly.serve(
        name="nightly",
        schedule=Cron(given.cron, timezone=given.timezone),
        parameters={"workspace": str(root), "jobs": given.jobs, "publish": given.publish},
        limit=1,  # a build that takes longer than a day is not overtaken by the next
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
