"""Tables of separated text as they come: CSV and TSV in the wild, read by RFC 4180.

Fields in quotes may hold separators, quotes (doubled) and line breaks. The separator is told from
the first rows; a byte-order mark and lines without a field are passed over. Every field is text.
"""

from __future__ import annotations

import codecs
import csv
import io
import zlib
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import polars as pl

from sidmint.errors import BadInput
from sidmint.sources.packed import is_packed, opened

SEPARATORS = (",", ";", "\t", "|")
_ROWS_LOOKED_AT = 50
_BLOCK = 1 << 24
_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""UTF-8 has a mark too, which Polars takes away."""


def read_separated(path: Path, usual: str, encoding: str = "utf-8") -> pl.DataFrame:
    """The table in `path`, every column as text, empty fields as nulls, rows in file order.

    `usual` is the separator of files so named, and wins where others fit as well. A UTF-16 mark
    wins over `encoding`. Raises `BadInput` naming file and line of text that the encoding cannot
    read, a NUL byte, a row with too many fields, or a quote that is never closed.
    """
    source = _text(path, encoding)
    separator = _separator(source, usual)
    try:
        frame = pl.read_csv(source, separator=separator, infer_schema=False)
    except pl.exceptions.NoDataError as error:
        raise BadInput(f"{path} is empty; it wants a line of column names, then rows") from error
    except (pl.exceptions.PolarsError, OSError) as error:
        _find_bad_row(source, path, separator)
        raise BadInput(f"{path} is not a readable table: {error}") from error
    filled = pl.any_horizontal(pl.all().is_not_null())
    return frame if frame.width == 1 else frame.filter(filled)


def _text(path: Path, encoding: str) -> Path | bytes:
    """What Polars can read: the file where it is plain UTF-8, else its content in UTF-8."""
    if not is_packed(path):
        with path.open("rb") as file:
            has_mark = file.read(2) in _MARKS
        if not has_mark and codecs.lookup(encoding).name == "utf-8":
            _check_bytes(path)
            return path
    try:
        with opened(path) as stream:
            content = stream.read()
    except (EOFError, OSError, zlib.error) as error:
        raise BadInput(
            f"{path} cannot be read: {error}; the file is damaged or cut off, download it again"
        ) from error
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), encoding)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _undecodable(path, line, encoding) from error
    content = content if codecs.lookup(encoding).name == "utf-8" else text.encode()
    at = content.find(b"\0")
    if at >= 0:
        raise _nul(path, content.count(b"\n", 0, at) + 1)
    return content


def _check_bytes(path: Path) -> None:
    """Refuse what is not UTF-8 and NUL bytes, by line, block by block: files may be large."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    num_lines, ended = 0, False
    with path.open("rb") as file:
        while not ended:
            block = file.read(_BLOCK)
            ended = not block
            at = block.find(b"\0")
            if at >= 0:
                raise _nul(path, num_lines + block.count(b"\n", 0, at) + 1)
            try:
                decoder.decode(block, final=ended)
            except UnicodeDecodeError as error:
                # Bytes that the last block left over stand before those of this one.
                at = max(0, error.start - (len(error.object) - len(block)))
                line = num_lines + block.count(b"\n", 0, at) + 1
                raise _undecodable(path, line, "utf-8") from error
            num_lines += block.count(b"\n")


def _undecodable(path: Path, line: int, encoding: str) -> BadInput:
    said = "UTF-8" if encoding == "utf-8" else encoding
    return BadInput(
        f"{path} line {line} is not {said} text; convert the file, or name its encoding "
        "(`sidmint init --encoding latin-1`, or cp1252, utf-16 ...; ingest.encoding in params.yaml)"
    )


def _nul(path: Path, line: int) -> BadInput:
    return BadInput(
        f"{path} line {line} holds a NUL byte, which no text has: the file is damaged, or UTF-16 "
        "without its mark (`sidmint init --encoding utf-16-le`)"
    )


def _separator(source: Path | bytes, usual: str) -> str:
    """The separator that the first rows agree on, by the number of fields that it makes."""

    def fit(separator: str) -> tuple[float, int, bool]:
        rows = islice(_rows(source, separator), _ROWS_LOOKED_AT)
        try:
            widths = Counter(len(row) for row in rows if row)
        except csv.Error:
            return (0.0, 0, False)
        if not widths:
            return (0.0, 0, separator == usual)
        width, count = widths.most_common(1)[0]
        agreed = count / widths.total() if width > 1 else 0.0
        # Commas inside text make more fields now and then; a separator makes as many in each row.
        return (agreed, width if agreed == 1.0 else 0, separator == usual)

    scores = {separator: fit(separator) for separator in SEPARATORS}
    best = max(scores, key=lambda separator: scores[separator])
    return best if scores[best][0] else usual


def _rows(source: Path | bytes, separator: str, strict: bool = False) -> Iterator[list[str]]:
    reader = csv.reader(_lines(source), delimiter=separator, strict=strict)
    yield from reader


def _lines(source: Path | bytes) -> Iterator[str]:
    stream = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
    with io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
        yield from text


def _find_bad_row(source: Path | bytes, path: Path, separator: str) -> None:
    """Raise for the first row with too many fields, or with a quote in a wrong place."""
    reader = csv.reader(_lines(source), delimiter=separator, strict=True)
    begins = 1
    try:
        num_columns = len(next(reader, []))
        begins = reader.line_num + 1
        for row in reader:
            if len(row) > num_columns:
                raise BadInput(
                    f"{path} line {begins} has {len(row)} fields where the first line names "
                    f"{num_columns}; put quotes around text that holds the separator {separator!r}"
                )
            begins = reader.line_num + 1
    except csv.Error as error:
        raise BadInput(
            f"{path}: the row that begins in line {begins} is not one of a CSV file ({error}); a "
            'field in quotes ends with its quote, and a quote inside it is doubled: ""'
        ) from error
