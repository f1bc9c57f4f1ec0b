"""Writes a table in parts, so that who is killed goes on from the parts that are complete."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import polars as pl

from sidmint.disk import storing, sync_folder, write_synced
from sidmint.errors import BadInput
from sidmint.execution.shards import (
    PARTS,
    ROW_GROUP,
    Form,
    Key,
    Manifest,
    Part,
    Shards,
    first_out_of_order,
    is_behind,
    part_name,
    read_manifest,
)

_KEPT = "Parts that are complete stay"


@dataclass(frozen=True)
class ShardWriter:
    """Writes the table in `folder`, sorted by `key`; several processes may write parts of it.

    One process says `begin`, then parts are written in any order, then one says `finish`. What a
    part is stands in a hidden note beside it until then: the part goes first, so a note speaks of
    a part that is whole. Small enough to send to a worker.
    """

    folder: Path
    key: str
    unique: bool = True

    def begin(self) -> None:
        """Make the folder ready. Parts that are there stay, and what killed writers left goes.

        A table that was whole is not from here on: its parts get their notes back.
        """
        with storing(self.folder, _KEPT):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._clear_drafts()
            if not (self.folder / PARTS).exists():
                return
            whole = read_manifest(self.folder / PARTS)
            for index, part in enumerate(whole.parts):
                self._put(self._note(index), Manifest(whole.form, (part,)).dumped())
            (self.folder / PARTS).unlink()

    def is_complete(self, index: int, made_of: str) -> bool:
        """Whether part `index` is there, whole, and was made of the same."""
        noted = self._noted(index)
        if noted is None or (noted.form.key, noted.form.unique) != (self.key, self.unique):
            return False
        path, part = self.folder / part_name(index), noted.parts[0]
        # Its bytes were on the disk before the note was: only their number is asked.
        return part.made_of == made_of and path.is_file() and path.stat().st_size == part.num_bytes

    def write(self, index: int, frame: pl.DataFrame, made_of: str) -> None:
        """Write `frame` as part `index`, whole or not at all.

        Raises `BadInput` naming part and row (from 1) where `frame` is empty, or its key is
        missing or not in order; `StorageFailed` where the disk refuses.
        """
        first, last = self._ends(index, frame)
        columns = tuple((name, str(dtype)) for name, dtype in frame.schema.items())
        path, note = self.folder / part_name(index), self._note(index)
        draft = self._draft(path)
        # In memory first: where Polars itself finds the disk full, it says so as bad content.
        packed = BytesIO()
        frame.write_parquet(packed, compression="zstd", statistics=True, row_group_size=ROW_GROUP)
        data = packed.getbuffer()
        part = Part(len(frame), first, last, len(data), sha256(data).hexdigest(), made_of)
        with storing(self.folder, _KEPT):
            try:
                write_synced(draft, data)
                note.unlink(missing_ok=True)  # it speaks of the part that goes
                os.replace(draft, path)
                noted = Manifest(Form(self.key, self.unique, columns), (part,))
                self._put(note, noted.dumped())
                sync_folder(self.folder)
            finally:
                draft.unlink(missing_ok=True)

    def finish(self, num_parts: int) -> Shards:
        """Make the first `num_parts` parts the table; others go. The table as it is then.

        Raises `BadInput` naming the part that is not complete, has other columns than the first,
        or does not lie behind the one before it.
        """
        noted = [self._whole(index) for index in range(num_parts)]
        if not noted:
            raise BadInput(f"{self.folder} wants one part at least, and none was written")
        form = noted[0].form
        parts = tuple(manifest.parts[0] for manifest in noted)
        for index, manifest in enumerate(noted):
            if manifest.form != form:
                raise BadInput(
                    f"{self.folder}: {part_name(index)} has columns {_said(manifest.form)}, and "
                    f"{part_name(0)} has {_said(form)}; write both with the same"
                )
            if index and not is_behind(parts[index].first, parts[index - 1].last, form.unique):
                raise BadInput(out_of_order(self.folder, index, parts))
        whole = Manifest(form, parts)
        with storing(self.folder, _KEPT):
            for path in sorted(self.folder.glob("part-*.parquet")):
                if path.name not in {part_name(index) for index in range(num_parts)}:
                    path.unlink()
            self._put(self.folder / PARTS, whole.dumped())
            sync_folder(self.folder)
            for note in self.folder.glob(".part-*.json"):
                note.unlink()
            self._clear_drafts()
        return Shards(self.folder, whole)

    def _ends(self, index: int, frame: pl.DataFrame) -> tuple[Key, Key]:
        where = f"{self.folder}: {part_name(index)}"
        if self.key not in frame.columns:
            raise BadInput(f"{where} wants the column {self.key}, has {', '.join(frame.columns)}")
        keys = frame[self.key]
        if not (keys.dtype == pl.String or keys.dtype.is_integer()):
            raise BadInput(f"{where}: {self.key} is of type {keys.dtype}; want text or integers")
        if keys.is_empty():
            raise BadInput(f"{where} has no rows; write no part where there are none")
        if keys.null_count():
            raise BadInput(f"{where}: row {keys.is_null().arg_true()[0] + 1} has no {self.key}")
        wrong = first_out_of_order(keys, self.unique)
        if wrong is not None:
            way_out = f"sort by {self.key}" + (", one row each" if self.unique else "")
            raise BadInput(
                f"{where}: row {wrong + 1} has {self.key} {keys[wrong]!r} behind "
                f"{keys[wrong - 1]!r}; {way_out}"
            )
        return keys[0], keys[-1]

    def _whole(self, index: int) -> Manifest:
        noted = self._noted(index)
        if noted is None or not self.is_complete(index, noted.parts[0].made_of):
            raise BadInput(
                f"{self.folder}: {part_name(index)} is not complete; write it before the table is "
                "finished"
            )
        return noted

    def _noted(self, index: int) -> Manifest | None:
        try:
            noted = read_manifest(self._note(index))
        except BadInput:  # not there, or torn: the part is made again
            return None
        return noted if len(noted.parts) == 1 else None

    def _note(self, index: int) -> Path:
        return self.folder / f".{part_name(index)}.json"

    def _put(self, path: Path, text: str) -> None:
        draft = self._draft(path)
        write_synced(draft, text.encode())
        os.replace(draft, path)

    def _draft(self, path: Path) -> Path:
        # A name of its own: a worker that was given up for dead may still write the same part.
        return self.folder / f".{path.name.lstrip('.')}.{secrets.token_hex(4)}.draft"

    def _clear_drafts(self) -> None:
        for draft in self.folder.glob(".*.draft"):
            draft.unlink(missing_ok=True)


def out_of_order(folder: Path, index: int, parts: tuple[Part, ...]) -> str:
    """What is wrong where part `index` does not lie behind the one before it."""
    return (
        f"{folder}: row 1 of {part_name(index)} has key {parts[index].first!r}, which does not "
        f"lie behind {parts[index - 1].last!r}, the last of {part_name(index - 1)}; sort the whole "
        "table before it is cut"
    )


def _said(form: Form) -> str:
    return ", ".join(f"{name} {dtype}" for name, dtype in form.columns)
