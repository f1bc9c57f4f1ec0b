"""The table that a recommender reads: one unique Semantic ID an item."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from sidmint.contracts import SemanticIds
from sidmint.errors import BadInput
from sidmint.types import Codes, Floats, Ints


@dataclass(frozen=True)
class IdTable:
    """`codes` (N, L): row n is the Semantic ID of item n, its suffix included where it has one.

    No two rows are equal: an id that stands for two items names neither. `vectors` (N, D) are
    what ids were made of, for recommenders that look items up by content; None where a table
    comes without.
    """

    codes: Codes
    vectors: Floats | None = None

    def __post_init__(self) -> None:
        if self.codes.num_items < 1:
            raise BadInput("a recommender wants at least one item with a Semantic ID, got none")
        if self.vectors is not None and len(self.vectors) != self.codes.num_items:
            raise BadInput(
                f"{self.codes.num_items} Semantic IDs and {len(self.vectors)} vectors; each item "
                "wants one of both"
            )
        order = self.order()
        rows = self.codes.values[order]
        same = (rows[1:] == rows[:-1]).all(axis=1)
        if same.any():
            at = int(np.flatnonzero(same)[0])
            raise BadInput(
                f"items {order[at]} and {order[at + 1]} share the Semantic ID "
                f"{'-'.join(map(str, rows[at]))}; a recommender wants unique ones, as assign "
                "makes them"
            )

    def __len__(self) -> int:
        return self.codes.num_items

    @property
    def sizes(self) -> tuple[int, ...]:
        """(K_1, ..., K_L)."""
        return self.codes.sizes

    def order(self) -> npt.NDArray[np.intp]:
        """Item rows by rising Semantic ID, the first code first."""
        return np.lexsort(self.codes.values.T[::-1])

    def sorted(self, order: npt.NDArray[np.intp]) -> IdTable:
        """The same table with its items in `order`."""
        codes = Codes(np.ascontiguousarray(self.codes.values[order]), self.codes.sizes)
        return IdTable(codes, None if self.vectors is None else self.vectors[order])


def with_suffix(codes: Ints, suffix: Ints) -> Codes:
    """Codes (N, L) and suffixes (N,) as the codes of unique ids: one more level where needed.

    A table whose suffixes are all 0 has unique codes already and gets no further level. Sizes
    are the highest code of each level plus one: what no id uses, no recommender can write.
    """
    values = np.concatenate([codes, suffix[:, None]], axis=1) if suffix.any() else codes
    sizes = tuple(int(size) + 1 for size in values.max(axis=0))
    return Codes(np.ascontiguousarray(values, dtype=np.int32), sizes)


def codes_in(published: pl.DataFrame) -> Ints:
    """The codes (N, L) of sids.parquet, without suffixes."""
    levels = [column for column in published.columns if column.startswith("code_")]
    return np.ascontiguousarray(published.select(levels).to_numpy(), dtype=np.int32)


def id_table_of(published: pl.DataFrame, vectors: Floats | None = None) -> IdTable:
    """sids.parquet as the table that a recommender reads, suffixes included."""
    suffix = published[SemanticIds.SUFFIX].to_numpy().astype(np.int32)
    return IdTable(with_suffix(codes_in(published), suffix), vectors)
