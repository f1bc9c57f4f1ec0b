"""Errors a user can mend: each says what was wanted, what came, and the way out.

The command line prints the message alone and leaves with `exit_code`; any other
exception is a defect of sidmint and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class SidmintError(Exception):
    """Something that the user can mend. The message is the whole explanation."""

    exit_code = 2


class BadInput(SidmintError):
    """A file, a row, a key or a parameter is not what was wanted."""


class Refused(SidmintError):
    """The input was fine and the answer is no: a gate, a check or a verification failed."""

    exit_code = 1


class StorageFailed(SidmintError):
    """A disk is full, read-only or gone: nothing that was there before is lost."""


class WorkerDied(SidmintError):
    """A process that did part of the work was killed, again and again on the same part."""


class RegistryConflict(Refused):
    """Somebody else moved the champion pointer first."""


@contextmanager
def in_rows(first_row: int, num_rows: int) -> Iterator[None]:
    """`BadInput` over a piece of a table says which rows were looked at: those behind were not."""
    try:
        yield
    except BadInput as error:
        last = first_row + num_rows - 1
        raise BadInput(f"{error} (looked at: rows {first_row:,} to {last:,})") from error


def did_you_mean(name: str, known: Iterable[str], most: int = 1) -> str:
    """The end of an error about an unknown `name`: "; did you mean rq_vae?".

    Names up to `most` of `known`, nearest first (difflib's ratio, .6 and more); "" where none is
    near. Slow over very many names: 13 s over a million.
    """
    near = difflib.get_close_matches(name, list(known), n=most)
    return f"; did you mean {', '.join(near)}?" if near else ""
