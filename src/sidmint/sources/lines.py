"""Files of one record a line, packed or not. Every failure names the file and the line."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from sidmint.errors import BadInput
from sidmint.sources.packed import opened, readable


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(line number from 1, text) of each line that is not blank; UTF-8, unpacked.

    Raises `BadInput` naming the line after which a damaged or cut-off file cannot be read.
    """
    number = 0
    try:
        with opened(path) as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line.decode("utf-8")
    except FileNotFoundError as error:
        raise BadInput(
            f"{path} is not there; check ingest.items and ingest.interactions"
        ) from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} line {number} is not UTF-8 text; convert the file") from error
    except (EOFError, OSError, zlib.error) as error:
        raise BadInput(
            f"{path} cannot be read beyond line {number}: {error}; the file is damaged or cut "
            "off, download it again"
        ) from error


def json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of each line of a JSON Lines file."""
    for number, line in numbered_lines(path):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise BadInput(
                f"{path} line {number} is not JSON ({error.msg} at character {error.pos}): "
                f"{line.strip()[:60]!r}; mend or remove the line"
            ) from error
        if not isinstance(row, dict):
            raise BadInput(f"{path} line {number} is not a JSON object: {line.strip()[:60]!r}")
        yield number, row


def read_json_lines(path: Path, schema: dict[str, pl.DataType] | None = None) -> pl.DataFrame:
    """A JSON Lines file as a table, packed or not; with `schema`, only these columns.

    Polars reads it at many times the speed of `json_rows`, but its errors name no line; so the
    lines are gone through once more when it fails.
    """
    try:
        return pl.read_ndjson(readable(path), schema=schema, infer_schema_length=None)
    except (pl.exceptions.PolarsError, OSError) as error:
        num_lines = sum(1 for _ in json_rows(path))  # raises at the first bad line
        if not num_lines:
            raise BadInput(f"{path} is empty; it wants one JSON object a line") from error
        raise BadInput(f"{path} cannot be read as a table: {error}") from error


def first_line(path: Path) -> str:
    """The first line that is not blank, or "" of an empty file."""
    return next((line for _, line in numbered_lines(path)), "")
