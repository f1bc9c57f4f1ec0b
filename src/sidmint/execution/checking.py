"""Is a table in parts the one that was written? Asked of names and footers, or of every byte."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from sidmint.disk import digest
from sidmint.errors import BadInput
from sidmint.execution.engine import Engine
from sidmint.execution.shards import (
    PARTS,
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
from sidmint.execution.writing import out_of_order
from sidmint.progress import Track, silent

_READ_ROWS = 1 << 18
_STATISTICS_BYTES = 64
"""Polars cuts longer keys where it notes a row group's least and greatest."""
_MOST_SAID = 5


def open_shards(folder: Path) -> Shards:
    """The table in `folder`, with names, sizes and footers looked at, and no row read.

    Raises `BadInput` naming the part, and the row where there is one: a part that is missing,
    there twice or not listed, truncated, of other columns, with another number of rows, or not
    behind the part before it. `verify` finds what this cannot see.
    """
    manifest = read_manifest(folder / PARTS)
    problems = [*_names(folder, manifest), *_order(folder, manifest)]
    if not problems:
        for index in range(len(manifest.parts)):
            problems += _part_problems(folder, index, manifest)
    if problems:
        raise BadInput(
            f"{_some_of(problems)}. Put the parts back as they were, or write the table again"
        )
    return Shards(folder, manifest)


def _some_of(problems: Sequence[str]) -> str:
    others = len(problems) - _MOST_SAID
    return "; ".join(problems[:_MOST_SAID]) + (f"; and {others} more" if others > 0 else "")


@dataclass(frozen=True)
class PartToVerify:
    """One part and what it ought to be."""

    path: Path
    form: Form
    part: Part

    @property
    def task_bytes(self) -> int:
        """Keys of the rows that are read at a time, of up to 100 bytes each, three times."""
        return _READ_ROWS * 300


def verify(shards: Shards, engine: Engine, track: Track = silent) -> tuple[str, ...]:
    """What is wrong with the bytes of a table, part by part; empty where nothing is.

    Every part is read once for its SHA-256, and its keys for their order.
    """
    tasks = [
        PartToVerify(shards.path(index), shards.form, part)
        for index, part in enumerate(shards.parts)
    ]
    found = engine.map(verify_part, tasks, "verify parts", track)
    return tuple(problem for problems in found for problem in problems)


def verify_part(task: PartToVerify) -> tuple[str, ...]:
    """What is wrong with one part: its bytes, its first and last key, its order."""
    try:
        if digest(task.path) != task.part.sha256:
            return (f"{task.path} holds other bytes than were written", *wrong_keys(task))
    except OSError as error:
        return (f"{task.path} cannot be read: {error.strerror}",)
    return tuple(wrong_keys(task))


def verified_digest(folder: Path, engine: Engine, track: Track = silent) -> str:
    """SHA-256 of the parts.json in `folder`, which stands for the table: every part was read.

    `BadInput` names the part, and the row where there is one, that is not what parts.json says.
    """
    problems = verify(open_shards(folder), engine, track)
    if problems:
        raise BadInput(f"{_some_of(problems)}. Put the parts back, or write the table again")
    return digest(folder / PARTS)


def wrong_keys(task: PartToVerify) -> Iterator[str]:
    """At most one row that is out of order, and keys at the ends that are others."""
    last: Key | None = None
    first: Key | None = None
    try:
        for start in range(0, task.part.rows, _READ_ROWS):
            rows = pl.scan_parquet(task.path).select(task.form.key).slice(start, _READ_ROWS)
            keys = rows.collect().to_series()
            if last is not None:
                keys = pl.concat([pl.Series(keys.name, [last], keys.dtype), keys])
                start -= 1
            wrong = first_out_of_order(keys, task.form.unique)
            if wrong is not None:
                yield (
                    f"{task.path}: row {start + wrong + 1} has key {keys[wrong]!r} behind "
                    f"{keys[wrong - 1]!r}"
                )
                return
            first, last = (keys[0] if first is None else first), keys[-1]
    except (pl.exceptions.PolarsError, IndexError) as error:
        said = str(error).partition("\n")[0]
        yield f"{task.path}: its rows cannot be read: {said}"
        return
    if (first, last) != (task.part.first, task.part.last):
        wanted = f"{task.part.first!r} to {task.part.last!r}"
        yield f"{task.path} has keys {first!r} to {last!r}, and {wanted} were written"


def _names(folder: Path, manifest: Manifest) -> Iterator[str]:
    listed = {part_name(index) for index in range(len(manifest.parts))}
    there = {path.name for path in folder.iterdir() if not path.name.startswith(".")} - {PARTS}
    for name in sorted(listed - there):
        yield f"{folder / name} is missing"
    for name in sorted(there - listed):
        copied = _copied(folder, name, manifest)
        yield f"{folder / name} is not one of the {len(listed)} parts{copied}"


def _order(folder: Path, manifest: Manifest) -> Iterator[str]:
    parts = manifest.parts
    if not parts:
        yield f"{folder / PARTS} lists no part"
    for index in range(1, len(parts)):
        if not is_behind(parts[index].first, parts[index - 1].last, manifest.form.unique):
            yield out_of_order(folder, index, parts)


def _part_problems(folder: Path, index: int, manifest: Manifest) -> Iterator[str]:
    """What is wrong with a file that is there; the first thing only."""
    import pyarrow
    import pyarrow.parquet

    name, part = part_name(index), manifest.parts[index]
    path = folder / name
    size = path.stat().st_size
    if copied := _copied(folder, name, manifest, but=index):
        yield f"{path}{copied}"
    elif size < part.num_bytes:
        yield f"{path} is truncated: {size:,} of {part.num_bytes:,} bytes"
    else:
        try:
            columns = tuple(
                (column, str(kind)) for column, kind in pl.read_parquet_schema(path).items()
            )
            footer: Any = pyarrow.parquet.read_metadata(path)
        except (pl.exceptions.PolarsError, pyarrow.ArrowException) as error:
            yield f"{path} is no Parquet file: {str(error).partition(chr(10))[0]}"
            return
        yield from _footer_problems(path, part, manifest.form, columns, footer)
        if size > part.num_bytes:
            yield f"{path} has {size:,} bytes, and {part.num_bytes:,} were written"


def _footer_problems(
    path: Path, part: Part, form: Form, columns: tuple[tuple[str, str], ...], footer: Any
) -> Iterator[str]:
    if columns != form.columns:
        yield f"{path} has other columns than the table: {_unlike(columns, form.columns)}"
        return
    if footer.num_rows != part.rows:
        yield f"{path} has {footer.num_rows:,} rows, and {part.rows:,} were written"
        return
    place = [name for name, _ in columns].index(form.key)
    row_groups = (footer.row_group(0), footer.row_group(footer.num_row_groups - 1))
    least, greatest = (group.column(place).statistics for group in row_groups)
    for row, key, noted in ((1, part.first, least.min), (part.rows, part.last, greatest.max)):
        if len(str(key).encode()) < _STATISTICS_BYTES and noted != key:
            yield f"{path}: row {row:,} has key {noted!r}, and {key!r} was written"
            return


def _copied(folder: Path, name: str, manifest: Manifest, but: int | None = None) -> str:
    """That a file holds what another part holds, if so; read only where sizes say it may."""
    size = (folder / name).stat().st_size if (folder / name).is_file() else -1
    if but is not None and size == manifest.parts[but].num_bytes:
        return ""
    alike = [index for index, part in enumerate(manifest.parts) if part.num_bytes == size]
    sha256 = digest(folder / name) if alike else ""
    for index in alike:
        if manifest.parts[index].sha256 == sha256:
            return f" and holds what {part_name(index)} holds: that one is there twice"
    return ""


def _unlike(columns: tuple[tuple[str, str], ...], wanted: tuple[tuple[str, str], ...]) -> str:
    """The first column that is another, as both sides have it."""
    for came, want in zip(columns, wanted, strict=False):
        if came != want:
            return f"{' '.join(came)} in place of {' '.join(want)}"
    more = columns[len(wanted) :] or wanted[len(columns) :]
    return f"{' '.join(more[0])} is {'too many' if len(columns) > len(wanted) else 'missing'}"
