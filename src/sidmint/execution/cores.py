"""Cores of this machine, and how several processes share them."""

from __future__ import annotations

import os


def num_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thread_limits(num_processes: int) -> dict[str, str]:
    """Environment of a process that shares the cores with others: threads of its libraries.

    Read when a library is loaded, so it has to be there when the process starts. OMP is what
    torch, numpy and faiss go by.
    """
    threads = str(max(1, num_cores() // num_processes))
    return {"OMP_NUM_THREADS": threads, "POLARS_MAX_THREADS": threads, "RAYON_NUM_THREADS": threads}
