"""Answers in the order of their tasks, whatever order they come in: the same for every engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from sidmint.execution.engine import Answer

R = TypeVar("R")


def in_task_order(
    num_tasks: int,
    num_workers: int,
    begin: Callable[[int], None],
    collect: Callable[[], Iterable[tuple[int, Answer[R] | None]]],
) -> Iterator[R]:
    """Results of tasks 0, 1, ...; raises the error of the first that failed, in that order.

    `begin(index)` starts a task, of which `num_workers` run at a time. `collect()` waits for some
    that run to end: an answer each, or None for one that is to begin again. Behind a task that
    has failed none begins; those before it still end, so that the same error is raised however
    many workers there are.
    """
    waiting = deque(range(num_tasks))
    num_running, end = 0, num_tasks
    answers: dict[int, Answer[R]] = {}
    for turn in range(num_tasks):
        while turn not in answers:
            while waiting and waiting[0] < end and num_running < num_workers:
                begin(waiting.popleft())
                num_running += 1
            for index, answer in collect():
                num_running -= 1
                if answer is None:
                    waiting.appendleft(index)
                    continue
                answers[index] = answer
                if answer.error is not None:
                    end = min(end, index)
        yield answers.pop(turn).get()
