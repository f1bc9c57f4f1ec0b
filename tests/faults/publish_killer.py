"""Runs one move of the champion again and again, each time killed one mutating call later.

`python publish_killer.py MOVE TEMPLATE WORK` copies the registry TEMPLATE to WORK/001, 002, ...
and forks a process for each that is sent SIGKILL before its n-th call that changes the disk, until
one ends by itself. What changes the disk is found by the interpreter's audit events, not by a
list of the code's own steps, so a step that somebody adds is killed too.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from releases import FACTS, copies, publish_bare
from sidmint.publishing.store import VersionStore

_CHANGING = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "shutil.rmtree"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def kill_before(step: int) -> None:
    """From now on, the `step`-th changing call (counted from 1) is never made."""
    calls = 0

    def count() -> None:
        nonlocal calls
        calls += 1
        if calls == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _CHANGING or (event == "open" and (arguments[2] or 0) & _WRITING):
            count()

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*arguments: Any) -> Any:
            count()
            return call(*arguments)

        return counting

    os.fsync = counted(os.fsync)  # neither raises an audit event
    os.write = counted(os.write)
    sys.addaudithook(hear)


def move(name: str, store: VersionStore) -> None:
    if name == "publish":
        publish_bare(store, b"new")
    else:
        store.point_to("v0001", "v0002", {**FACTS, "action": "rollback"})


def main(name: str, template: Path, work: Path) -> None:
    for step, folder in enumerate(copies(template, work), start=1):
        store = VersionStore(folder)
        import filelock  # noqa: F401 - importing it later would count its files

        child = os.fork()
        if child == 0:
            kill_before(step)
            move(name, store)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        if os.WIFEXITED(status):
            sys.exit(os.WEXITSTATUS(status))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
