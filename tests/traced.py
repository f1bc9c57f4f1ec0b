"""How much memory a piece of work takes at most, and nothing beside it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def traced_peak(make: Callable[..., Callable[[], T]], *arguments: Any) -> tuple[T, int]:
    """What the work that `make(*arguments)` prepares gives, and the most bytes it held at a time.

    In a new process: threads that other tests have left in this one allocate too, and are counted
    with whatever is traced. `make` is a function of a module under tests/; what it prepares is not
    counted, and what the work gives is small.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_traced, make, arguments).result()


def resident_peak(make: Callable[..., Callable[[], T]], *arguments: Any) -> tuple[T, int]:
    """As `traced_peak`, by what the system has given the process: Polars' own memory too.

    Bytes beyond what it had before the work. Of Linux alone (/proc/self).
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_resident, make, arguments).result()


def _resident(make: Callable[..., Callable[[], T]], arguments: tuple[Any, ...]) -> tuple[T, int]:
    work = make(*arguments)
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = _status("VmRSS")
    found = work()
    return found, _status("VmHWM") - before


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024


def _traced(make: Callable[..., Callable[[], T]], arguments: tuple[Any, ...]) -> tuple[T, int]:
    work = make(*arguments)
    tracemalloc.start()
    found = work()
    return found, tracemalloc.get_traced_memory()[1]
