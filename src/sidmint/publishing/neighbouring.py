"""What is like an item, or like the text of a new one: answers from the index beside a table.

Shape letters: N items, D dimensions of a vector, L levels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from sidmint.artifacts import Artifacts
from sidmint.contracts import SemanticIds
from sidmint.embedding import ENCODERS, encode_texts, stored, unit_norm
from sidmint.errors import BadInput, did_you_mean
from sidmint.neighbours import load_index, search, vector_of
from sidmint.params import Params
from sidmint.publishing.bundle import NEIGHBOURS, describe_neighbours
from sidmint.publishing.files import digest
from sidmint.publishing.lookup import read_table
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
    """As in the manifest: see `bundle.describe_neighbours`."""
    tokenizer: str | None
    tokenizer_folder: Path | None

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
    path = _as_published(release, NEIGHBOURS)
    _as_published(release, "sids.parquet")
    found = IndexedItems(
        version=release.version,
        index=load_index(path),
        table=read_table(release),
        encoder=described["encoder"],
        tokenizer=manifest["tokenizer"],
        tokenizer_folder=release.whole("tokenizer"),
    )
    return _same_items(found, f"`sidmint verify {release.version}` says what is damaged")


def open_build(params: Params, artifacts: Artifacts) -> IndexedItems:
    """What stage embed made last, with the ids of the first of `train.tokenizers` that has some."""
    described = describe_neighbours(artifacts.json("embed", "embed"))
    layout = artifacts.layout
    names = params.train.tokenizers
    ready = (name for name in names if (layout.stage("assign", name) / "sids.parquet").is_file())
    tokenizer = next(ready, None)
    table = artifacts.items().select(SemanticIds.ITEM_ID)
    if tokenizer is not None:
        artifacts.codes("sids", tokenizer)  # its rows are the items', or this says so
        table = artifacts.table("assign", "sids", tokenizer)
    found = IndexedItems(
        version=None,
        index=artifacts.index("embed", "neighbours"),
        table=table,
        encoder=described["encoder"],
        tokenizer=tokenizer,
        tokenizer_folder=None if tokenizer is None else layout.stage("train", tokenizer),
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


def like_text(items: IndexedItems, text: str, k: int, root: Path) -> Neighbours:
    """The `k` items nearest to `text`, and the codes that the tokenizer gives it.

    `text` is read as it stands: to be compared with whole items it should look like what
    `embed.template` makes of one. A model that is a folder is looked for below `root`. `BadInput`
    where no encoder can make such vectors, or makes others than the index holds.
    """
    vector = _vector(items, text, root)
    codes = _codes(items, vector)
    listed = _nearest(items, vector, codes, k)
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


def _vector(items: IndexedItems, text: str, root: Path) -> Floats:
    """The vector (D,) of `text`, made as stage embed makes one, rounding to float16 included."""
    made_by, where = items.encoder, items.where
    name, model = made_by["name"], str(made_by["model"])
    if name not in ENCODERS:
        raise BadInput(
            f"the vectors of {where} came ready-made from {model}, so no encoder here can make one "
            "of a text; ask with an item id, or search the index with a vector from their source"
        )
    if made_by["second"]:
        raise BadInput(
            f"the vectors of {where} hold a second part from {made_by['second']['path']}, which a "
            "text does not have; ask with an item id"
        )
    if not text.strip():
        raise BadInput("--text wants words, got none")
    folder = root / model
    encoder = ENCODERS[name](str(folder) if folder.is_dir() else model)
    vectors = encode_texts(encoder, [text])
    if vectors.shape[1] != items.index.d:
        raise BadInput(
            f"{name} ({encoder.model}) gives vectors of {vectors.shape[1]} dimensions, the index "
            f"of {where} holds {items.index.d}; it wants the encoder that made it, {model}"
        )
    if not vectors.any():
        raise BadInput(f"{name} ({encoder.model}) knows no word of the text {text[:60]!r}")
    if made_by["unit_norm"]:
        vectors = unit_norm(vectors, [text], name)
    vector: Floats = stored(vectors, [text])[0].astype(np.float32)
    return vector


def _codes(items: IndexedItems, vector_D: Floats) -> Parts:
    """The codes of a vector; () where there is no tokenizer, or one that wants a category too."""
    if items.tokenizer_folder is None:
        return ()
    from sidmint.tokenizers import check_vectors, storage

    tokenizer = storage.load(items.tokenizer_folder)
    if tokenizer.uses_categories:
        return ()
    vectors = check_vectors(vector_D[None], tokenizer.num_dimensions)
    return tuple(tokenizer.encode(vectors)[0].tolist())


def _same_items(found: IndexedItems, way_out: str) -> IndexedItems:
    if found.index.ntotal != found.table.height:
        raise BadInput(
            f"the index of {found.where} holds {found.index.ntotal:,} items, its table "
            f"{found.table.height:,}; {way_out}"
        )
    return found


def _as_published(release: Release, name: str) -> Path:
    """The path of a file of the release whose bytes are those that were published."""
    path = release.file(name)
    listed = release.manifest["files"].get(name)
    if listed is None or digest(path) != listed["sha256"]:
        raise BadInput(
            f"{path} is not what was published: its sha256 is not the one in the manifest; "
            f"`sidmint verify {release.version}` says what is damaged"
        )
    return path
