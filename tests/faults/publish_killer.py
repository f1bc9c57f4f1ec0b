"""Runs one move of the champion again and again, each time stopped one mutating call later.

`python publish_killer.py MOVE TEMPLATE WORK [full]` copies the registry TEMPLATE to WORK/001, 002,
... and forks a process for each that is sent SIGKILL before its n-th call that changes the disk,
until one ends by itself. With `full` that call fails instead, as on a full disk; what the process
sees must be `StorageFailed`, or nothing where the call was one that may fail. What changes the disk
is found by the interpreter's audit events, not by a list of the code's own steps, so a step that
somebody adds is stopped too.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

from releases import FACTS, copies, files_of, publish_bare, refresh_bare
from sidmint.errors import StorageFailed
from sidmint.publishing.store import VersionStore
from stopping import stop_before


def move(name: str, store: VersionStore) -> None:
    if name == "publish":
        publish_bare(store, b"new")
    elif name == "propose":
        champion = store.champion()
        parent = champion.version if champion else None
        content = files_of({"sids.parquet": b"new"})
        store.propose(content, parent, {**FACTS, "action": "propose"})
    elif name == "retire":
        store.note({**FACTS, "action": "retire"}, "v0001")
    elif name == "refresh":
        refresh_bare(store, b"more")
    else:
        store.point_to("v0001", "v0002", {**FACTS, "action": "rollback"})


def run(name: str, store: VersionStore, step: int, is_full: bool) -> int:
    """0: no call was left to stop; 1: one was, and all is as it must be; 2: a bare error."""
    calls = stop_before(step, is_full)
    try:
        move(name, store)
    except StorageFailed as error:
        told = str(store.folder) in str(error) and "No space left on device" in str(error)
        return 1 if told else 2
    except BaseException:
        traceback.print_exc()
        return 2
    return 1 if calls() >= step else 0


def main(name: str, template: Path, work: Path, how: str = "kill") -> None:
    for step, folder in enumerate(copies(template, work), start=1):
        store = VersionStore(folder)
        import filelock  # noqa: F401 - importing it later would count its files

        child = os.fork()
        if child == 0:
            os._exit(run(name, store, step, how == "full"))
        status = os.waitpid(child, 0)[1]
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) != 1:
            sys.exit(os.WEXITSTATUS(status))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:])
