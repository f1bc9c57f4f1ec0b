"""The workspace a command works on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sidmint.artifacts import Artifacts
    from sidmint.layout import Layout
    from sidmint.params import Params
    from sidmint.publishing.store import VersionStore

VARIABLE = "SIDMINT_WORKSPACE"
"""Names the workspace where the command is not run inside it; `--workspace` sets it."""


@dataclass(frozen=True)
class Workspace:
    """A folder that `sidmint new` made, or a clone, with what its files say. Read on demand."""

    layout: Layout

    @cached_property
    def params(self) -> Params:
        """The checked params.yaml."""
        from sidmint.params import load_params

        return load_params(self.layout.params)

    @cached_property
    def artifacts(self) -> Artifacts:
        """What the stages have made."""
        from sidmint.artifacts import Artifacts

        return Artifacts(self.layout)


def open_workspace() -> Workspace:
    """The workspace named by `--workspace` or its variable, else the one the command is run in."""
    from sidmint.layout import find_workspace

    return Workspace(find_workspace(Path(os.environ.get(VARIABLE) or ".")))


def item_titles(item_ids: Sequence[str]) -> dict[str, str]:
    """Titles of these items by id, read from the workspace's catalogue.

    None for an item that it does not have; none at all where ingest has not run or found no titles.
    """
    import polars as pl

    from sidmint.errors import BadInput

    try:
        items = open_workspace().artifacts.scan("ingest", "items")
    except BadInput:
        return {}
    if "title" not in items.collect_schema():
        return {}
    asked = items.filter(pl.col("item_id").is_in(list(item_ids)))
    return dict(asked.select("item_id", pl.col("title").fill_null("")).collect().rows())


def open_store() -> VersionStore:
    """The registry of published versions that the workspace's params.yaml names."""
    from sidmint.publishing.opening import open_registry

    here = open_workspace()
    return open_registry(here.layout, here.params.registry.path)
