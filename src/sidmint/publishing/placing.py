"""Ids for arrivals beside a published table: which rows it gets, and which ids are spent.

Shape letters: N published items, n items to place, L levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from sidmint.appending import Appended, Taken, append_by_reassignment, append_by_suffix
from sidmint.contracts import SemanticIds
from sidmint.errors import BadInput
from sidmint.params import AssignParams
from sidmint.progress import Track
from sidmint.publishing.arrivals import ROWS_AT_ONCE, Arrivals, Sorted, pieces
from sidmint.publishing.difference import published_params
from sidmint.publishing.tables import read_table
from sidmint.publishing.versions import Release
from sidmint.semantic_ids import SEPARATOR
from sidmint.settings import parse_settings
from sidmint.types import Codes, Ints

if TYPE_CHECKING:
    from sidmint.tokenizers import Tokenizer

RETIRED = "retired.parquet"
"""Ids that were published in this line of versions and mean nothing now; none means none."""


@dataclass(frozen=True)
class PublishedIds:
    """The ids of a release, and by what policy they were made unique."""

    table: pl.DataFrame
    retired: pl.DataFrame
    sizes: tuple[int, ...]
    resolution: str
    has_suffix: bool

    @property
    def code_columns(self) -> list[str]:
        """code_1 .. code_L."""
        return [SemanticIds.code(level) for level in range(1, len(self.sizes) + 1)]

    def codes(self) -> Ints:
        """(N, L) codes of the published items, after resolution."""
        return _codes_of(self.table, self.code_columns)

    def taken(self) -> Taken:
        """What no new item may get: published ids, and those that were."""
        both = pl.concat([self.table, self.retired])
        codes = Codes(_codes_of(both, self.code_columns), self.sizes)
        return Taken(codes, both[SemanticIds.SUFFIX].to_numpy().astype(np.int32))


@dataclass(frozen=True)
class Coded:
    """What the tokenizer makes of n arrivals, before any collision is looked at."""

    codes: Ints
    squared_error: float
    """Summed over items and dimensions, in input space."""


@dataclass(frozen=True)
class Placed:
    """Arrivals with ids, and the table as it would be published. Rows are rows of the arrivals."""

    coded_rows: npt.NDArray[np.int64]
    """Those that the tokenizer read: new ones and, where they may move, changed ones."""
    coded: Coded
    placed_rows: npt.NDArray[np.int64]
    """Those among them that get another id than they had, or their first; by item id."""
    resolved: Appended
    """Of `placed_rows`."""
    table: pl.DataFrame
    """Published rows first, in their old order; then the new ones by item id."""
    retired: pl.DataFrame
    """With the ids that moved items leave behind."""
    moved: tuple[str, ...]
    """Published items that stand under another id now."""


def published_ids(release: Release) -> PublishedIds:
    """The ids of `release`; `BadInput` where an item has none, which nothing can be put beside."""
    table = read_table(release, "a refresh")
    if table[SemanticIds.SEMANTIC_ID].null_count():
        raise BadInput(
            f"{release.version} has items without an id, published by override; `sidmint run` "
            "and `sidmint publish` make a table that can take new items"
        )
    made_with = published_params(release)
    where = f"params.yaml of {release.version}: assign"
    layout = release.ids
    return PublishedIds(
        table=table,
        retired=pl.read_parquet(release.file(RETIRED)) if release.has(RETIRED) else table.clear(),
        sizes=layout.sizes,
        resolution=parse_settings(AssignParams, made_with.get("assign") or {}, where).resolution,
        has_suffix=layout.suffix_size > 0,
    )


def encode(
    model: Tokenizer, arrivals: Arrivals, rows: npt.NDArray[np.int64], track: Track
) -> Coded:
    """Codes of some arrivals and what they lose, a piece at a time."""
    from sidmint.tokenizers import check_vectors

    if model.uses_categories and arrivals.categories is None:
        raise BadInput(
            f"tokenizer {model.name!r} codes category paths, and the new items have no column "
            "categories; map one under ingest.columns"
        )
    parts, error = [], 0.0
    for start in track(pieces(len(rows)), "codes of the items"):
        piece = rows[start : start + ROWS_AT_ONCE]
        vectors = check_vectors(arrivals.vectors(piece), model.num_dimensions)
        paths = None if arrivals.categories is None else [arrivals.categories[n] for n in piece]
        parts.append(model.encode(vectors, categories=paths))
        lost = vectors - model.reconstruct(parts[-1])
        error += float(np.einsum("nd,nd->n", lost, lost).sum(dtype=np.float64))
    return Coded(np.concatenate(parts), error)


def place(
    published: PublishedIds,
    model: Tokenizer,
    arrivals: Arrivals,
    found: Sorted,
    move_changed: bool,
    track: Track,
) -> Placed:
    """Ids for the new ones of `arrivals`; with `move_changed` for changed ones too.

    A changed item whose codes are the published ones keeps its id. One that moves leaves its old id
    spent: it is given to nobody else. `BadInput` where there is nothing to place.
    """
    rows = np.union1d(found.new, found.changed) if move_changed else found.new
    if not len(rows):
        raise BadInput("there is neither a new item nor a changed one that may move")
    before = np.full(len(arrivals.item_ids), -1, dtype=np.int64)
    before[found.changed] = found.published_rows
    coded = encode(model, arrivals, rows, track)
    stays = (before[rows] >= 0) & (published.codes()[before[rows]] == coded.codes).all(axis=1)
    placed_rows, codes = rows[~stays], Codes(coded.codes[~stays], published.sizes)
    resolved = _resolve(published, model, arrivals, placed_rows, codes)
    old_rows = before[placed_rows]
    leaving = old_rows[old_rows >= 0]
    return Placed(
        coded_rows=rows,
        coded=coded,
        placed_rows=placed_rows,
        resolved=resolved,
        table=_table(published, arrivals.item_ids.gather(placed_rows), old_rows, resolved),
        retired=pl.concat([published.retired, published.table[leaving]]),
        moved=tuple(sorted(published.table[SemanticIds.ITEM_ID].gather(leaving).to_list())),
    )


def _resolve(
    published: PublishedIds,
    model: Tokenizer,
    arrivals: Arrivals,
    rows: npt.NDArray[np.int64],
    codes: Codes,
) -> Appended:
    """By the policy of the release.

    `sinkhorn` spreads the items of a bucket over last codes. Published ones cannot move, so nothing
    is left to balance, and new ones are matched to free codes.
    """
    if published.resolution == "suffix":
        return append_by_suffix(published.taken(), codes)
    from sidmint.tokenizers.last_level import last_level_distances

    distances = last_level_distances(model, arrivals.vectors(rows), codes.values)
    return append_by_reassignment(published.taken(), codes, distances)


def _table(
    published: PublishedIds, item_ids: pl.Series, old_rows: npt.NDArray[np.int64], ids: Appended
) -> pl.DataFrame:
    """The published table with `ids` for `item_ids`: in place of an old row, or behind all."""
    table, columns = published.table, published.code_columns
    parts = dict(zip(columns, ids.codes.values.T, strict=True))
    shown = [*columns, *([SemanticIds.SUFFIX] if published.has_suffix else [])]
    fresh = pl.DataFrame({SemanticIds.ITEM_ID: item_ids, **parts, SemanticIds.SUFFIX: ids.suffixes})
    text = pl.concat_str([pl.col(name).cast(pl.String) for name in shown], separator=SEPARATOR)
    fresh = fresh.with_columns(text.alias(SemanticIds.SEMANTIC_ID))
    fresh = fresh.select(table.columns).cast(table.schema)
    in_place = old_rows >= 0
    if in_place.any():
        changes = fresh.filter(in_place)
        table = table.with_columns(
            table[name].scatter(old_rows[in_place], changes[name]) for name in table.columns
        )
    return pl.concat([table, fresh.filter(~in_place)])


def _codes_of(table: pl.DataFrame, columns: Sequence[str]) -> Ints:
    return np.ascontiguousarray(table.select(columns).to_numpy(), dtype=np.int32)
