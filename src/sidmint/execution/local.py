"""The engine `local`: processes of this machine, in bounded memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar, cast

from sidmint.execution.engine import (
    TRIES,
    Answer,
    InThisProcess,
    Task,
    worker_died,
    workers_that_fit,
)
from sidmint.execution.ordering import in_task_order
from sidmint.execution.sharing import worker_environment
from sidmint.progress import Track, silent

T = TypeVar("T", bound=Task)
R = TypeVar("R")

_GRACE_SECONDS = 5.0


class LocalEngine:
    """`workers` processes that stay for all maps; with one, the process that asks does the work.

    Each has its share of the cores, and an interpreter of its own from the start: nothing is
    forked, since a fork of a process with threads may hang. `memory_gb` as in
    `engine.workers_that_fit`. A context manager: at its end the processes are gone.
    """

    def __init__(self, workers: int = 1, memory_gb: float | None = None) -> None:
        self._workers = workers
        self._memory_gb = memory_gb
        self._idle: list[_Worker] = []

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, *_: object) -> None:
        _end(self._idle)
        self._idle.clear()

    def map(
        self,
        function: Callable[[T], R],
        tasks: Sequence[T],
        label: str,
        track: Track = silent,
    ) -> Iterator[R]:
        """See `Engine.map`."""
        fitting = workers_that_fit(tasks, self._workers, self._memory_gb, label)
        if fitting <= 1:
            yield from InThisProcess().map(function, tasks, label, track)
        else:
            results = self._in_processes(function, tasks, label, fitting)
            yield from track(results, label, len(tasks))

    def _in_processes(
        self, function: Callable[[T], R], tasks: Sequence[T], label: str, num_workers: int
    ) -> Iterator[R]:
        busy: dict[Connection, tuple[_Worker, int]] = {}
        deaths = [0] * len(tasks)

        def begin(index: int) -> None:
            worker = self._idle.pop() if self._idle else _Worker(self._workers)
            busy[worker.line] = worker, index
            worker.begin(function, tasks[index])

        def collect() -> Iterator[tuple[int, Answer[R] | None]]:
            for line in cast(list[Connection], wait(list(busy))):
                worker, index = busy.pop(line)
                answer: Answer[R] | None = worker.answer()
                if answer is not None:
                    self._idle.append(worker)
                else:
                    deaths[index] += 1
                    if deaths[index] == TRIES:
                        answer = Answer(None, worker_died(label, index, tasks, worker.how))
                yield index, answer

        try:
            yield from in_task_order(len(tasks), num_workers, begin, collect)
        finally:
            _end([worker for worker, _ in busy.values()])


class _Worker:
    """A process of `sidmint.execution.worker`, and the line to it."""

    def __init__(self, num_workers: int) -> None:
        self.line, theirs = Pipe()
        command = [sys.executable, "-P", "-m", "sidmint.execution.worker", str(theirs.fileno())]
        with theirs:
            self._process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **worker_environment(num_workers)},
            )

    @property
    def how(self) -> str:
        """How the process left."""
        code = self._process.returncode
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"left with {code}"

    def begin(self, function: Callable[[Any], Any], task: Task) -> None:
        """Hand it a task. That it has died meanwhile is seen when it is asked for the answer."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.line.send((function, task))

    def answer(self) -> Answer[Any] | None:
        """Its answer; None where the process has died, which is then over."""
        try:
            answer: Answer[Any] = self.line.recv()
        except (EOFError, ConnectionResetError):
            self.end()
            return None
        return answer

    def ask_to_end(self) -> None:
        """What it has begun is given up: a draft that is left is nobody's part."""
        self.line.close()
        self._process.terminate()

    def end(self) -> None:
        """Wait for the process; kill it where it does not end."""
        self.line.close()
        try:
            self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _end(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        worker.ask_to_end()
    for worker in workers:
        worker.end()
