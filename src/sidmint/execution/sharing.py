"""How several processes share the cores of this machine."""

from __future__ import annotations

import os
import sys

from sidmint.cores import num_cores


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
