"""Tries that are kept: a line a try, so that a second run makes none of them again.

tries.jsonl     one row a line, appended when its try has ended
hits/KEY.npy    the chance of each case to be hit, written before the line
codes/KEY.npy   of tries on all items: the codes, for the recommender that judges them
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sidmint.choosing.measuring import Attempt, Measuring, Row, Tried, as_plain, row_of
from sidmint.errors import StorageFailed

LINES, HITS, CODES = "tries.jsonl", "hits", "codes"


@dataclass
class KeptTries:
    """`make` with a memory in `folder`; `made` are the rows that this run had to make."""

    folder: Path
    make: Measuring
    made: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rows = {row.key: row for row in read_rows(self.folder)}

    def knows(self, attempt: Attempt) -> bool:
        """Whether the attempt would be read and not made."""
        return self._find(attempt) is not None

    def num_fitted(self, attempt: Attempt) -> int:
        """Items that the attempt fits."""
        return self.make.num_fitted(attempt)

    def __call__(self, attempt: Attempt) -> Tried:
        """The try that is kept; else it is made, and kept."""
        kept = self._find(attempt)
        if kept is not None:
            return kept
        tried = self.make(attempt)
        _keep(self.folder, tried, self.make.is_whole(attempt))
        self._rows[tried.row.key] = tried.row
        self.made.append(tried.row)
        return tried

    def _find(self, attempt: Attempt) -> Tried | None:
        row = self._rows.get(self.make.key(attempt))
        if row is None:
            return None
        if row.failed is not None:
            return Tried(row, np.empty(0))
        try:
            hits = read_array(self.folder, HITS, row.key)
            if not self.make.is_whole(attempt):
                return Tried(row, hits)
            return Tried(row, hits, read_array(self.folder, CODES, row.key))
        except (OSError, ValueError):  # damaged or deleted: made again
            return None


def read_rows(folder: Path) -> list[Row]:
    """Every row kept in `folder`, of two with one key the later; lines that are no row are passed.

    A process that was killed leaves at most one line without its end.
    """
    path = folder / LINES
    if not path.is_file():
        return []
    parsed = (_parsed(line) for line in path.read_text(encoding="utf-8").splitlines())
    return list({row.key: row for row in parsed if row is not None}.values())


def _parsed(line: str) -> Row | None:
    try:
        values: Any = json.loads(line)
        row = row_of(values)
        plain = set("0123456789abcdef")
        return row if row.key and set(row.key) <= plain else None  # a key names a file
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def read_array(folder: Path, kind: str, key: str) -> npt.NDArray[Any]:
    """The array `kind`/`key`.npy; OSError or ValueError where it is not there or damaged."""
    path = folder / kind / f"{key}.npy"
    return np.load(path, allow_pickle=False)  # type: ignore[no-any-return]


def write_array(folder: Path, kind: str, key: str, values: npt.NDArray[Any]) -> None:
    """Write it in one step. Raises `StorageFailed`."""
    path = folder / kind / f"{key}.npy"
    draft = path.with_suffix(f".{os.getpid()}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as out:
            np.save(out, values, allow_pickle=False)
        os.replace(draft, path)
    except OSError as error:
        raise _full(folder, error) from error


def _keep(folder: Path, tried: Tried, is_whole: bool) -> None:
    """Answers first, in one step; the line last: a line that is there has its answers."""
    row = tried.row
    if row.failed is None:
        write_array(folder, HITS, row.key, tried.hits)
        if is_whole:
            write_array(folder, CODES, row.key, tried.codes)
    line = json.dumps(as_plain(row), sort_keys=True) + "\n"
    path = folder / LINES
    try:
        folder.mkdir(parents=True, exist_ok=True)
        torn = path.is_file() and not path.read_bytes().endswith(b"\n")
        with path.open("a", encoding="utf-8") as out:
            out.write(("\n" if torn else "") + line)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise _full(folder, error) from error


def _full(folder: Path, error: OSError) -> StorageFailed:
    return StorageFailed(
        f"a try cannot be kept in {folder} ({error.strerror}); make room, and run the command "
        "again: it goes on with what is kept"
    )
