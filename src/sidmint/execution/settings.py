"""The section `execution` of params.yaml: where shards are worked on. It changes no result."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, model_validator

from sidmint.settings import Settings

CLUSTER = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*:[0-9]{1,5}")
"""HOST:PORT of a Ray cluster's head."""

_WORK_BYTES = 1 << 28


class ExecutionParams(Settings):
    """Which engine works on shards, and how much of a machine it may take."""

    engine: Literal["local", "ray"] = "local"
    """`local`: processes of this machine. `ray`: tasks of Ray, on this machine unless
    `ray_address` or RAY_ADDRESS names a cluster; wants `pip install 'sidmint[ray]'`."""
    workers: int = Field(1, ge=1)
    """Shards at a time. With `local`, 1 works in the process of the stage itself."""
    shard_rows: int = Field(250_000, ge=1)
    """Rows that are worked on as one task, and of a part where a table is a folder of parts. It
    changes no row; a table that is cut in other places is published as another version."""
    memory_gb: float | None = Field(None, gt=0, allow_inf_nan=False)
    """Memory of all workers together, in 10^9 bytes: fewer work where not all would fit, and a
    stage whose single shard does not fit is refused with the number needed. Null: not asked."""
    ray_address: str | None = None
    """HOST:PORT of a Ray cluster's head; RAY_ADDRESS is read where it is null."""

    @property
    def work_bytes(self) -> int:
        """Work space of what counts and sorts rows of many shards, beside the shard at hand."""
        return _WORK_BYTES if self.memory_gb is None else int(self.memory_gb * 1e9) // 2

    @model_validator(mode="after")
    def _address_has_an_effect(self) -> ExecutionParams:
        if self.ray_address is None:
            return self
        if self.engine != "ray":
            raise ValueError(
                f"engine {self.engine} makes no use of ray_address; take it out, or set engine: ray"
            )
        if not CLUSTER.fullmatch(self.ray_address):
            raise ValueError(
                f"ray_address wants HOST:PORT of the cluster's head, got {self.ray_address!r}; "
                "the run itself belongs on a machine of the cluster"
            )
        return self
