"""The registry that params.yaml names, wherever it lies."""

from __future__ import annotations

import hashlib

from sidmint.layout import Layout, is_address
from sidmint.publishing.store import VersionStore


def open_registry(layout: Layout, path: str) -> VersionStore:
    """The registry at `path` (`registry.path`): a folder of the workspace, or s3://BUCKET/PREFIX.

    Of a bucket, what is read is kept in .sidmint/registries. Reads and writes nothing itself.
    """
    if not is_address(path):
        return VersionStore(layout.registry(path))
    from sidmint.publishing.bucket import BucketBackend

    kept = hashlib.sha256(path.encode()).hexdigest()[:16]
    return VersionStore(BucketBackend(path, layout.local / "registries" / kept))
