"""The registry that params.yaml or a program names, wherever it lies."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from sidmint.layout import Layout, is_address, registry_path
from sidmint.publishing.store import VersionStore


def open_registry(layout: Layout, path: str) -> VersionStore:
    """The registry at `path` (`registry.path`): a folder of the workspace, or s3://BUCKET/PREFIX.

    Of a bucket, what is read is kept in .sidmint/registries. Reads and writes nothing itself.
    """
    if is_address(path):
        return _in_bucket(path, layout.local / "registries")
    return VersionStore(layout.registry(path))


def open_place(place: str) -> VersionStore:
    """The registry in any folder of this disk, or at s3://BUCKET/PREFIX, for who only reads.

    Of a bucket, what is read is kept in the user's cache (XDG_CACHE_HOME, or ~/.cache).
    """
    if is_address(place):
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return _in_bucket(registry_path(place), cache / "sidmint" / "registries")
    return VersionStore(Path(place))


def _in_bucket(address: str, kept: Path) -> VersionStore:
    from sidmint.publishing.bucket import BucketBackend  # brings an S3 client

    return VersionStore(
        BucketBackend(address, kept / hashlib.sha256(address.encode()).hexdigest()[:16])
    )
