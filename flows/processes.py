"""Run commands so that nothing of them outlives the flow.

Each command leads a process group of its own. Killing `dvc` alone would leave the stage's
command running; killing the group ends all of it.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, cast

_GRACE_SECONDS = 5.0
_TICK_SECONDS = 0.2
_KEPT_LINES = 1000


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit code, the last lines it printed, and whether it was out of time."""

    code: int
    lines: tuple[str, ...]
    seconds: float
    timed_out: bool


class Stopped(Exception):
    """The flow is ending; a command was not started, or was killed."""


class Processes:
    """At most `limit` commands at a time; on leaving the context every one that runs is killed."""

    def __init__(self, limit: int) -> None:
        self._slots = threading.Semaphore(limit)
        self._stop = threading.Event()
        self._running = 0
        self._idle = threading.Condition()

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        with self._idle:
            # Wait: after SIGTERM the process dies as soon as the flow function is left.
            self._idle.wait_for(lambda: not self._running, timeout=2 * _GRACE_SECONDS)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait until fewer than `limit` commands run; raises `Stopped` if the flow ends first."""
        while not self._slots.acquire(timeout=_TICK_SECONDS):
            self._check()
        try:
            with self._idle:
                self._check()
                self._running += 1
            try:
                yield
            finally:
                with self._idle:
                    self._running -= 1
                    self._idle.notify_all()
        finally:
            self._slots.release()

    def run(
        self,
        command: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        on_line: Callable[[str], None],
        timeout: float,
    ) -> Ended:
        """Run `command` inside a `slot`, handing on each line as it comes (stderr included)."""
        began = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        pipe = cast(IO[bytes], process.stdout)
        lines: deque[str] = deque(maxlen=_KEPT_LINES)
        try:
            for line in _lines(process, pipe):
                if line is not None:
                    lines.append(line)
                    on_line(line)
                self._check()
                if time.monotonic() - began > timeout:
                    break
        finally:
            ended_by_itself = process.poll() is not None
            _kill_group(process)
            pipe.close()
        seconds = time.monotonic() - began
        return Ended(process.returncode, tuple(lines), seconds, not ended_by_itself)

    def _check(self) -> None:
        if self._stop.is_set():
            raise Stopped("the flow is ending")


def _lines(process: subprocess.Popen[bytes], pipe: IO[bytes]) -> Iterator[str | None]:
    """Each whole line, and None at least every tick, until the command has ended.

    The end is that of the command, not of the pipe: a process that it left in the
    background may hold the pipe open for ever.
    """
    rest = b""
    while True:
        ended = process.poll() is not None
        ready = select.select([pipe], [], [], 0 if ended else _TICK_SECONDS)[0]
        chunk = os.read(pipe.fileno(), 65536) if ready else b""
        *whole, rest = (rest + chunk).split(b"\n")
        yield from map(_as_text, whole)
        if ready and not chunk:  # every writer is gone; the command itself may take a moment more
            yield from ([_as_text(rest)] if rest else [])
            while process.poll() is None:
                yield None
                time.sleep(_TICK_SECONDS / 10)
            return
        if ended and not ready:
            yield from ([_as_text(rest)] if rest else [])
            return
        yield None


def _as_text(line: bytes) -> str:
    """A progress bar rewrites its line after a carriage return: keep what stood there last."""
    return line.decode(errors="replace").rstrip("\r").rpartition("\r")[2]


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Ask the group to end, then make it; also what a command that ended well left behind."""
    if process.poll() is None:
        _signal_group(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)
    _signal_group(process.pid, signal.SIGKILL)
    process.wait()


def _signal_group(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)
