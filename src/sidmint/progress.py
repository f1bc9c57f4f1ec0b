"""Progress as an argument: pure code takes a `Track` and never learns what a terminal is."""

from __future__ import annotations

import json
import operator
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol, TypeVar

T = TypeVar("T")

TOLD_IN = "SIDMINT_PROGRESS"
"""Names a file in which `on_terminal` tells how far it is; whoever started the process reads it."""
_SECONDS_BETWEEN = 0.2


@dataclass(frozen=True)
class Progress:
    """How far a piece of work has come. Times are seconds of `time.time()`."""

    label: str
    done: int
    total: int | None
    since: float
    """When it began."""
    at: float
    """When this was so."""

    @property
    def rate(self) -> float | None:
        """Steps a second; None before the first."""
        return self.done / (self.at - self.since) if self.done and self.at > self.since else None

    def seconds_left(self, now: float) -> float | None:
        """At that rate, from `now` to the end; None where rate or total is not known."""
        if self.rate is None or self.total is None:
            return None
        return max(0.0, (self.total - self.done) / self.rate - (now - self.at))


class Track(Protocol):
    """Wraps an iterable and shows how far it has come."""

    def __call__(self, steps: Iterable[T], label: str, total: int | None = None) -> Iterable[T]:
        """The same steps, shown as they pass."""
        ...


def silent(steps: Iterable[T], label: str, total: int | None = None) -> Iterable[T]:
    """The default `Track`: shows nothing."""
    return steps


def on_terminal(steps: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """A `Track` for the command line: a bar on stderr, nothing where stderr is no terminal.

    Where `SIDMINT_PROGRESS` names a file, that is told instead.
    """
    if told_in := os.environ.get(TOLD_IN):
        yield from _telling(steps, label, total, Path(told_in))
        return
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    yield from track(
        steps,
        description=label,
        total=total,
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )


def read_progress(path: Path) -> Progress | None:
    """What a process last told in `path`; None where it has told nothing yet."""
    try:
        return Progress(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _telling(steps: Iterable[T], label: str, total: int | None, path: Path) -> Iterator[T]:
    """The same steps, told in `path` a few times a second at most; once they end it is gone."""
    total = total if total is not None else (operator.length_hint(steps) or None)
    since = last = time.time()
    _tell(Progress(label, 0, total, since, since), path)
    try:
        for done, step in enumerate(steps, start=1):
            yield step
            if (now := time.time()) - last >= _SECONDS_BETWEEN:
                _tell(Progress(label, done, total, since, now), path)
                last = now
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _tell(progress: Progress, path: Path) -> None:
    """In one step, so that a reader never sees half of it. Work goes on where it cannot be told."""
    with suppress(OSError):
        draft = path.with_name(f"{path.name}.draft")
        draft.write_text(json.dumps(asdict(progress)), encoding="utf-8")
        draft.replace(path)
