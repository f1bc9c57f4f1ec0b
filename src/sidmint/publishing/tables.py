"""The table of a release, in one file or, above `execution.shard_rows` rows, in parts.

sids.parquet                               one file
sids/part-00000.parquet ... parts.json     the same rows in parts, sorted by item id
by_id/part-00000.parquet ... parts.json    beside parts: items by their Semantic ID, see `by_id`
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from sidmint.contracts import SemanticIds
from sidmint.errors import BadInput
from sidmint.execution.shards import PARTS, Key, Shards, part_name, read_manifest
from sidmint.publishing.versions import Release

TABLE = "sids"
TABLE_FILE = f"{TABLE}.parquet"
TABLE_PARTS = f"{TABLE}/{PARTS}"
BY_ID = "by_id"

MOST_ROWS = 20_000_000
"""Of a table in parts that is read as a whole all the same: some 2 GB of ids."""


def table_sha256(files: Mapping[str, Any]) -> str | None:
    """The digest that stands for the table of a manifest's `files`: of its file, or of parts.json.

    None where they hold no table.
    """
    listed = files.get(TABLE_FILE) or files.get(TABLE_PARTS)
    return str(listed["sha256"]) if listed else None


def table_path(folder: Path) -> Path:
    """The table in the `folder` of a stage or a release: its file, or the folder of its parts."""
    parts = folder / TABLE
    return parts if parts.is_dir() else folder / TABLE_FILE


def in_parts(release: Release) -> bool:
    """Whether the table of `release` lies in parts."""
    return TABLE_PARTS in release.manifest["files"]


def read_table(release: Release, what: str) -> pl.DataFrame:
    """The published table in memory, in row order: `item_id`, parts of ids, `semantic_id`.

    `BadInput` where a file is no such table or not what was published; and for a table in parts of
    more than `MOST_ROWS` rows, of which `what` (neighbours, a recommender, ...) needs the whole.
    """
    if in_parts(release):
        parts = TableParts(release)
        parts.require_few(what)
        return pl.concat(list(parts.frames()))
    path = release.intact_file(TABLE_FILE)
    texts = (SemanticIds.ITEM_ID, SemanticIds.SEMANTIC_ID)
    try:
        table = pl.read_parquet(path)
        wrong = [name for name in texts if table.schema[name] != pl.String]
        wrong += [name for name in release.ids.columns if not table.schema[name].is_integer()]
        if not wrong:
            return table.cast(dict.fromkeys(release.ids.columns, pl.Int32))
        reason = f"{', '.join(wrong)} of another type"
    except KeyError as error:
        reason = f"no column {error}"
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = f"{error}"
    raise _no_table(release, TABLE_FILE, reason)


class ReleasedParts:
    """A table in parts of a release: a part is fetched and its sha256 checked before it is read."""

    def __init__(self, release: Release, name: str) -> None:
        """Only parts.json is read."""
        self._release, self._name = release, name
        path = release.intact_file(f"{name}/{PARTS}")
        self.shards = Shards(path.parent, read_manifest(path))
        self._intact: set[int] = set()

    def frames(self, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        """Its parts, or `columns` of them, one in memory at a time."""
        for index in range(len(self.shards.parts)):
            yield self.frame(index, columns)

    def frame(self, index: int, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Part `index`."""
        only = None if columns is None else list(columns)
        return pl.read_parquet(self._part(index), columns=only)

    def lookup(self, keys: Iterable[Key]) -> pl.DataFrame:
        """`Shards.lookup`."""
        wanted = list(keys)
        self._require(self.shards.keys_by_part(wanted))
        return self.shards.lookup(wanted)

    def between(self, first: Key, last: Key) -> pl.DataFrame:
        """`Shards.between`."""
        self._require(self.shards.parts_between(first, last))
        return self.shards.between(first, last)

    def count_between(self, first: Key, last: Key) -> int:
        """`Shards.count_between`."""
        self._require(self.shards.cut_parts(first, last))
        return self.shards.count_between(first, last)

    def intact(self) -> Shards:
        """All of its parts, each checked."""
        self._require(range(len(self.shards.parts)))
        return self.shards

    def _require(self, indices: Collection[int]) -> None:
        # Where no part may hold a key, the first still says what columns an empty answer has.
        for index in indices or (0,):
            self._part(index)

    def _part(self, index: int) -> Path:
        if index not in self._intact:
            self._release.intact_file(f"{self._name}/{part_name(index)}")
            self._intact.add(index)
        return self.shards.path(index)


class TableParts(ReleasedParts):
    """The table of Semantic IDs of a release in parts."""

    def __init__(self, release: Release) -> None:
        """`BadInput` where its columns are not those of such a table."""
        super().__init__(release, TABLE)
        types = dict(self.shards.form.columns)
        texts, numbers = (SemanticIds.ITEM_ID, SemanticIds.SEMANTIC_ID), release.ids.columns
        wrong = [name for name in texts if types.get(name) != "String"]
        wrong += [name for name in numbers if not types.get(name, "").startswith(("Int", "UInt"))]
        if wrong or self.shards.form.key != SemanticIds.ITEM_ID:
            reason = f"{', '.join(wrong) or 'its key'} is missing, or of another type"
            raise _no_table(release, TABLE_PARTS, reason)

    def require_few(self, what: str) -> None:
        """`BadInput` where it has more than `MOST_ROWS` rows, all of which `what` needs."""
        if self.shards.num_rows > MOST_ROWS:
            raise BadInput(
                f"{self._release.version} has {self.shards.num_rows:,} items, and {what} reads its "
                f"whole table into memory, {MOST_ROWS:,} items at most; `sidmint lookup`, `items`, "
                "`diff` and `export` read a part at a time"
            )


def look_alikes(item_ids: pl.Series, wanted: str) -> str:
    """The end of an error about an unknown item: up to three ids that contain it, or ""."""
    text = wanted.strip().lower()
    near = item_ids.filter(item_ids.str.to_lowercase().str.contains(text, literal=True))
    return f"; there is {', '.join(near.head(3).to_list())}" if text and len(near) else ""


def names_several(version: str, semantic_id: str) -> BadInput:
    """The error for an id that several items have."""
    return BadInput(
        f"{version} gives {semantic_id} to several items, so an id does not name one; "
        "`items_under` lists all that have it"
    )


def _no_table(release: Release, name: str, reason: str) -> BadInput:
    return BadInput(
        f"{release.where}/{name} is no table of Semantic IDs ({reason}); `sidmint verify "
        f"{release.version}` says what is damaged"
    )
