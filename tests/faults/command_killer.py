"""Runs a whole command again and again, each time killed a few disk-changing calls later.

`python command_killer.py KEPT PLACE KILLS RESULTS COMMAND...`: the workspace KEPT is copied to
PLACE (where it was made: MLflow knows paths) and the command runs there to its end, so that its
calls that change the disk or MLflow's database are known. Then it is sent SIGKILL before one of
them, KILLS times, close together at the beginning and wide apart at the end, where MLflow copies
files. After each round a reader and a user follow; what they see is a line of RESULTS.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import mlflow  # noqa: F401 - importing it after the fork would count its files
import numpy as np

from recorded_world import client_of
from releases import Built
from sidmint.cli import app
from sidmint.publishing.verify import verify
from stopping import stop_before


def said(command: list[str]) -> tuple[int, str]:
    """Exit code and output of a command in this process."""
    heard = io.StringIO()
    with redirect_stdout(heard), redirect_stderr(heard):
        try:
            code = app(command, standalone_mode=False)
        except SystemExit as error:
            code = error.code
        except Exception as error:
            traceback.print_exc()
            code = getattr(error, "exit_code", 99)
    return int(code or 0), heard.getvalue()


def in_fork(work: Any) -> int:
    """The wait status of a child that does `work` and leaves with what it returns."""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            code = work()
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


def stopped_run(command: list[str], step: int, counted: Path) -> int:
    """0 where the command ended well; how many calls it made stands in `counted`."""
    calls = stop_before(step, is_full=False)
    code, told = said(command)
    number = calls()
    counted.write_text(str(number))
    if code:
        print(told, file=sys.stderr)
    return code


def look(built: Built, command: list[str], results: Path, step: int) -> int:
    """What is there now, and what the same command and a reconcile make of it."""
    store = built.store
    champion = store.champion()
    seen: dict[str, Any] = {
        "step": step,  # 0: nobody stopped it
        "champion": champion.version if champion else None,
        "problems": list(verify(store).problems),
        "again": said(command),
        "reconcile": said(["reconcile"]),
        "problems_after": list(verify(store).problems),
        "champion_after": store.release().version,
    }
    client = client_of(built)
    alias = client.get_model_version_by_alias("m", "champion")
    seen["mlflow"] = alias.tags["sidmint.version"]
    registered = [each.tags["sidmint.version"] for each in client.search_model_versions()]
    seen["registered"] = sorted(registered)
    seen["versions"] = sorted(store.versions())
    with results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(seen) + "\n")
    return 0


def main(kept: Path, place: Path, kills: int, results: Path, *command: str) -> None:
    asked, counted = list(command), results.with_suffix(".calls")

    def one_round(step: int) -> None:
        shutil.rmtree(place)
        shutil.copytree(kept, place)
        os.chdir(place)
        status = in_fork(lambda: stopped_run(asked, step, counted))
        if os.WIFSIGNALED(status) != bool(step) or (not step and status):
            sys.exit(f"{asked}, to be stopped at {step}, ended with {status}")
        if in_fork(lambda: look(Built(place), asked, results, step)):
            sys.exit(f"{asked}, stopped at {step}: who looked met an error")

    one_round(0)
    steps = np.unique(np.geomspace(1, int(counted.read_text()), kills).astype(int))
    for step in steps.tolist():
        one_round(step)


if __name__ == "__main__":
    kept, place, kills, results, *command = sys.argv[1:]
    main(Path(kept), Path(place), int(kills), Path(results), *command)
