"""Parts of one piece of numpy work, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TypeVar

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

Part = TypeVar("Part")
Result = TypeVar("Result")

_ONE_POOL = Lock()
"""Two pools at once would each put back the number of threads that the other had set."""


def in_threads(work: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """What `work` gives for each of `parts`, in their order whatever the number of threads.

    There are as many threads as BLAS is set to use (all processors, or OMP_NUM_THREADS), and
    BLAS has one in each meanwhile: threads of its own would speed up products alone, and wait
    for each other at every one. `work` wants to spend its time inside numpy, which lets other
    threads run.
    """
    if len(parts) < 2:
        return [work(part) for part in parts]
    blas = ThreadpoolController().select(user_api="blas")
    num_threads = max((library.num_threads for library in blas.lib_controllers), default=1)
    if num_threads == 1:
        return [work(part) for part in parts]
    with _ONE_POOL, blas.limit(limits=1), ThreadPoolExecutor(num_threads) as pool:
        return list(pool.map(work, parts))
