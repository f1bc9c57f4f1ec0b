"""A user's file as a table: Parquet, CSV, TSV, JSON Lines, or a folder of Parquet files."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from sidmint.errors import BadInput
from sidmint.sources.lines import numbered_lines, read_json_lines

FORMATS = ".parquet, .csv, .tsv, .jsonl, .ndjson (the last four also .gz), or a folder of .parquet"


def read_frame(path: Path) -> pl.DataFrame:
    """The table in `path`, rows in file order (files of a folder by name).

    Columns of CSV and TSV stay text: an id of 0000031852 is no number. Raises `BadInput` naming
    the file, and the line where there is one, for what is missing, damaged or of another format.
    """
    if not path.exists():
        raise BadInput(f"{path} is not there; check ingest.items and ingest.interactions")
    if path.is_dir():
        return _read_folder(path)
    suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    match suffix.lower():
        case ".parquet" | ".pq":
            return _read_parquet(path)
        case ".csv":
            return _read_separated(path, ",")
        case ".tsv":
            return _read_separated(path, "\t")
        case ".jsonl" | ".ndjson" | ".json":
            return read_json_lines(path)
    raise BadInput(f"{path} is of no known format; give {FORMATS}")


def _read_folder(folder: Path) -> pl.DataFrame:
    parts = sorted(part for part in folder.rglob("*.parquet") if part.name[0] not in "._")
    if not parts:
        raise BadInput(f"{folder} holds no .parquet file; give {FORMATS}")
    frames = [_read_parquet(part) for part in parts]
    for part, frame in zip(parts, frames, strict=True):
        if frame.schema != frames[0].schema:
            raise BadInput(
                f"{part} has other columns than {parts[0].name}: {dict(frame.schema)} where "
                f"{dict(frames[0].schema)} was wanted; write the folder again with one schema"
            )
    return pl.concat(frames)


def _read_parquet(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path, hive_partitioning=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadInput(f"{path} is not a readable Parquet file: {error}") from error


def _read_separated(path: Path, separator: str) -> pl.DataFrame:
    try:
        return pl.read_csv(path, separator=separator, infer_schema=False)
    except pl.exceptions.NoDataError as error:
        raise BadInput(f"{path} is empty; it wants a line of column names, then rows") from error
    except (pl.exceptions.PolarsError, OSError) as error:
        _find_bad_line(path, separator)
        raise BadInput(f"{path} is not a readable table: {error}") from error


def _find_bad_line(path: Path, separator: str) -> None:
    """Raise for the first line that cannot be decoded or has too many fields; quotes respected."""
    import csv

    lines = (line for _, line in numbered_lines(path))
    reader = csv.reader(lines, delimiter=separator)
    num_columns = len(next(reader, []))
    for row in reader:
        if len(row) > num_columns:
            raise BadInput(
                f"{path} line {reader.line_num} has {len(row)} fields where the first line names "
                f"{num_columns}; put quotes around text that holds the separator {separator!r}"
            )
