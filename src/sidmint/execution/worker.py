"""A process that runs tasks for `local`, one after another, until its line is closed."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from sidmint.execution.engine import Answer, attempt

_CLOSED = (EOFError, ConnectionResetError, BrokenPipeError)


def work(line: Connection) -> None:
    """Answers what comes on `line`: a function and its task at a time.

    Ends when the line does: with its work, or because the process at the other end was killed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started this process ends it
    with suppress(*_CLOSED):
        while True:
            _send(line, _answer(line))


def _answer(line: Connection) -> Answer[Any]:
    """What the next task gives; that its function is not found here is an answer too."""
    try:
        function, task = line.recv()
    except _CLOSED:
        raise
    except Exception as error:
        return Answer(None, RuntimeError(f"a task that cannot be read here: {error!r}"))
    return attempt(function, task)


def _send(line: Connection, answer: Answer[Any]) -> None:
    try:
        line.send(answer)
    except _CLOSED:
        raise
    except Exception as error:  # nothing has been sent then
        line.send(Answer(None, TypeError(f"a result that cannot be sent: {error}")))


if __name__ == "__main__":
    with Connection(int(sys.argv[1])) as line:
        work(line)
