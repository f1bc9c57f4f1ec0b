"""What a catalogue holds, as one digest: equal tables have equal digests.

Read from values, not from Parquet bytes, so that it outlives a change of the file format; in the
order of rows, so that tables may come in pieces.
"""

from __future__ import annotations

import hashlib

import polars as pl

from sidmint.outside import from_outside

_ROWS_A_HEADER = 1_000_000
_ROWS_AT_ONCE = 100_000
"""Written as text at a time, so that it is never there as a whole."""


def digest_of(*frames: pl.DataFrame) -> str:
    """SHA-256 over the plain columns of `frames` as CSV."""
    digest = TablesDigest()
    for frame in frames:
        digest.begin()
        digest.add(frame)
    return digest.hexdigest()


class TablesDigest:
    """`digest_of` of tables that come one after another, each in pieces of any size."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._rows = 0

    def begin(self) -> None:
        """What is added from here on is the next table."""
        self._rows = 0

    def add(self, frame: pl.DataFrame) -> None:
        """The next rows of the table. Columns are named once in a million rows."""
        plain = frame.select(pl.selectors.exclude(pl.selectors.nested(), pl.selectors.binary()))
        plain = plain.with_columns(pl.selectors.duration().to_physical())  # CSV has none
        while plain.height:
            to_header = _ROWS_A_HEADER - self._rows % _ROWS_A_HEADER
            rows = plain.head(min(to_header, _ROWS_AT_ONCE))
            begins = to_header == _ROWS_A_HEADER
            with from_outside("a table of the catalogue"):  # a time of the year 300,000, say
                self._digest.update(rows.write_csv(include_header=begins).encode())
            self._rows += rows.height
            plain = plain.slice(rows.height)

    def hexdigest(self) -> str:
        """Of all that was added."""
        return self._digest.hexdigest()
