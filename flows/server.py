"""Prefect's server as a flow sees it from outside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sidmint.errors import StorageFailed


@contextmanager
def told_if_it_is_gone() -> Iterator[None]:
    """Raises `StorageFailed` where a flow within ended because its server no longer answers."""
    import httpx  # Prefect's client

    try:
        yield
    except httpx.TransportError as error:
        raise StorageFailed(
            f"Prefect's server no longer answers ({error}); what had ended is kept: start "
            "it again, or unset PREFECT_API_URL, and run once more"
        ) from error
