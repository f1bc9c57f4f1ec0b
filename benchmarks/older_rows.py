"""What a page says of rows that training code before the present one made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fit_version import FIT_VERSION as RESULT_VERSION


def older_rows(rows: Iterable[Mapping[str, Any]]) -> str:
    """A paragraph that counts them; nothing where all are of the present code."""
    versions = [row["result_version"] for row in rows]
    num_older = sum(version < RESULT_VERSION for version in versions)
    if not num_older:
        return ""
    return (
        f"\n**{num_older} of {len(versions)} rows are of training code before the present one** "
        f"(result version {RESULT_VERSION};\n../CHANGELOG.md says what has changed since). "
        "The command makes them anew.\n"
    )
