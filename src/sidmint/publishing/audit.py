"""The log of every act on the registry: one JSON line each, chained by hashes.

A line holds the hash of the line before it and its own, so editing, removing or inserting
a line breaks the chain from there on. The pointer file carries a copy of the newest line:
the chain is so anchored at its head too, and a line that a killed process did not come to
write can be written later, word for word.

The chain finds accidents and careless edits. Somebody who rewrites the log, the pointer
and every manifest together is not found out by it; keep the head hash that `sidmint verify`
prints in another place if that matters.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidmint.errors import Refused

FIRST = "0" * 64
"""What the first line names as the hash before it."""

_TEXTS = ("action", "at", "by", "previous_hash", "hash")

Entry = Mapping[str, Any]


def seal(facts: Mapping[str, Any], before: Entry | None) -> dict[str, Any]:
    """`facts` as the log entry that follows `before`: with sequence, previous_hash and hash."""
    entry = {
        **facts,
        "sequence": before["sequence"] + 1 if before else 1,
        "previous_hash": before["hash"] if before else FIRST,
    }
    return {**entry, "hash": entry_hash(entry)}


def entry_hash(entry: Entry) -> str:
    """SHA-256 of the entry's canonical JSON without its own `hash`."""
    bare = {key: value for key, value in entry.items() if key != "hash"}
    return hashlib.sha256(_canonical(bare)).hexdigest()


def to_line(entry: Entry) -> bytes:
    """The one way to write `entry`; a line of the log that differs in a single byte is damage."""
    return _canonical(entry) + b"\n"


def _canonical(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


@dataclass(frozen=True)
class AuditLog:
    """The log file at `path`; a registry without one has an empty log."""

    path: Path

    @property
    def where(self) -> str:
        """The file as messages name it."""
        return str(self.path)

    def entries(self) -> list[Entry]:
        """Every whole line, oldest first; `Refused`, naming the line, if the chain is broken."""
        return self._sound()[0]

    def _sound(self) -> tuple[list[Entry], bytes]:
        """The entries of a log that verifies, and the bytes after its last line end."""
        entries, problems, torn = self._read()
        if problems:
            raise Refused(
                f"{self.where} is damaged: {problems[0]}; nothing is added to a log that "
                "does not verify. Restore it from a copy; `sidmint verify` "
                "lists every problem"
            )
        return entries, torn

    def readable(self) -> list[Entry]:
        """Every line that can be read as an entry, of a damaged log too."""
        return self._read()[0]

    def damage(self) -> list[str]:
        """What is wrong with the lines alone, where there is no pointer to compare with."""
        return self._read()[1]

    def problems(self, newest: Entry | None) -> list[str]:
        """What is wrong with the log, given the entry that the pointer carries; perhaps nothing."""
        entries, problems, torn = self._read()
        if problems:
            return problems
        if _is_head(entries, torn, newest):
            return []
        if _is_pending(entries, torn, newest):
            return [
                f"log.jsonl lacks line {len(entries) + 1}: a process was stopped after it had "
                "written champion.json, which holds the line; the next command that writes adds it"
            ]
        return [_disagreement(entries, torn, newest)]

    def settle(self, newest: Entry | None) -> bool:
        """Write the line that a killed process left unwritten; true if there was one.

        Only appends: of a line that was half written the rest is added. Raises `Refused`
        when log and pointer disagree in any other way.
        """
        entries, torn = self._sound()
        if _is_head(entries, torn, newest):
            return False
        if newest is None or not _is_pending(entries, torn, newest):
            raise Refused(
                f"{self.where}: {_disagreement(entries, torn, newest)}; "
                "restore champion.json and log.jsonl from one copy"
            )
        self._append(to_line(newest)[len(torn) :])
        return True

    def append(self, entry: Entry) -> None:
        """Add one line and wait until it is on the disk."""
        self._append(to_line(entry))

    def _contents(self) -> bytes | None:
        """The file's bytes as they are now; None where there is none."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None

    def _append(self, data: bytes) -> None:
        descriptor = os.open(
            self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o644
        )
        try:
            while data:
                data = data[os.write(descriptor, data) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _read(self) -> tuple[list[Entry], list[str], bytes]:
        """Entries that could be parsed, problems, and the bytes after the last line end."""
        try:
            *lines, torn = (self._contents() or b"").split(b"\n")
        except OSError as error:
            return [], [f"log.jsonl cannot be read ({error.strerror})"], b""
        entries: list[Entry] = []
        problems: list[str] = []
        before: Entry | None = None
        for number, line in enumerate(lines, start=1):
            entry = _parse(line)
            problem = _line_problem(line, entry, number, before)
            if problem:
                problems.append(f"log.jsonl line {number} {problem}")
            before = entry
            if entry is not None:
                entries.append(entry)
        return entries, problems, torn


def _parse(line: bytes) -> Entry | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if is_entry(entry) else None


def is_entry(value: Any) -> bool:
    """Whether `value` has what every entry has; says nothing of its hash."""
    return (
        isinstance(value, dict)
        and type(value.get("sequence")) is int
        and all(isinstance(value.get(key), str) for key in _TEXTS)
    )


def _line_problem(line: bytes, entry: Entry | None, number: int, before: Entry | None) -> str:
    if entry is None:
        return "is not a log entry"
    try:
        unchanged = to_line(entry) == line + b"\n" and entry_hash(entry) == entry["hash"]
    except ValueError:  # NaN in an edited line
        unchanged = False
    if not unchanged:
        return "was edited: its hash does not fit its text"
    if number > 1 and before is None:
        return ""  # the line above is reported already
    if entry["previous_hash"] != (before["hash"] if before else FIRST):
        return "does not follow the line above it: a line was removed, added or moved"
    return "" if entry["sequence"] == number else f"has sequence {entry['sequence']}"


def _is_head(entries: list[Entry], torn: bytes, newest: Entry | None) -> bool:
    if newest is None:
        return not entries and not torn
    return bool(entries) and not torn and entries[-1] == newest


def _is_pending(entries: list[Entry], torn: bytes, newest: Entry | None) -> bool:
    if newest is None or not to_line(newest).startswith(torn):
        return False
    before = entries[-1] if entries else None
    return (newest["sequence"], newest["previous_hash"]) == (
        (before["sequence"] + 1, before["hash"]) if before else (1, FIRST)
    )


def _disagreement(entries: list[Entry], torn: bytes, newest: Entry | None) -> str:
    if torn and (newest is None or not to_line(newest).startswith(torn)):
        return f"log.jsonl ends in {len(torn)} bytes that are no log entry"
    if newest is None:
        return f"champion.json is gone, but log.jsonl has {len(entries)} entries"
    return (
        f"champion.json stands at line {newest['sequence']}, but log.jsonl ends at line "
        f"{entries[-1]['sequence'] if entries else 0}"
    )
