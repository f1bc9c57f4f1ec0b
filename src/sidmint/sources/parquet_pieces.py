"""A table of Parquet files that may be larger than memory, read a piece at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from sidmint.execution.splitting import in_parts
from sidmint.outside import are_whole, from_outside
from sidmint.sources.frames import (
    is_text,
    parquet_files,
    reading_parquet,
    require_one_schema,
    require_there,
)


@dataclass(frozen=True)
class ParquetPieces:
    """The rows of a Parquet file, or of a folder of them: those of `frames.read_frame`."""

    path: Path
    files: tuple[Path, ...]
    rows: tuple[int, ...]
    """Of each file, by its footer."""
    schema: pl.Schema
    as_text: frozenset[str] = frozenset()
    """Columns that are text, and are written as something else: see `settled`."""

    @classmethod
    def of(cls, path: Path) -> ParquetPieces | None:
        """The table at `path`, of which footers are read; None where it is of another format.

        `BadInput` names a file that is not there, is no Parquet, or has other columns than the
        first.
        """
        require_there(path)
        files = parquet_files(path)
        if not files:
            return None
        schemas, rows = [], []
        for file in files:
            with reading_parquet(file):
                scanned = _scan(file)
                schemas.append(scanned.collect_schema())
                rows.append(int(scanned.select(pl.len()).collect().item()))
        require_one_schema(files, schemas)
        return cls(path, files, tuple(rows), schemas[0])

    @property
    def num_rows(self) -> int:
        """Of all files."""
        return sum(self.rows)

    @property
    def head(self) -> pl.DataFrame:
        """No row, with the columns that pieces have."""
        texts = {name: pl.String() for name in self.as_text}
        return pl.DataFrame(schema={**self.schema, **texts})

    def settled(self, ids: Sequence[str]) -> ParquetPieces:
        """The same with types that hold for whole columns, so that a piece is read as all are.

        Bytes are text where all of a column are UTF-8; `ids` that came as floats are whole numbers
        where all of them are, else text. Only such columns are read.
        """
        as_bytes = [name for name, dtype in self.schema.items() if dtype == pl.Binary]
        as_floats = [name for name in ids if name in self.schema and self.schema[name].is_float()]
        open_ = {*as_bytes, *as_floats}
        if not open_:
            return self
        texts, whole = set(as_bytes), set(as_floats)
        for _, piece in self.pieces(1 << 18, sorted(open_)):
            texts = {name for name in texts if is_text(piece[name])}
            whole = {name for name in whole if are_whole(piece[name])}
        return replace(self, as_text=frozenset(texts | (set(as_floats) - whole)))

    def num_pieces(self, rows_at_once: int) -> int:
        """How many `pieces` there are."""
        return -(-self.num_rows // rows_at_once)

    def pieces(
        self, rows_at_once: int, columns: Sequence[str] | None = None
    ) -> Iterator[tuple[int, pl.DataFrame]]:
        """`rows_at_once` rows at a time, the last may be fewer, and the number of their first row.

        Rows are numbered from 1 through all files, in the order of their names.
        """
        first_row = 1
        for piece in in_parts(self._read(rows_at_once, columns), rows_at_once):
            texts = sorted(self.as_text & set(piece.columns))
            yield first_row, piece.with_columns(pl.col(texts).cast(pl.String))
            first_row += piece.height

    def _read(self, rows_at_once: int, columns: Sequence[str] | None) -> Iterator[pl.DataFrame]:
        for file, num_rows in zip(self.files, self.rows, strict=True):
            for start in range(0, num_rows, rows_at_once):
                rows = _scan(file).slice(start, rows_at_once)
                with from_outside(str(file)), reading_parquet(file):
                    piece = (rows if columns is None else rows.select(columns)).collect()
                yield piece


def _scan(file: Path) -> pl.LazyFrame:
    return pl.scan_parquet(file, hive_partitioning=False)
