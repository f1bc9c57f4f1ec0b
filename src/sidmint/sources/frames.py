"""A user's file as a table: Parquet, CSV, TSV, JSON Lines, or a folder of Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from sidmint.errors import BadInput
from sidmint.execution.checking import open_shards
from sidmint.execution.shards import PARTS
from sidmint.outside import from_outside
from sidmint.sources.lines import read_json_lines
from sidmint.sources.packed import kind_of
from sidmint.sources.separated import read_separated

FORMATS = (
    ".parquet, .csv, .tsv, .jsonl, .ndjson (the last four also as .gz, .zst or a .zip of one "
    "file), or a folder of .parquet"
)

_PARQUET = (".parquet", ".pq")
ROWS_AT_ONCE = 1 << 15


def read_frame(
    path: Path, encoding: str = "utf-8", columns: Sequence[str] | None = None
) -> pl.DataFrame:
    """The table in `path`, rows in file order (files of a folder by name).

    Of Parquet only those of `columns` are read that there are, where any are named.

    `encoding` is that of CSV and TSV; the other formats say their own. Columns of these two stay
    text: an id of 0000031852 is no number. Raises `BadInput` naming the file, and the line where
    there is one, for what is missing, damaged or of another format. Bytes that are all UTF-8 are
    text, as some writers of Parquet do not say so.
    """
    require_there(path)
    with from_outside(str(path)):
        return _bytes_as_text(_read(path, encoding, columns))


def require_there(path: Path) -> None:
    """`BadInput` where nothing is at `path`."""
    if not path.exists():
        raise BadInput(f"{path} is not there; check ingest.items and ingest.interactions")


def read_batches(path: Path, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Some columns of the Parquet in `path`, rows as `read_frame` gives them, a few at a time."""
    for file in parquet_files(path):
        with reading_parquet(file):
            rows = pl.scan_parquet(file, hive_partitioning=False).select(columns)
            yield from rows.collect_batches(
                chunk_size=ROWS_AT_ONCE, maintain_order=True, engine="streaming"
            )


def schema_of(path: Path) -> pl.Schema:
    """Columns of the Parquet in `path`; `BadInput` where files of a folder differ in them."""
    files = parquet_files(path)
    schemas = [_schema_of(file) for file in files]
    require_one_schema(files, schemas)
    return schemas[0]


def _schema_of(file: Path) -> pl.Schema:
    with reading_parquet(file):
        return pl.scan_parquet(file, hive_partitioning=False).collect_schema()


def _read(path: Path, encoding: str, columns: Sequence[str] | None) -> pl.DataFrame:
    if path.is_dir():
        schema_of(path)
        return pl.concat([_read_parquet(file, columns) for file in parquet_files(path)])
    match kind_of(path):
        case kind if kind in _PARQUET:
            return _read_parquet(path, columns)
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
        if dtype == pl.Binary and is_text(frame[name]):
            frame = frame.with_columns(frame[name].cast(pl.String))
    return frame


def is_text(values: pl.Series) -> bool:
    """Whether bytes are all UTF-8."""
    try:
        values.cast(pl.String)
    except pl.exceptions.ComputeError:
        return False
    return True


def parquet_files(path: Path) -> tuple[Path, ...]:
    """The Parquet files of a table: itself, or those of its folder by name; () for other formats.

    Of a folder with `parts.json` names, sizes and footers are looked at, as
    `checking.open_shards` says.
    """
    if not path.is_dir():
        return (path,) if path.suffix.lower() in _PARQUET else ()
    if (path / PARTS).exists():
        shards = open_shards(path)
        return tuple(shards.path(index) for index in range(len(shards.parts)))
    parts = tuple(sorted(part for part in path.rglob("*.parquet") if part.name[0] not in "._"))
    if not parts:
        raise BadInput(f"{path} holds no .parquet file; give {FORMATS}")
    return parts


def require_one_schema(parts: Sequence[Path], schemas: Sequence[Mapping[str, pl.DataType]]) -> None:
    """`BadInput` naming the first of `parts` that has other columns than the first has."""
    for part, schema in zip(parts, schemas, strict=True):
        if schema != schemas[0]:
            raise BadInput(
                f"{part} has other columns than {parts[0].name}: {dict(schema)} where "
                f"{dict(schemas[0])} was wanted; write the folder again with one schema"
            )


@contextmanager
def reading_parquet(path: Path) -> Iterator[None]:
    """`BadInput` naming `path` where it cannot be read."""
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadInput(f"{path} is not a readable Parquet file: {error}") from error


def _read_parquet(path: Path, columns: Sequence[str] | None) -> pl.DataFrame:
    there = None
    if columns is not None:
        there = [name for name in _schema_of(path).names() if name in columns]
    with reading_parquet(path):
        return pl.read_parquet(path, columns=there, hive_partitioning=False)
