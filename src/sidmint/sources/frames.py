"""A user's file as a table: Parquet, CSV, TSV, JSON Lines, or a folder of Parquet files."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import polars as pl

from sidmint.errors import BadInput
from sidmint.outside import from_outside
from sidmint.sources.lines import read_json_lines
from sidmint.sources.packed import kind_of
from sidmint.sources.separated import read_separated

FORMATS = (
    ".parquet, .csv, .tsv, .jsonl, .ndjson (the last four also as .gz, .zst or a .zip of one "
    "file), or a folder of .parquet"
)


def read_frame(path: Path, encoding: str = "utf-8") -> pl.DataFrame:
    """The table in `path`, rows in file order (files of a folder by name).

    `encoding` is that of CSV and TSV; the other formats say their own. Columns of these two stay
    text: an id of 0000031852 is no number. Raises `BadInput` naming the file, and the line where
    there is one, for what is missing, damaged or of another format. Bytes that are all UTF-8 are
    text, as some writers of Parquet do not say so.
    """
    if not path.exists():
        raise BadInput(f"{path} is not there; check ingest.items and ingest.interactions")
    with from_outside(str(path)):
        return _bytes_as_text(_read(path, encoding))


def _read(path: Path, encoding: str) -> pl.DataFrame:
    if path.is_dir():
        return _read_folder(path)
    match kind_of(path):
        case ".parquet" | ".pq":
            return _read_parquet(path)
        case ".csv":
            return read_separated(path, ",", encoding)
        case ".tsv":
            return read_separated(path, "\t", encoding)
        case ".jsonl" | ".ndjson" | ".json":
            return read_json_lines(path)
    raise BadInput(f"{path} is of no known format; give {FORMATS}")


def _bytes_as_text(frame: pl.DataFrame) -> pl.DataFrame:
    """Columns of bytes as text where every value is UTF-8; pictures and the like stay bytes."""
    for name, dtype in frame.schema.items():
        if dtype == pl.Binary:
            with suppress(pl.exceptions.ComputeError):
                frame = frame.with_columns(frame[name].cast(pl.String))
    return frame


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
