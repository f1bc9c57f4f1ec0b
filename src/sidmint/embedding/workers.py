"""Batches of texts through an encoder in several processes of this machine."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process
from threading import Thread

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from sidmint.cores import num_cores
from sidmint.embedding.base import TextEncoder, checked_batch
from sidmint.errors import BadInput
from sidmint.types import Floats


def in_processes(
    encoder: TextEncoder, batches: Sequence[Sequence[str]], num_processes: int
) -> Iterator[Floats]:
    """Vectors (n, D) of each batch, in the order of `batches`, whoever makes them.

    Processes are new ones, not forks: a fork of a process with threads may hang. Each is sent
    `encoder`, has an equal share of the cores, and ends with this process even where
    this one is killed. `BadInput` where one of them dies.
    """
    pool = ProcessPoolExecutor(
        num_processes,
        mp_context=get_context("spawn"),
        initializer=_begin,
        initargs=(encoder, max(1, num_cores() // num_processes)),
    )
    try:
        yield from pool.map(_encode, batches)
    except BrokenProcessPool as error:
        raise BadInput(
            f"one of {num_processes} processes that encode texts with {encoder.model} died; most "
            "often memory was short, since each holds the model: lower embed.workers. Vectors that "
            "were made by then are kept, and `sidmint run` goes on from them"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_own: list[TextEncoder] = []
"""In a process of the pool: its encoder."""


def _begin(encoder: TextEncoder, num_threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all: the parent ends the others
    Thread(target=_end_with_parent, daemon=True).start()
    threadpool_limits(num_threads)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(num_threads)
    _own.append(encoder)


def _encode(batch: Sequence[str]) -> Floats:
    return checked_batch(_own[0], batch)


def _end_with_parent() -> None:
    """A pool's process waits for work for ever where the one that gives it is killed."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
