"""A process that runs tasks for `local`, one after another, until its line is closed."""

from __future__ import annotations

import pickle
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from sidmint.execution.engine import Answer, Task, attempt


def work(line: Connection) -> None:
    """Answers what comes on `line`: a function and its task at a time.

    Ends when the line does: with its work, or because the process at the other end was killed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started this process ends it
    with suppress(EOFError, ConnectionResetError, BrokenPipeError):
        while True:
            line.send(_answer(line.recv_bytes()))


def _answer(data: bytes) -> Answer[Any]:
    answer = attempt(_load_and_run, _Packed(data))
    try:
        pickle.dumps(answer)
    except Exception as error:
        return Answer(None, TypeError(f"a result that cannot be sent: {error}"))
    return answer


class _Packed:
    """A function and its task, still packed: that either is not found here is an answer too."""

    task_bytes = 0

    def __init__(self, data: bytes) -> None:
        self.data = data


def _load_and_run(packed: _Packed) -> Any:
    called: tuple[Callable[[Task], Any], Task] = pickle.loads(packed.data)  # noqa: S301 - by the process that started this one
    function, task = called
    return function(task)


if __name__ == "__main__":
    with Connection(int(sys.argv[1])) as line:
        work(line)
