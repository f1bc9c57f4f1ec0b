"""What is like an item, or like the text of a new one: answers from the index beside a table.

Shape letters: N items, D dimensions of a vector, L levels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from sidmint.artifacts import Artifacts
from sidmint.contracts import SemanticIds
from sidmint.errors import BadInput, did_you_mean
from sidmint.neighbours import load_index, search, vector_of
from sidmint.params import Params
from sidmint.publishing.describing import describe_neighbours
from sidmint.publishing.encoding import ReleaseEncoder
from sidmint.publishing.files import NEIGHBOURS, SOURCES_FILE
from sidmint.publishing.fusing import sources_file
from sidmint.publishing.tables import read_table
from sidmint.publishing.versions import Release
from sidmint.types import Floats

Parts = tuple[int | None, ...]
"""The codes of one item, first level first."""


@dataclass(frozen=True)
class Neighbour:
    """One place of a list."""

    rank: int
    """From 1."""
    item_id: str
    similarity: float
    """Cosine of the two vectors: 1, up to rounding, for equal directions; falls along the list."""
    semantic_id: str | None
    shared_prefix: int | None
    """How many leading codes it has in common with what was asked for, 0 to L; a suffix is not
    counted. None where either has no codes."""


@dataclass(frozen=True)
class Neighbours:
    """What is like `item_id`, or like `text`; the other of the two is None."""

    version: str | None
    """None: the workspace's data/build."""
    tokenizer: str | None
    """Whose ids these are; None where no table has been made yet, and then no item has one."""
    item_id: str | None
    text: str | None
    semantic_id: str | None
    """Of a text: its codes, before any that collide are resolved."""
    items: tuple[Neighbour, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


@dataclass(frozen=True)
class IndexedItems:
    """An index of N items, the table whose rows it numbers, and what made their vectors."""

    version: str | None
    index: Any
    table: pl.DataFrame
    """`item_id`, and the columns of `contracts.SemanticIds` where there are ids."""
    encoder: Mapping[str, Any]
    """As in the manifest: see `describing.describe_neighbours`."""
    tokenizer: str | None
    tokenizer_folder: Path | None
    sources_file: Path | None = None
    """What was fitted of `embed.sources`, where vectors were joined from several."""

    @property
    def where(self) -> str:
        """What errors call it."""
        return self.version or "data/build"

    def semantic_id(self, row: int) -> str | None:
        """The id of an item; None where it has none."""
        has_ids = SemanticIds.SEMANTIC_ID in self.table.columns
        return self.table[SemanticIds.SEMANTIC_ID][row] if has_ids else None

    def codes(self, row: int) -> Parts:
        """The codes of an item, () where there is no table of ids."""
        return self.table.select(r"^code_\d+$").row(row) if self.tokenizer else ()

    def new_items(self, root: Path) -> ReleaseEncoder:
        """What makes vectors and codes of others; a model that is a folder lies below `root`."""
        return ReleaseEncoder(
            self.encoder,
            self.index.d,
            self.tokenizer_folder,
            self.where,
            root,
            self.sources_file,
        )


def open_release(release: Release) -> IndexedItems:
    """The index and the table of a release, each checked against the manifest's sha256.

    `BadInput` where the release has no index, where a file is not what was published, and where
    index and table hold different numbers of items.
    """
    manifest = release.manifest
    described = manifest.get("neighbours")
    if not described:
        raise BadInput(
            f"{release.version} holds no index of neighbours: an older sidmint published it; "
            "publish again, or ask the workspace: --from data"
        )
    path = release.intact_file(NEIGHBOURS)
    found = IndexedItems(
        version=release.version,
        index=load_index(path),
        table=read_table(release, "a list of neighbours"),
        encoder=described["encoder"],
        tokenizer=manifest["tokenizer"],
        tokenizer_folder=release.whole("tokenizer"),
        sources_file=sources_file(release),
    )
    return _same_items(found, f"`sidmint verify {release.version}` says what is damaged")


def open_build(params: Params, artifacts: Artifacts) -> IndexedItems:
    """What stage embed made last, with the ids of the first of `train.tokenizers` that has some."""
    described = describe_neighbours(artifacts.json("embed", "embed"))
    layout = artifacts.layout
    names = params.train.tokenizers
    tokenizer = next((name for name in names if artifacts.has_table("assign", "sids", name)), None)
    table = artifacts.items().select(SemanticIds.ITEM_ID)
    if tokenizer is not None:
        artifacts.codes("sids", tokenizer)  # its rows are the items', or this says so
        table = artifacts.table("assign", "sids", tokenizer)
    fitted = layout.stage("embed") / SOURCES_FILE
    found = IndexedItems(
        version=None,
        index=artifacts.index("embed", "neighbours"),
        table=table,
        encoder=described["encoder"],
        tokenizer=tokenizer,
        tokenizer_folder=None if tokenizer is None else layout.stage("train", tokenizer),
        sources_file=fitted if fitted.is_file() else None,
    )
    return _same_items(found, "`sidmint run` brings every stage up to date")


def like_item(items: IndexedItems, item_id: str, k: int) -> Neighbours:
    """The `k` items nearest to `item_id`, itself left out.

    Of more equals than fit, the index chooses who is listed. `BadInput` for an unknown id.
    """
    item_ids = items.table[SemanticIds.ITEM_ID]
    row = item_ids.index_of(item_id)
    if row is None:
        raise BadInput(
            f"{items.where} has no item {item_id!r} among its {len(item_ids):,} items"
            f"{did_you_mean(item_id, item_ids.to_list(), most=3)}"
        )
    listed = _nearest(items, vector_of(items.index, row), items.codes(row), k, without=row)
    return Neighbours(items.version, items.tokenizer, item_id, None, items.semantic_id(row), listed)


def like_text(items: IndexedItems, text: str, k: int, new: ReleaseEncoder) -> Neighbours:
    """The `k` items nearest to `text`, and the codes that the tokenizer gives it.

    `text` is read as it stands: to be compared with whole items it should look like what
    `embed.template` makes of one. `BadInput` where no encoder can make such vectors, or makes
    others than the index holds.
    """
    return _like_new(items, new.vectors_of([text])[0], k, new, text)


def like_vector(
    items: IndexedItems, vector_D: npt.ArrayLike, k: int, new: ReleaseEncoder
) -> Neighbours:
    """The `k` items nearest to `vector_D`, of the source of the catalogue's own, and its codes."""
    return _like_new(items, new.ready(np.asarray(vector_D)[None])[0], k, new, None)


def _like_new(
    items: IndexedItems, vector_D: Floats, k: int, new: ReleaseEncoder, text: str | None
) -> Neighbours:
    codes = _codes(items, new, vector_D)
    listed = _nearest(items, vector_D, codes, k)
    semantic_id = "-".join(map(str, codes)) or None
    return Neighbours(items.version, items.tokenizer, None, text, semantic_id, listed)


def _nearest(
    items: IndexedItems, vector_D: Floats, codes: Parts, k: int, without: int = -1
) -> tuple[Neighbour, ...]:
    rows, cosines = search(items.index, vector_D[None], k + (without >= 0))
    found = [
        (row, cosine)
        for row, cosine in zip(rows[0].tolist(), cosines[0].tolist(), strict=True)
        if row >= 0 and row != without
    ]
    return tuple(
        Neighbour(
            rank=rank,
            item_id=items.table[SemanticIds.ITEM_ID][row],
            similarity=cosine,
            semantic_id=items.semantic_id(row),
            shared_prefix=_shared(codes, items.codes(row)),
        )
        for rank, (row, cosine) in enumerate(found[:k], start=1)
    )


def _shared(one: Parts, other: Parts) -> int | None:
    """How many leading parts are equal; None where one is not there."""
    if not one or not other or None in (*one, *other):
        return None
    differs = (place for place, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
    return next(differs, len(one))


def _codes(items: IndexedItems, new: ReleaseEncoder, vector_D: Floats) -> Parts:
    """The codes of a vector; () where there is no tokenizer, or one that wants a category too."""
    if items.tokenizer is None or new.tokenizer.uses_categories:
        return ()
    return tuple(new.codes(vector_D[None])[0].tolist())


def _same_items(found: IndexedItems, way_out: str) -> IndexedItems:
    if found.index.ntotal != found.table.height:
        raise BadInput(
            f"the index of {found.where} holds {found.index.ntotal:,} items, its table "
            f"{found.table.height:,}; {way_out}"
        )
    return found
