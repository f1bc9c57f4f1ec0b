"""How much memory a piece of work takes at most, and nothing beside it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
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


def _traced(make: Callable[..., Callable[[], T]], arguments: tuple[Any, ...]) -> tuple[T, int]:
    work = make(*arguments)
    tracemalloc.start()
    found = work()
    return found, tracemalloc.get_traced_memory()[1]
