"""A sharded table: a folder of Parquet parts, sorted by one key across all of them.

    part-00000.parquet  part-00001.parquet ...   rows in the order of the key, none twice
    parts.json                                   what each part is; written last

Without parts.json the table is not whole. Everything is deterministic, so that the same table
cut in the same places is the same bytes; rows joined again are the same wherever it is cut.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl
from pydantic import TypeAdapter, ValidationError

from sidmint.errors import BadInput
from sidmint.json_text import dump_json

PARTS = "parts.json"
ROW_GROUP = 1 << 15
"""Rows that a look-up reads at least."""

Key = str | int


def part_name(index: int) -> str:
    """The file of part `index`, counted from 0."""
    return f"part-{index:05d}.parquet"


@dataclass(frozen=True)
class Form:
    """What all parts of a table share."""

    key: str
    """The column that rows are sorted by: text (by its bytes in UTF-8) or whole numbers."""
    unique: bool
    """Whether each key has one row."""
    columns: tuple[tuple[str, str], ...]
    """Name and type of each column, in their order."""


@dataclass(frozen=True)
class Part:
    """One file of a table."""

    rows: int
    first: Key
    last: Key
    """Keys of its first and last row."""
    num_bytes: int
    sha256: str
    made_of: str
    """Digest of what it was made of, by whoever made it: equal ones need not be made again."""


@dataclass(frozen=True)
class Manifest:
    """The content of parts.json."""

    form: Form
    parts: tuple[Part, ...]

    def dumped(self) -> str:
        """As deterministic JSON."""
        return dump_json(asdict(self))


_MANIFEST = TypeAdapter(Manifest)


def read_manifest(path: Path) -> Manifest:
    """The manifest at `path`; `BadInput` where it is not there or is none."""
    try:
        return _MANIFEST.validate_json(path.read_bytes(), strict=True)
    except FileNotFoundError as error:
        raise BadInput(
            f"{path} is not there: {path.parent} is no table in parts, or not all of its parts "
            "have been written; the command that writes it goes on from complete parts"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        raise BadInput(
            f"{path} does not describe parts ({where or 'it'}: {first['msg']}); write the table "
            "again"
        ) from error


@dataclass(frozen=True)
class Shards:
    """A whole table in `folder`; `checking.open_shards` makes one of a folder."""

    folder: Path
    manifest: Manifest

    @property
    def form(self) -> Form:
        """What its parts share."""
        return self.manifest.form

    @property
    def parts(self) -> tuple[Part, ...]:
        """Its parts, in the order of their keys."""
        return self.manifest.parts

    @property
    def num_rows(self) -> int:
        """Of all parts."""
        return sum(part.rows for part in self.parts)

    def path(self, index: int) -> Path:
        """The file of part `index`."""
        return self.folder / part_name(index)

    def frames(self, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        """Its parts one after another, one of them in memory at a time; or `columns` of them."""
        only = None if columns is None else list(columns)
        for index in range(len(self.parts)):
            yield pl.read_parquet(self.path(index), columns=only)

    def scan(self) -> pl.LazyFrame:
        """All rows, in the order of the key, read when they are asked for."""
        return pl.scan_parquet([self.path(index) for index in range(len(self.parts))])

    def lookup(self, keys: Iterable[Key]) -> pl.DataFrame:
        """The rows of `keys`, sorted by key; a key that has no row gives none.

        Only parts whose range holds one of them are opened, and of those only row groups that
        may. `BadInput` for keys of another type than the column's.
        """
        found = [
            # The range is what lets Polars leave row groups out; it does not for a list of keys.
            self._in_range(index, here[0], here[-1])
            .filter(pl.col(self.form.key).is_in(here))
            .collect()
            for index, here in self.keys_by_part(keys).items()
        ]
        return pl.concat(found) if found else self._no_rows()

    def keys_by_part(self, keys: Iterable[Key]) -> dict[int, list[Key]]:
        """Which parts may hold one of `keys`, and which of them, rising, each may hold."""
        wanted = sorted_keys(keys, type(self.parts[0].first), self.form.key)
        found = {}
        for index, part in enumerate(self.parts):
            here = wanted[bisect_left(wanted, part.first) : bisect_right(wanted, part.last)]
            if here:
                found[index] = here
        return found

    def between(self, first: Key, last: Key) -> pl.DataFrame:
        """The rows whose key lies from `first` to `last`, both included, sorted by key.

        Read are row groups that may hold one of them.
        """
        found = [
            self._in_range(index, first, last).collect()
            for index in self.parts_between(first, last)
        ]
        return pl.concat(found) if found else self._no_rows()

    def count_between(self, first: Key, last: Key) -> int:
        """How many rows `between` has; of parts that lie in between as a whole none is read."""
        cut = self.cut_parts(first, last)
        whole = set(self.parts_between(first, last)) - set(cut)
        count = sum(self.parts[index].rows for index in whole)
        for index in cut:
            count += self._in_range(index, first, last).select(pl.len()).collect().item()
        return count

    def cut_parts(self, first: Key, last: Key) -> list[int]:
        """Those of `parts_between` that may hold other keys too: two at most of unique keys."""
        return [
            index
            for index in self.parts_between(first, last)
            if self.parts[index].first < first or last < self.parts[index].last  # type: ignore[operator]
        ]

    def parts_between(self, first: Key, last: Key) -> list[int]:
        """Which parts may hold a key from `first` to `last`."""
        return [
            index
            for index, part in enumerate(self.parts)
            if part.first <= last and first <= part.last  # type: ignore[operator]
        ]

    def _in_range(self, index: int, first: Key, last: Key) -> pl.LazyFrame:
        in_range = pl.col(self.form.key).is_between(pl.lit(first), pl.lit(last))
        return pl.scan_parquet(self.path(index)).filter(in_range)

    def _no_rows(self) -> pl.DataFrame:
        return pl.read_parquet(self.path(0), n_rows=0)


def sorted_keys(keys: Iterable[Key], of: type, name: str) -> list[Key]:
    """Distinct `keys` in the order of the parts; `BadInput` where one is not of type `of`."""
    distinct = set(keys)
    for key in distinct:
        if type(key) is not of:
            raise BadInput(
                f"{name} {key!r} is looked up in a column of type {of.__name__}; give keys of "
                "that type"
            )
    return sorted(distinct)  # type: ignore[type-var]


def first_out_of_order(keys: pl.Series, unique: bool) -> int | None:
    """The first row (from 0) whose key is not behind that of the row before; None if all are.

    Equal keys are in order where they are not `unique`.
    """
    before, behind = keys.head(-1), keys.tail(-1)
    wrong = behind <= before if unique else behind < before
    return None if not wrong.any() else int(wrong.arg_true()[0]) + 1


def is_behind(key: Key, last: Key, unique: bool) -> bool:
    """Whether a part that begins with `key` may follow one that ends with `last`."""
    if type(key) is not type(last):
        return False
    return last < key or (key == last and not unique)  # type: ignore[operator]
