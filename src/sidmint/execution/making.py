"""The one place where settings become an engine. Commands call it; stages are handed the engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sidmint.execution.engine import Engine
from sidmint.execution.local import LocalEngine
from sidmint.execution.ray_engine import RayEngine
from sidmint.execution.settings import ExecutionParams


@contextmanager
def open_engine(params: ExecutionParams) -> Iterator[Engine]:
    """The engine that `execution` of params.yaml names; its processes are gone at the end."""
    if params.engine == "local":
        with LocalEngine(params.workers, params.memory_gb) as local:
            yield local
    else:
        with RayEngine(params.workers, params.memory_gb, params.ray_address) as ray:
            yield ray
