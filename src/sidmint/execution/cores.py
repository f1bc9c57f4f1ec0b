"""Cores of this machine, and how several processes share them."""

from __future__ import annotations

import os
import sys


def num_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def worker_environment(num_workers: int) -> dict[str, str]:
    """What a worker's environment has beside this process': it shares the cores with others.

    Threads are counted when a library is loaded, so this has to be there when the worker starts.
    OMP is what torch, numpy and faiss go by. What the user has set stays. Modules are found where
    this process finds them.
    """
    threads = str(max(1, num_cores() // num_workers))
    limits = {name: threads for name in _LIMITS if name not in os.environ}
    return {**limits, "PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in sys.path)}


_LIMITS = ("OMP_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS")
