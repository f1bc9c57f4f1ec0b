"""Functions in several processes that are joined by gloo, as those of one fit are."""

from __future__ import annotations

import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

TIMEOUT_SECONDS = 300.0


Task = tuple[Callable[..., Any], tuple[Any, ...]]


def in_processes(num_processes: int, tasks: Sequence[Task]) -> list[list[Any]]:
    """What `function(*arguments)` gave in each process by rank, for every task.

    Functions are those of a module under tests/. All tasks in one go: processes take seconds
    to start. No port is used: they meet in a file.
    """
    named = [(task.__module__, task.__name__, arguments) for task, arguments in tasks]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tasks").write_bytes(pickle.dumps(named))
        processes = [
            subprocess.Popen([sys.executable, __file__, name, str(rank), str(num_processes)])
            for rank in range(num_processes)
        ]
        deadline = time.monotonic() + TIMEOUT_SECONDS
        try:
            for process in processes:
                assert process.wait(max(0.0, deadline - time.monotonic())) == 0
        finally:
            for process in processes:
                process.kill()
                process.wait()
        by_rank = [_read(folder / f"{rank}") for rank in range(num_processes)]
    return [list(results) for results in zip(*by_rank, strict=True)]


def _main(folder: Path, rank: int, num_processes: int) -> None:
    import importlib

    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    tasks = _read(folder / "tasks")
    dist.init_process_group(
        "gloo",
        init_method=(folder / "meeting").as_uri(),
        rank=rank,
        world_size=num_processes,
    )
    try:
        results = [
            getattr(importlib.import_module(module), name)(*arguments)
            for module, name, arguments in tasks
        ]
    finally:
        dist.destroy_process_group()
    (folder / f"{rank}").write_bytes(pickle.dumps(results))


def _read(path: Path) -> Any:
    return pickle.loads(path.read_bytes())  # noqa: S301 - written by these processes


if __name__ == "__main__":
    _main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
