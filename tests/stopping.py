"""Stops this process at one of the calls that change the disk, whichever code makes it.

What changes the disk is found by the interpreter's audit events, not by a list of the code's own
steps, so a step that somebody adds is stopped too. Where SQLAlchemy is loaded, so is each statement
that changes a database, and each commit.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

_CHANGING = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "shutil.rmtree"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def stop_before(step: int, is_full: bool) -> Callable[[], int]:
    """From now on, the `step`-th changing call (counted from 1) is never made; 0 stops none.

    What it returns says how many calls there were.
    """
    calls = 0

    def count() -> None:
        nonlocal calls
        calls += 1
        if calls == step and is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
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

    if "sqlalchemy" in sys.modules:
        _hear_databases(count)
    os.fsync = counted(os.fsync)  # neither raises an audit event
    os.write = counted(os.write)
    sys.addaudithook(hear)
    return lambda: calls


def _hear_databases(count: Callable[[], None]) -> None:
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def hear_statement(_: Any, __: Any, statement: str, *___: Any) -> None:
        if statement.lstrip().split(None, 1)[0].upper() in ("INSERT", "UPDATE", "DELETE"):
            count()

    event.listen(Engine, "before_cursor_execute", hear_statement)
    event.listen(Engine, "commit", lambda _: count())
