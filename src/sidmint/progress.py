"""Progress as an argument: pure code takes a `Track` and never learns what a terminal is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Track(Protocol):
    """Wraps an iterable and shows how far it has come."""

    def __call__(self, steps: Iterable[T], label: str, total: int | None = None) -> Iterable[T]:
        """The same steps, shown as they pass."""
        ...


def silent(steps: Iterable[T], label: str, total: int | None = None) -> Iterable[T]:
    """The default `Track`: shows nothing."""
    return steps


def on_terminal(steps: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """A `Track` for the command line: a bar on stderr, nothing where stderr is no terminal."""
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
