"""sidmint: build, diagnose, gate, publish and audit Semantic ID tables.

`sidmint.load("registry/demo", "champion")` opens a published table for programs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sidmint.publishing.serving import PublishedTable

__version__ = "0.1.0"
__all__ = ["load"]


def load(registry: str | Path, version: str = "champion") -> PublishedTable:
    """The published table of that `version` in the `registry`: see `publishing.serving.load`.

    `registry` is a folder or an address, as `registry.path` of params.yaml names it.

    What it is made of is imported here, not with the package.
    """
    from sidmint.publishing.serving import load as open_table

    return open_table(registry, version)
