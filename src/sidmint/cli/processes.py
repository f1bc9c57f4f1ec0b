"""One command in several processes of this machine, as `train.processes` asks for.

Processes are told who they are as torchrun tells them, so that by hand
`torchrun --nproc-per-node 2 -m sidmint train --tokenizer rq_vae` works as well. `launch` does
without it: torchrun leaves with 1 whatever its processes left with, and gives each a session
of its own, so that a flow that kills a stage with all that it started would miss them.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sidmint.cli.output import complain, errors
from sidmint.errors import BadInput
from sidmint.execution.cores import num_cores

MEETING = "SIDMINT_MEETING"
"""Where the processes of a `launch` find each other; without it torchrun's variables say."""

_TICK_SECONDS, _GRACE_SECONDS = 0.05, 10.0
"""Between two looks at the processes; and for the others to end, once one has failed."""


def is_one_of_several() -> bool:
    """Whether this process was started as one of several, by `launch` or by torchrun."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Inside, `quantization.collective` sums over all processes; alone, nothing changes.

    Each process takes the CUDA device of its own number, where `device` (`train.device`)
    leads to CUDA. Raises `BadInput` where there are too few.
    """
    if not is_one_of_several():
        yield
        return
    import torch.distributed as dist

    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if _takes_cuda(device) else "gloo",
        init_method=os.environ.get(MEETING, "env://"),
        rank=int(os.environ["RANK"]),
        world_size=int(os.environ["WORLD_SIZE"]),
    )
    try:
        yield
    finally:
        dist.destroy_process_group()


def launch(num_processes: int, arguments: Sequence[str]) -> int:
    """Run `sidmint ARGUMENTS` in so many processes that are `joined`; the exit code of it all.

    The first has this terminal. What another says is shown where it alone failed.
    """
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with TemporaryDirectory(prefix="sidmint-") as folder:
        processes: list[subprocess.Popen[bytes]] = []
        try:
            for rank in range(num_processes):
                processes.append(_start(rank, num_processes, arguments, Path(folder)))
            codes = _wait(processes)
        finally:
            _end(processes)
            signal.signal(signal.SIGTERM, before)
        _tell_failures(codes, Path(folder))
    return _exit_code(codes)


def _takes_cuda(device: str) -> bool:
    """Whether to use CUDA; the current device is then this process' own."""
    import torch

    if device == "cpu" or not torch.cuda.is_available():
        return False
    num_here = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"]))
    if num_here > 1 and ":" in device:
        raise BadInput(
            f"train.device is {device!r}, one device for {num_here} processes; set it to auto or "
            "cuda, which gives each its own, or train.processes to 1"
        )
    if num_here > torch.cuda.device_count():
        raise BadInput(
            f"train.processes asks for {num_here} processes, but torch sees "
            f"{torch.cuda.device_count()} CUDA devices; lower it, or set train.device to cpu"
        )
    if ":" not in device:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    return True


def _start(
    rank: int, num_processes: int, arguments: Sequence[str], folder: Path
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "sidmint", *arguments]
    environment = _environment(rank, num_processes, folder)
    if not rank:
        return subprocess.Popen(command, env=environment)
    with _said(rank, folder).open("wb") as said:
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=said)


def _environment(rank: int, num_processes: int, folder: Path) -> dict[str, str]:
    """Who the process is, its share of the cores, and the way to the others: no network."""
    loopback = next((name for _, name in socket.if_nameindex() if name in ("lo", "lo0")), None)
    ways = {"GLOO_SOCKET_IFNAME": loopback, "NCCL_SOCKET_IFNAME": loopback} if loopback else {}
    threads = max(1, num_cores() // num_processes)
    return {
        "OMP_NUM_THREADS": str(threads),
        **ways,
        **os.environ,
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(num_processes),
        "LOCAL_WORLD_SIZE": str(num_processes),
        MEETING: (folder / "meeting").as_uri(),
    }


def _wait(processes: Sequence[subprocess.Popen[bytes]]) -> list[int | None]:
    """How each process left; None for those that had not, some time after one had failed."""
    deadline = float("inf")
    while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
        if deadline == float("inf") and any(process.returncode for process in processes):
            deadline = time.monotonic() + _GRACE_SECONDS
        time.sleep(_TICK_SECONDS)
    return [process.poll() for process in processes]


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ask what still runs to end, then make it."""
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _tell_failures(codes: Sequence[int | None], folder: Path) -> None:
    """Show what the first process has not said itself: bad input is the same in all."""
    for rank, code in enumerate(codes):
        if code is not None and code < 0:
            complain(f"process {rank + 1} of {len(codes)} was killed by signal {-code}")
        elif rank and code and not code == codes[0] == BadInput.exit_code:
            said = _said(rank, folder).read_text(encoding="utf-8", errors="replace")
            errors.print(f"process {rank + 1} of {len(codes)}:", said.strip(), markup=False)


def _exit_code(codes: Sequence[int | None]) -> int:
    """That of the cause: others fail in its wake with 1, since they have lost a process."""
    failed = [code for code in codes if code]
    if BadInput.exit_code in failed:
        return BadInput.exit_code
    return 128 - min(failed) if min(failed, default=0) < 0 else max(failed, default=0)


def _said(rank: int, folder: Path) -> Path:
    return folder / f"{rank}.stderr"
