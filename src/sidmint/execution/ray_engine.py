"""The engine `ray`: tasks of Ray, on this machine or on a cluster. The only module that knows Ray.

Tasks, and not Ray Data: a shard is a file that a function reads and writes, so there are no blocks
to pass on (decisions/0029).
"""

from __future__ import annotations

import math
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from sidmint.errors import BadInput
from sidmint.execution.engine import (
    PROCESS_BYTES,
    TRIES,
    Answer,
    Task,
    attempt,
    worker_died,
    workers_that_fit,
)
from sidmint.execution.ordering import in_task_order
from sidmint.execution.settings import CLUSTER
from sidmint.execution.sharing import worker_environment
from sidmint.progress import Track, silent

T = TypeVar("T", bound=Task)
R = TypeVar("R")

_CONNECT_SECONDS, _HANDSHAKE_SECONDS = 5.0, 15.0
_OBJECT_BYTES = 100_000_000
"""Of shared memory for a Ray of this machine, which would take a third of it: results are small."""
_JOIN = "import sys, ray; ray.init(address=sys.argv[1], log_to_driver=False)"


class RayEngine:
    """Tasks of Ray, `workers` at a time; Ray is started or joined at the first map.

    `address`: HOST:PORT of a cluster's head; else what RAY_ADDRESS names; else a Ray of this
    process alone, which ends with it. A Ray that this process has joined already is used and
    stays. `memory_gb` as in `engine.workers_that_fit`.

    A cluster's machines see the same files under the same paths, and have the same sidmint. Where
    machines have CUDA devices, tasks run on those, each with a device or its share of one.

    Raises `BadInput` where Ray is not installed or the cluster does not answer.
    """

    def __init__(
        self, workers: int = 1, memory_gb: float | None = None, address: str | None = None
    ) -> None:
        self._workers = workers
        self._memory_gb = memory_gb
        self._address = address or os.environ.get("RAY_ADDRESS")
        self._started: Any = None

    def __enter__(self) -> RayEngine:
        return self

    def __exit__(self, *_: object) -> None:
        if self._started is not None:
            self._started.shutdown()
            self._started = None

    def map(
        self,
        function: Callable[[T], R],
        tasks: Sequence[T],
        label: str,
        track: Track = silent,
    ) -> Iterator[R]:
        """See `Engine.map`."""
        fitting = workers_that_fit(tasks, self._workers, self._memory_gb, label)
        yield from track(self._in_tasks(function, tasks, label, fitting), label, len(tasks))

    def _in_tasks(
        self, function: Callable[[T], R], tasks: Sequence[T], label: str, num_workers: int
    ) -> Iterator[R]:
        ray = self._connected()
        run = ray.remote(attempt)
        most = max((node["Resources"].get("memory", 0) for node in ray.nodes()), default=0)
        share = _share_of_card(ray.cluster_resources().get("GPU", 0), num_workers)
        flying: dict[Any, int] = {}

        def begin(index: int) -> None:
            task_bytes = PROCESS_BYTES + tasks[index].task_bytes
            _require_room(task_bytes, most, label)
            options = {
                "num_cpus": 1,
                "num_gpus": share,
                "memory": task_bytes,
                "max_retries": TRIES - 1,
            }
            flying[run.options(**options).remote(function, tasks[index])] = index

        def collect() -> Iterator[tuple[int, Answer[R] | None]]:
            ended, _ = ray.wait(list(flying))
            for reference in ended:
                index = flying.pop(reference)
                try:
                    answer: Answer[R] = ray.get(reference)
                except ray.exceptions.RayTaskError:
                    raise  # the function could not even be loaded there
                except ray.exceptions.RayError as error:
                    how = f"ended with {type(error).__name__}"
                    answer = Answer(None, worker_died(label, index, tasks, how))
                yield index, answer

        try:
            yield from in_task_order(len(tasks), num_workers, begin, collect)
        finally:
            for reference in flying:
                ray.cancel(reference, force=True)

    def _connected(self) -> Any:
        """Ray, started or joined."""
        ray = _import_ray(alone=self._address is None)
        if ray.is_initialized():
            return ray
        quiet = {"log_to_driver": False, "logging_level": "ERROR"}
        if self._address is not None:
            _require_cluster(self._address)
            ray.init(address=self._address, **quiet)
        else:
            with _environment(worker_environment(self._workers)):
                ray.init(
                    address="local",
                    num_cpus=self._workers,
                    include_dashboard=False,
                    object_store_memory=_OBJECT_BYTES,
                    **quiet,
                )
        self._started = ray
        return ray


def _import_ray(alone: bool) -> Any:
    # All are read when Ray is imported or started.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_task_oom_retries", str(TRIES - 1))
    if alone:
        # The one switch that makes Ray listen on 127.0.0.1 alone; an address given is replaced.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
    except ImportError as error:
        raise BadInput(
            "execution.engine is ray, and Ray is not installed: pip install 'sidmint[ray]', or set "
            "execution.engine: local"
        ) from error
    return ray


def _require_room(task_bytes: int, most: float, label: str) -> None:
    """Ray would wait forever for a machine that is large enough."""
    if task_bytes > most:
        raise BadInput(
            f"{label} wants {task_bytes / 1e9:.1f} GB for one shard, and the largest machine that "
            f"Ray knows offers {most / 1e9:.1f} GB; set execution.shard_rows lower, or add a "
            "larger machine"
        )


def _share_of_card(num_cards: float, num_workers: int) -> float:
    """What a task asks of a CUDA device: Ray hides all devices from a task that asks for none.

    As many tasks share a device as it takes for all workers to have one; 0 without devices.
    """
    return 1 / math.ceil(num_workers / num_cards) if num_cards else 0.0


def _require_cluster(address: str) -> None:
    """`BadInput` within seconds where no Ray answers.

    Ray itself tries for minutes and then ends the process, so another process tries first.
    """
    if not CLUSTER.fullmatch(address):
        raise BadInput(
            f"RAY_ADDRESS is {address!r}; it wants HOST:PORT of the cluster's head, and the run "
            "belongs on a machine of the cluster"
        )
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _not_reached(address, str(error)) from error
    try:
        joined = subprocess.run(
            [sys.executable, "-P", "-c", _JOIN, address],
            timeout=_HANDSHAKE_SECONDS,
            capture_output=True,
        )
    except subprocess.TimeoutExpired as error:
        why = f"something listens there and has not answered as Ray in {_HANDSHAKE_SECONDS:g} s"
        if b"AuthToken" in (error.stderr or b""):  # Ray asks again and again with the same
            why = "it wants a token; set RAY_AUTH_MODE=token here, with the token of its head"
        raise _not_reached(address, why) from error
    if joined.returncode:
        said = (
            joined.stderr.decode(errors="replace").strip().rpartition("\n")[2]
            or f"exit code {joined.returncode}"
        )
        raise _not_reached(address, said)


def _not_reached(address: str, why: str) -> BadInput:
    return BadInput(
        f"the Ray cluster at {address} cannot be reached: {why}; start it (`ray start --head`), "
        "mend execution.ray_address or RAY_ADDRESS, or leave both out to work on this machine"
    )


@contextmanager
def _environment(added: dict[str, str]) -> Iterator[None]:
    """`added` to the environment, for the processes that are started inside."""
    before = {name: os.environ.get(name) for name in added}
    os.environ.update(added)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
