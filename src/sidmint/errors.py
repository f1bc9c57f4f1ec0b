"""Errors a user can mend: each says what was wanted, what came, and the way out.

The command line prints the message alone and leaves with `exit_code`; any other
exception is a defect of sidmint and keeps its traceback.
"""

from __future__ import annotations


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


class RegistryConflict(Refused):
    """Somebody else moved the champion pointer first."""
