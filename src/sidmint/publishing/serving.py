"""A published table opened for programs: what an item's id is, and what an id, text or vector is.

    table = sidmint.load("registry/demo", "champion")
    table.semantic_id("B004756YJA")

Shape letters: N items, M parts of an id (L levels and the suffix, where there is one), n asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from sidmint.disk import digest
from sidmint.errors import BadInput
from sidmint.layout import find_workspace
from sidmint.publishing.encoding import Encoded, ReleaseEncoder
from sidmint.publishing.files import TOKENIZER_FILES
from sidmint.publishing.fusing import Given, sources_file
from sidmint.publishing.lookup import parse_prefix
from sidmint.publishing.neighbouring import (
    IndexedItems,
    Neighbours,
    like_item,
    like_text,
    like_vector,
    open_release,
)
from sidmint.publishing.opening import open_place
from sidmint.publishing.published_rows import open_rows
from sidmint.publishing.verify import logged_digests
from sidmint.publishing.versions import Release
from sidmint.semantic_ids import format_id
from sidmint.types import Ints

if TYPE_CHECKING:  # these bring torch, which a lookup does not need
    from sidmint.publishing.id_trie import IdTrie
    from sidmint.publishing.recommending import Answer, OpenRecommender

CHAMPION = "champion"

Texts = Sequence[str] | pl.Series | npt.NDArray[Any]
Unknown = Literal["refuse", "null"]


def load(registry: str | Path, version: str = CHAMPION) -> PublishedTable:
    """The `version` of the `registry` ("registry/demo", "s3://BUCKET/PREFIX"), opened to read.

    "champion" is whatever the pointer names now: the table stays that version when the pointer
    moves. The manifest must be the one that the log names, and every file that is opened the one
    that the manifest names, by SHA-256; else `BadInput`, as for a folder that is no registry and
    a version that is not there or never was champion. Of a bucket, what is read is kept in
    the user's cache.
    """
    store = open_place(str(registry))
    head = store.head()
    pointer = head.champion if head else None
    if pointer is None and not store.versions():
        raise BadInput(
            f"{store.where} holds no published table; give what registry.path of params.yaml "
            "names, and `sidmint publish` one if there is none yet"
        )
    named = pointer.version if pointer is not None and version == CHAMPION else version
    release = store.release(None if named == CHAMPION else named)
    wanted = logged_digests(store, head).get(release.version)
    if wanted is None:
        raise BadInput(
            f"{release.version} is in no line of the log: its making was interrupted, and nothing "
            "reads it"
        )
    if digest(release.file("manifest.json")) != wanted:
        raise BadInput(
            f"{release.where}/manifest.json is not what was published: its sha256 is not the "
            f"one in the log; `sidmint verify {release.version}` says what is damaged"
        )
    return PublishedTable(release)


class PublishedTable:
    """One version of a registry, which never changes. `load` opens it.

    A table in one file is read at once. Of one in parts a question reads the parts that may hold
    its answer; `item_ids`, `parts`, `trie`, `neighbours` and `recommend` read all of it, and are
    `BadInput` above `tables.MOST_ROWS` items. The tokenizer, the text encoder, the index of
    neighbours and the recommender are read at the first question that needs them, and kept.
    """

    def __init__(self, release: Release) -> None:
        self.version = release.version
        """Its name in the registry, "v0003"."""
        self.manifest = release.manifest
        """Origin, layout of the ids, encoder of the vectors, sha256 of every file."""
        self.sizes = release.ids.part_sizes
        """How many values each part of an id can take, (K_1, ..., K_M)."""
        self._release = release
        self._rows = open_rows(release)

    def __len__(self) -> int:
        return self._rows.num_items

    def __repr__(self) -> str:
        return f"<PublishedTable {self.version}: {len(self):,} items, parts of {self.sizes}>"

    @property
    def item_ids(self) -> pl.Series:
        """The ids of all N items, in the row order of the table."""
        return self._rows.item_ids

    @property
    def parts(self) -> Ints:
        """The parts of all ids (N, M) int32, rows as `item_ids`; -1 where an item has no id."""
        return self._rows.parts

    def semantic_id(self, item: str) -> str:
        """The Semantic ID of one item; `BadInput` for one that the table does not have."""
        found, is_known = self._rows.semantic_id(item)
        if not is_known:
            raise self._no_item(item)
        if found is None:
            raise BadInput(f"item {item!r} has no Semantic ID in {self.version}")
        return str(found)

    def semantic_ids(self, items: Texts, unknown: Unknown = "refuse") -> pl.Series:
        """The Semantic IDs of many items, in their order: one join, whatever their number.

        An item that the table does not have is `BadInput`, or null under `unknown="null"`.
        """
        asked = _as_texts(items, "items")
        found, is_known = self._rows.semantic_ids(asked)
        if unknown == "refuse" and not is_known.all():
            raise self._no_item(str(asked[int((~is_known).arg_true()[0])]))
        return found

    def item(self, semantic_id: str) -> str:
        """The item that has this whole Semantic ID; `BadInput` where no item has it."""
        found = self._rows.item(semantic_id)
        if found is None:
            raise self._no_id(semantic_id)
        return found

    def items(self, semantic_ids: Texts, unknown: Unknown = "refuse") -> pl.Series:
        """The items that have these whole Semantic IDs, in their order; as `semantic_ids`."""
        asked = _as_texts(semantic_ids, "semantic_ids")
        found = self._rows.items(asked)
        if unknown == "refuse" and found.null_count():
            raise self._no_id(str(asked[int(found.is_null().arg_true()[0])]))
        return found

    def items_under(self, prefix: str) -> pl.Series:
        """The items whose Semantic ID is, or begins with, `prefix`, in row order; may be none.

        "12-7" finds every item below those two codes. `BadInput` for what cannot be an id here.
        """
        parts = parse_prefix(prefix, self.sizes, self.version)
        return self._rows.under(parts)

    def encode(
        self,
        texts: Sequence[str] | None = None,
        *,
        vectors: npt.ArrayLike | None = None,
        sources: Given | None = None,
        categories: Sequence[str | None] | None = None,
    ) -> Encoded:
        """Codes of items that need not be in the table, from their texts or their vectors.

        One of the three is wanted. Texts should look like what `embed.template` makes of an item
        (`manifest["neighbours"]["encoder"]["template"]`); vectors (n, D) come from the source of
        the catalogue's own, scaled or not. `categories` are for a tokenizer that reads them.

        Where vectors were joined (`embed.sources`), `sources` has by name what each says of the n
        items: texts, or vectors (n, d) as its file has them; a row of NaN, or a source left out,
        is only for one that may be missing. Texts alone are enough where the others may.

        The answer is what the tokenizer says, without a suffix: an item's final id, told apart
        from others with its codes, is given by a release only (see `Encoded`). For an item of the
        table `semantic_id` has it.
        """
        if sum(each is not None for each in (texts, vectors, sources)) != 1:
            raise BadInput("encode wants texts, vectors or sources, one of the three")
        if isinstance(texts, str):
            raise BadInput("texts wants a list of texts, got one text; put it in a list")
        new = self._new_items
        if sources is not None:
            return Encoded(new.codes(new.joined(sources), categories))
        ready = new.vectors_of(list(texts)) if texts is not None else new.ready(vectors)  # type: ignore[arg-type]
        return Encoded(new.codes(ready, categories))

    def neighbours(
        self,
        item: str | None = None,
        *,
        text: str | None = None,
        vector: npt.ArrayLike | None = None,
        k: int = 10,
    ) -> Neighbours:
        """The `k` items most like an item, a text or a vector (D,): one of the three is wanted.

        As `sidmint neighbours` prints them. `BadInput` for a release without an index.
        """
        if sum(each is not None for each in (item, text, vector)) != 1:
            raise BadInput("neighbours wants an item, text= or vector=, one of the three")
        if k < 1:
            raise BadInput(f"k wants 1 or more, got {k}")
        if item is not None:
            return like_item(self._indexed, item, k)
        if text is not None:
            return like_text(self._indexed, text, k, self._new_items)
        return like_vector(self._indexed, np.asarray(vector), k, self._new_items)

    @cached_property
    def trie(self) -> IdTrie:
        """The ids by prefix, for decoding: what may follow, as lists, masks, or a function.

        `trie.for_generate` gives a `prefix_allowed_tokens_fn`. Items without an id are left out.
        """
        from sidmint.publishing.id_trie import IdTrie

        return IdTrie(self._whole_ids, self.sizes)

    def recommend(self, history: Sequence[str], k: int = 10) -> Answer:
        """The `k` items that the release's recommender puts after `history`, oldest first.

        `BadInput` for a release without a recommender, and for an item that it does not have.
        """
        return self._recommender.next(list(history), k)

    @property
    def _whole_ids(self) -> Ints:
        parts = self.parts
        return np.unique(parts[(parts >= 0).all(axis=1)], axis=0)

    @cached_property
    def _new_items(self) -> ReleaseEncoder:
        release = self._release
        for name in TOKENIZER_FILES:
            release.intact_file(f"tokenizer/{name}")
        described = self.manifest.get("neighbours") or {}
        return ReleaseEncoder(
            described.get("encoder"),
            described.get("dimensions"),
            release.whole("tokenizer"),
            self.version,
            _root_of(release.folder),
            sources_file(release),
        )

    @cached_property
    def _indexed(self) -> IndexedItems:
        return open_release(self._release)

    @cached_property
    def _recommender(self) -> OpenRecommender:
        from sidmint.publishing.recommending import OpenRecommender

        return OpenRecommender(self._release)

    def _no_item(self, item: str) -> BadInput:
        return BadInput(
            f"{self.version} has no item {item!r} among its {len(self):,} items"
            f"{self._rows.look_alikes(item)}"
        )

    def _no_id(self, semantic_id: str) -> BadInput:
        parts = parse_prefix(semantic_id, self.sizes, self.version)
        if len(parts) < len(self.sizes):
            return BadInput(
                f"{semantic_id!r} is a prefix of {len(self.sizes)} parts and no whole id; "
                "`items_under` lists the items below it"
            )
        near = format_id(parts)
        hint = f"; write {near}" if near != semantic_id and self._rows.item(near) else ""
        return BadInput(f"no item of {self.version} has the Semantic ID {semantic_id!r}{hint}")


def _as_texts(values: Texts, what: str) -> pl.Series:
    if isinstance(values, str):
        raise BadInput(f"{what} wants many texts, got one; ask for it in the singular")
    try:
        return pl.Series("id", values, dtype=pl.String)
    except (TypeError, pl.exceptions.PolarsError) as error:
        raise BadInput(f"{what} wants texts: {error}") from error


def _root_of(folder: Path) -> Path:
    """The workspace that a release lies in, below which models in folders lie; else here."""
    try:
        return find_workspace(folder).root
    except BadInput:
        return Path()
