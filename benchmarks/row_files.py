"""Results as they come: one JSON line a row."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The rows in `path`, in its order; none where there is no such file yet."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def put_rows(path: Path, rows: Iterable[Row], place: Callable[[Row], tuple[Any, ...]]) -> None:
    """Add `rows` to those in `path`, each instead of the one that has its `place`.

    Lines stay sorted by place, so that equal sets of rows are equal bytes.
    """
    by_place = {place(row): row for row in [*read_lines(path), *rows]}
    lines = "".join(json.dumps(by_place[at], sort_keys=True) + "\n" for at in sorted(by_place))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(lines, encoding="utf-8")
