"""A table in parts once more, sorted by Semantic ID: from an id, or any prefix, to its items.

`id_key` packs the parts of an id into one whole number that sorts as the parts do, so the items
below a prefix are the rows of one range of keys: a look-up reads the row groups of that range,
whatever the table holds. It is written when a release is made. Made at a look-up instead, it would
cost a read of all rows each time; a list of rows by prefix in place of rows would scatter the
answer over every part.

Shape letters: n ids, M parts of an id (L levels and the suffix, where there is one).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from sidmint.contracts import SemanticIds
from sidmint.errors import BadInput
from sidmint.execution.shards import Shards
from sidmint.execution.sorting import sorted_frames
from sidmint.execution.splitting import digest_of, split
from sidmint.packing import append_levels
from sidmint.progress import Track, silent
from sidmint.publishing.versions import IdLayout
from sidmint.spill_files import FrameSpill
from sidmint.types import Ints

ID_KEY = "id_key"
_BITS = 63
"""Of a whole number with a sign, which is never negative here."""

Range = tuple[int, int]
"""Of keys, from the first to the last, both included."""


@dataclass(frozen=True)
class IdKeys:
    """Keys of ids whose parts take so many values each (`IdLayout.part_sizes`)."""

    sizes: tuple[int, ...]

    @cached_property
    def _bits(self) -> tuple[int, ...]:
        return tuple(max(1, (size - 1).bit_length()) for size in self.sizes)

    @cached_property
    def length(self) -> int:
        """How many leading parts are in a key: all of them up to 63 bits."""
        return sum(total <= _BITS for total in accumulate(self._bits))

    def of(self, parts: Ints) -> npt.NDArray[np.int64]:
        """The key (n,) of each of `parts` (n, M), which are below their sizes."""
        keys = np.zeros(len(parts), dtype=np.uint64)
        append_levels(keys, parts, range(self.length), self._bits)
        return keys.astype(np.int64)

    def below(self, prefix: Sequence[int]) -> Range:
        """The keys of all ids that begin with `prefix`; of others too where it is too long."""
        first = 0
        for part, width in zip(prefix, self._bits[: self.length], strict=False):
            first = first << width | part
        room = sum(self._bits[len(prefix) : self.length])
        return first << room, (first + 1 << room) - 1

    def decides(self, prefix: Sequence[int]) -> bool:
        """Whether `below` has the keys of no other ids."""
        return len(prefix) <= self.length


def write_by_id(
    table: Shards, ids: IdLayout, folder: Path, scratch: Path, track: Track = silent
) -> Shards | None:
    """Write `table` sorted by id into `folder`; None, and nothing, where no item has an id.

    Columns `id_key`, `item_id`, `semantic_id`; parts as long as the longest of `table`; items
    without an id are left out. `scratch` holds the rows meanwhile. `BadInput` names part and row
    whose code is outside of its codebook.
    """
    keys = IdKeys(ids.part_sizes)

    def frames() -> Iterator[pl.DataFrame]:
        columns = [SemanticIds.ITEM_ID, SemanticIds.SEMANTIC_ID, *ids.columns]
        for index, frame in enumerate(table.frames(columns)):
            has_id = frame.select(pl.all_horizontal(pl.col(*ids.columns).is_not_null())).to_series()
            _require_codes(frame, ids, table.path(index))
            parts = frame.filter(has_id).select(ids.columns).to_numpy()
            key = pl.Series(ID_KEY, keys.of(parts), dtype=pl.Int64)
            names = (SemanticIds.ITEM_ID, SemanticIds.SEMANTIC_ID)
            yield frame.filter(has_id).select(key, *names)

    rows_a_part = max(part.rows for part in table.parts)
    ordered = sorted_frames(frames, ID_KEY, FrameSpill(scratch))
    first = next(ordered, None)
    if first is None:
        return None
    made_of = digest_of(*(part.sha256 for part in table.parts))
    rest = track(_chained(first, ordered), "sorting by Semantic ID")
    return split(rest, folder, ID_KEY, made_of, rows_a_part, unique=False)


def _chained(first: pl.DataFrame, rest: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    yield first
    yield from rest


def _require_codes(frame: pl.DataFrame, ids: IdLayout, where: Path) -> None:
    for column, size in zip(ids.columns, ids.part_sizes, strict=True):
        wrong = frame[column].is_between(0, size - 1).not_().fill_null(False)
        if wrong.any():
            row = int(wrong.arg_true()[0])
            raise BadInput(
                f"{where}: row {row + 1} has {column} {frame[column][row]}, which wants to lie "
                f"from 0 to {size - 1}; `sidmint run` brings every stage up to date"
            )
