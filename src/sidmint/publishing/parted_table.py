"""A published table in parts: an answer reads the parts that may hold it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from sidmint.contracts import SemanticIds
from sidmint.errors import BadInput
from sidmint.execution.shards import PARTS
from sidmint.publishing.by_id import IdKeys
from sidmint.publishing.tables import BY_ID, ReleasedParts, TableParts, look_alikes, names_several
from sidmint.publishing.versions import Release
from sidmint.semantic_ids import format_id, parse_id
from sidmint.types import Ints

_ITEM, _ID = SemanticIds.ITEM_ID, SemanticIds.SEMANTIC_ID


class PartedTable:
    """See `published_rows.PublishedRows`."""

    def __init__(self, release: Release) -> None:
        """Reads parts.json alone."""
        self._release = release
        self._rows = TableParts(release)
        self._ids = release.ids
        self._keys = IdKeys(release.ids.part_sizes)

    @property
    def num_items(self) -> int:
        """As parts.json counts them."""
        return self._rows.shards.num_rows

    @property
    def code_columns(self) -> list[str]:
        """As parts.json names them."""
        names = (name for name, _ in self._rows.shards.form.columns)
        return [name for name in names if name.startswith("code_")]

    @cached_property
    def item_ids(self) -> pl.Series:
        """One column of every part; `BadInput` above `MOST_ROWS`."""
        self._rows.require_few("a list of all items")
        return pl.concat([frame[_ITEM] for frame in self._rows.frames([_ITEM])])

    @cached_property
    def parts(self) -> Ints:
        """The columns of ids of every part; `BadInput` above `MOST_ROWS`."""
        self._rows.require_few("all ids at once")
        columns = self._ids.columns
        found = np.empty((self.num_items, len(columns)), dtype=np.int32)
        start = 0
        for frame in self._rows.frames(columns):
            found[start : start + len(frame)] = frame.select(
                pl.col(columns).fill_null(-1)
            ).to_numpy()
            start += len(frame)
        return found

    def row(self, item: str) -> dict[str, Any] | None:
        """From the part that may hold it."""
        found = self._rows.lookup([item])
        return None if found.is_empty() else found.row(0, named=True)

    def semantic_ids(self, items: pl.Series) -> tuple[pl.Series, pl.Series]:
        """From the parts that may hold them."""
        found = self._rows.lookup(items.drop_nulls().unique().to_list())
        known = found.select(_ITEM, _ID).with_columns(known=pl.lit(True))
        both = items.to_frame(_ITEM).join(known, on=_ITEM, how="left", maintain_order="left")
        return both[_ID], both["known"].fill_null(False)

    def semantic_id(self, item: str) -> tuple[str | None, bool]:
        """From the part that may hold it."""
        row = self.row(item)
        return (None, False) if row is None else (row[_ID], True)

    def items(self, semantic_ids: pl.Series) -> pl.Series:
        """From the parts of `by_id` that may hold them."""
        keys = {self._key(each) for each in semantic_ids.drop_nulls().unique()} - {None}
        asked = semantic_ids.to_frame(_ID)
        if self._by_id is None or not keys:
            return pl.Series(_ITEM, [None] * len(asked), dtype=pl.String)
        found = self._by_id.lookup(key for key in keys if key is not None)
        # A key may be that of other ids: of longer ones, and of this one with zeros in front.
        found = found.select(_ITEM, _ID).join(asked, on=_ID, how="semi")
        twice = found[_ID].filter(found[_ID].is_duplicated())
        if len(twice):
            raise names_several(self._release.version, twice[0])
        return asked.join(found, on=_ID, how="left", maintain_order="left")[_ITEM]

    def item(self, semantic_id: str) -> str | None:
        """From the part of `by_id` that may hold it."""
        return self.items(pl.Series([semantic_id]))[0]  # type: ignore[no-any-return]

    def below(self, prefix: Sequence[int]) -> pl.DataFrame:
        """A range of `by_id`."""
        if self._by_id is None:
            return pl.DataFrame(schema={_ITEM: pl.String, _ID: pl.String})
        found = self._by_id.between(*self._keys.below(prefix)).select(_ITEM, _ID)
        if not self._keys.decides(prefix):
            text = format_id(prefix)
            found = found.filter((pl.col(_ID) == text) | pl.col(_ID).str.starts_with(f"{text}-"))
        return found.sort(_ITEM)

    def num_below(self, prefix: Sequence[int]) -> int:
        """Counted in the parts that the range cuts, known of the others."""
        if self._by_id is None or not self._keys.decides(prefix):
            return self.below(prefix).height
        return self._by_id.count_between(*self._keys.below(prefix))

    def under(self, prefix: Sequence[int]) -> pl.Series:
        """A range of `by_id`."""
        return self.below(prefix)[_ITEM]

    def look_alikes(self, wanted: str) -> str:
        """Among the items of the part where it would stand."""
        firsts = [part.first for part in self._rows.shards.parts]
        before = sum(first <= wanted for first in firsts)  # type: ignore[operator]
        near = self._rows.frame(max(0, before - 1), [_ITEM])
        return look_alikes(near[_ITEM], wanted)

    def pieces(self, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        """A part at a time."""
        return self._rows.frames(columns)

    def by_item(self, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        """As they lie: parts are sorted by item id."""
        return self._rows.frames(columns)

    def ids_of_rows(self, rows: pl.Series) -> pl.Series:
        """From the parts that hold them."""
        found, start = [pl.Series(_ITEM, [], dtype=pl.String)], 0
        for index, part in enumerate(self._rows.shards.parts):
            mine = rows.filter(rows.is_between(start, start + part.rows - 1))
            if len(mine):
                found.append(self._rows.frame(index, [_ITEM])[_ITEM].gather(mine - start))
            start += part.rows
        return pl.concat(found)

    @cached_property
    def _by_id(self) -> ReleasedParts | None:
        """None where no item has an id, and no such table was written."""
        name = f"{BY_ID}/{PARTS}"
        return ReleasedParts(self._release, BY_ID) if self._release.has(name) else None

    def _key(self, semantic_id: str) -> int | None:
        """The key of a whole id; None for what cannot be one here."""
        try:
            parts = parse_id(semantic_id)
        except BadInput:
            return None
        sizes = self._ids.part_sizes
        fits = len(parts) == len(sizes) and all(map(int.__lt__, parts, sizes))
        return self._keys.below(parts)[0] if fits else None
