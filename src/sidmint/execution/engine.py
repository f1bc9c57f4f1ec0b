"""What a stage may ask of an engine: a map over tasks, and a merge of what they give."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from functools import reduce
from typing import Generic, Protocol, TypeVar, cast

from sidmint.errors import BadInput, SidmintError, WorkerDied
from sidmint.progress import Track, silent

PROCESS_BYTES = 400_000_000
"""Of a worker with Polars and torch imported, before it works: 360 MB were measured."""

TRIES = 3
"""Of a task whose workers die: the first and two more."""

_GB = 10**9


class Task(Protocol):
    """What a function is given: a small frozen dataclass of paths and numbers.

    Data go through files, so that a task costs nothing to send.
    """

    @property
    def task_bytes(self) -> int:
        """The most memory that the function takes for this task, in bytes."""
        ...


T = TypeVar("T", bound=Task)
R = TypeVar("R")


class Engine(Protocol):
    """Runs a function over tasks, in one process or in many. The results are the same."""

    def map(
        self,
        function: Callable[[T], R],
        tasks: Sequence[T],
        label: str,
        track: Track = silent,
    ) -> Iterator[R]:
        """`function(task)` of every task, in the order of `tasks`.

        `function` is found by its module and name in another process, and depends on its task
        alone: a worker that dies is replaced and its task is run again, twice at most. Results
        are small. `label` names the work in progress and errors.

        Raises what `function` raised for the first task that failed, whatever ran beside it;
        `WorkerDied` naming a task whose workers died; `BadInput` where a task does not fit into
        `execution.memory_gb`. Tasks that had ended by then have written what they write.
        """
        ...


class InThisProcess:
    """The engine of whoever opens none: task after task, here."""

    def map(
        self,
        function: Callable[[T], R],
        tasks: Sequence[T],
        label: str,
        track: Track = silent,
    ) -> Iterator[R]:
        """See `Engine.map`."""
        yield from track(map(function, tasks), label, len(tasks))


def map_and_merge(
    engine: Engine,
    function: Callable[[T], R],
    merge: Callable[[R, R], R],
    tasks: Sequence[T],
    label: str,
    track: Track = silent,
) -> R:
    """One result of all tasks: `merge` of what the map gives, from the left in task order.

    `merge` is associative. Integers so come out the same however a table is cut into shards;
    sums of floats are the same for the same shards, on any engine. One partial result is kept at
    a time.
    """
    if not tasks:
        raise BadInput(f"{label} wants at least one shard, got none")
    return reduce(merge, engine.map(function, tasks, label, track))


def workers_that_fit(
    tasks: Sequence[Task], workers: int, memory_gb: float | None, label: str
) -> int:
    """How many of `workers` may work on `tasks` at once in `memory_gb` (10^9 bytes; None: all).

    Each is counted with the largest task. `BadInput` with the number needed where not even one
    fits.
    """
    most = min(workers, len(tasks))
    if memory_gb is None:
        return most
    needed = PROCESS_BYTES + max((task.task_bytes for task in tasks), default=0)
    fitting = int(memory_gb * _GB // needed)
    if tasks and fitting < 1:
        at_least = -(-needed * 10 // _GB) / 10  # rounded up, so that what is said is enough
        raise BadInput(
            f"{label} wants {at_least:.1f} GB for one shard, and execution.memory_gb is "
            f"{memory_gb:g}; set it to {at_least:.1f} or more, or execution.shard_rows lower"
        )
    return min(most, fitting)


def worker_died(label: str, index: int, tasks: Sequence[Task], how: str) -> WorkerDied:
    """The error of a task (counted from 0) whose workers died `TRIES` times, the last one `how`."""
    return WorkerDied(
        f"{label}: the process of task {index + 1} of {len(tasks)}, {tasks[index]}, {how}; so did "
        f"{TRIES - 1} before it. Most often the system has no memory left: set execution.workers "
        "or execution.shard_rows lower and give the command again, which goes on from complete "
        "parts"
    )


@dataclass(frozen=True)
class Answer(Generic[R]):
    """What a function gave or raised in another process."""

    result: R | None
    error: Exception | None = None

    def get(self) -> R:
        """The result; raises the error as itself."""
        if self.error is not None:
            raise self.error
        return cast(R, self.result)


def attempt(function: Callable[[T], R], task: T) -> Answer[R]:
    """What `function(task)` gives or raises, in a form that travels between processes.

    Our own errors say everything; to others a note adds where they came from, since a traceback
    does not travel.
    """
    try:
        return Answer(function(task))
    except SidmintError as error:
        return Answer(None, error)
    except Exception as error:
        return Answer(None, _that_travels(error))


def _that_travels(error: Exception) -> Exception:
    came_from = traceback.format_exc()
    error.add_note(f"In another process:\n{came_from}")
    try:
        copy(error)  # is made anew as it will be on the other side
    except Exception:  # an error whose __init__ wants more than its message
        return RuntimeError(came_from)
    return error
