"""Items that come after a release: read as its encoder reads, and told apart by what they are.

Shape letters: N published items, n items of the file, D dimensions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from sidmint.catalogue import check_ids, check_items, rows_of
from sidmint.contracts import Items
from sidmint.embedding import (
    ENCODERS,
    SOURCES,
    Encode,
    align_rows,
    check_rows,
    check_rows_of,
    encode_texts,
    item_texts,
    known_rows,
    stored,
    unit_norm,
)
from sidmint.errors import BadInput
from sidmint.neighbours import vectors_of
from sidmint.publishing.encoding import ReleaseEncoder
from sidmint.publishing.fusing import ReleaseSources, sources_file
from sidmint.publishing.versions import Release
from sidmint.types import Floats

ROWS_AT_ONCE = 1 << 13

OTHER_VECTOR = 0.02
"""Distance of two unit vectors from which on a text counts as changed: encoders in reduced
precision move the vector of one and the same text by less."""


class Given(Protocol):
    """What a user brought (`sources.new_items.NewItems`)."""

    @property
    def items(self) -> pl.DataFrame:
        """Rows under our column names."""
        ...

    @property
    def vectors(self) -> tuple[list[str], Floats] | None:
        """Item ids, and a vector (D,) for each; there may be more than are asked for."""
        ...

    @property
    def sources(self) -> Mapping[str, tuple[list[str], Floats]]:
        """The same by source, where vectors are joined from several."""
        ...

    @property
    def name(self) -> str:
        """What errors call the rows."""
        ...


@dataclass(frozen=True)
class Arrivals:
    """The items of one file by rising id, with the vectors that the tokenizer is to read."""

    item_ids: pl.Series
    halves: npt.NDArray[np.float16]
    """(n, D), rounded as those that the release was made from."""
    categories: list[str | None] | None
    """Paths, where the file has them."""

    def sha256(self) -> str:
        """Digest of ids and vectors: what the new ids are made from."""
        digest = hashlib.sha256("\n".join(self.item_ids.to_list()).encode())
        digest.update(np.ascontiguousarray(self.halves, dtype="<f2").data)
        return digest.hexdigest()

    def vectors(self, rows: npt.NDArray[np.int64] | slice) -> Floats:
        """Some rows in float32, as the tokenizer and the index read them."""
        return self.halves[rows].astype(np.float32)


def pieces(num_rows: int) -> range:
    """Where pieces of `ROWS_AT_ONCE` rows begin: small enough to stay in cache between steps."""
    return range(0, num_rows, ROWS_AT_ONCE)


@dataclass(frozen=True)
class Sorted:
    """Rows of `Arrivals` by what they are to a release. Every row is in one of the three."""

    new: npt.NDArray[np.int64]
    changed: npt.NDArray[np.int64]
    """Published under this id, with another text."""
    published_rows: npt.NDArray[np.int64]
    """Where each of `changed` stands in the published table."""
    num_known: int
    """Published, with the same text."""


def read_arrivals(
    given: Given, release: Release, root: Path, encode: Encode = encode_texts
) -> Arrivals:
    """The items that came, as the encoder of `release` reads them; `encode` reads their texts.

    Ready-made vectors are wanted exactly where the release's came ready-made; of joined ones, by
    source, for each that new items may not lack. A model that is a
    folder is looked for below `root`. `BadInput` for ids that are missing or repeated, for columns
    that the template asks for, and for vectors that are missing, not finite or of another width.
    """
    known = _checked(given.items, given.name)
    item_ids = known[Items.ITEM_ID]
    described = neighbours_of(release)
    made_by: Mapping[str, Any] = described["encoder"]
    _require_readable(made_by, release)
    if made_by["name"] == SOURCES:
        found = _joined(given, known, _sources_of(made_by, release, root), encode)
    else:
        found = _of_one_source(given, known, made_by, release, root, encode)
    if found.shape[1] != described["dimensions"]:
        raise BadInput(
            f"the new vectors have {found.shape[1]} dimensions, those of {release.version} "
            f"{described['dimensions']}; they want the encoder that made them, {made_by['model']}"
        )
    categories = known[Items.CATEGORIES].to_list() if Items.CATEGORIES in known.columns else None
    halves = _as_stored(found, item_ids, bool(made_by["unit_norm"]))
    return Arrivals(item_ids, halves, categories)


def _of_one_source(
    given: Given,
    known: pl.DataFrame,
    made_by: Mapping[str, Any],
    release: Release,
    root: Path,
    encode: Encode,
) -> Floats:
    if given.sources:
        raise BadInput(
            f"the vectors of {release.version} have one source, {made_by['model']}; leave out the "
            "name before --vectors FILE"
        )
    if made_by["name"] in ENCODERS:
        if given.vectors is not None:
            raise BadInput(
                f"{release.version} makes its vectors from text ({made_by['model']}); leave "
                "--vectors out"
            )
        encoder = ReleaseEncoder(made_by, None, None, release.version, root).encoder
        return encode(encoder, item_texts(made_by["template"], known))
    if given.vectors is None:
        raise BadInput(
            f"the vectors of {release.version} came ready-made from {made_by['model']}, so those "
            "of new items must too: --vectors FILE"
        )
    return _in_order(given.vectors, known[Items.ITEM_ID])


def _sources_of(made_by: Mapping[str, Any], release: Release, root: Path) -> ReleaseSources:
    return ReleaseSources(made_by["sources"], sources_file(release), release.version, root)


def _joined(given: Given, known: pl.DataFrame, sources: ReleaseSources, encode: Encode) -> Floats:
    """Texts from the items' columns, vectors from the files that were named."""
    if given.vectors is not None:
        files = [name for name in sources.heard if name not in sources.of_text]
        raise BadInput(
            f"the vectors of {sources.where} are joined from {', '.join(sources.heard)}; say whose "
            f"a file is: {' '.join(f'--vectors {name}=FILE' for name in files) or 'it wants none'}"
        )
    item_ids = known[Items.ITEM_ID].to_list()
    for name in given.sources:
        if name in sources.of_text:
            raise BadInput(f"source {name} is made from text; leave --vectors {name}=FILE out")
    said: dict[str, Any] = {
        name: item_texts(sources.heard[name]["template"], known) for name in sources.of_text
    }
    for name, (vector_ids, vectors) in given.sources.items():
        may_lack = sources.heard.get(name, {}).get("missing", "refuse") != "refuse"
        in_order = known_rows if may_lack else align_rows
        said[name] = in_order(vectors, vector_ids, item_ids, f"--vectors {name}")
        check_rows_of(vectors, vector_ids, item_ids, f"--vectors {name}")
    return sources.vectors(said, item_ids, encode)


def sort_out(arrivals: Arrivals, published: pl.Series, index: Any) -> Sorted:
    """Which arrivals are new to `published` (ids, row n the index's row n), changed, or known.

    A text counts as changed where its vector lies `OTHER_VECTOR` or more from the published one:
    what leaves the vector as it is cannot change an id.
    """
    place = rows_of(arrivals.item_ids, published)
    is_new = place.is_null().to_numpy()
    there = np.flatnonzero(~is_new)
    rows = place.drop_nulls().to_numpy().astype(np.int64)
    differs = _distances(arrivals.vectors(there), index, rows) >= OTHER_VECTOR
    return Sorted(
        new=np.flatnonzero(is_new),
        changed=there[differs],
        published_rows=rows[differs],
        num_known=int((~differs).sum()),
    )


def neighbours_of(release: Release) -> dict[str, Any]:
    """What the manifest says of the index; `BadInput` for a release without one."""
    described: dict[str, Any] | None = release.manifest.get("neighbours")
    if not described:
        raise BadInput(
            f"{release.version} holds no index of its vectors, as an older sidmint published it; "
            "`sidmint run` and `sidmint publish` make one that can take new items"
        )
    return described


def _checked(items: pl.DataFrame, name: str) -> pl.DataFrame:
    """By rising id, and with the titles that `ingest` would give them."""
    if Items.TITLE in items.columns:
        return check_items(items, name)[0]
    return check_ids(items, name).sort(Items.ITEM_ID)


def _in_order(vectors: tuple[list[str], Floats], item_ids: pl.Series) -> Floats:
    wanted = item_ids.to_list()
    if wanted == vectors[0]:
        return vectors[1]
    return align_rows(vectors[1], vectors[0], wanted, "--vectors")


def _as_stored(vectors: Floats, item_ids: pl.Series, is_unit: bool) -> npt.NDArray[np.float16]:
    """As stage embed stores them; a piece at a time, since each step reads all of it."""
    halves = np.empty(vectors.shape, dtype=np.float16)
    for start in pieces(len(vectors)):
        piece = slice(start, start + ROWS_AT_ONCE)
        part, named = vectors[piece], item_ids[piece].to_list()
        check_rows(part, named, "the new items")
        scaled = unit_norm(part, named, "the new items") if is_unit else part
        halves[piece] = stored(scaled, named)
    return halves


def _distances(vectors: Floats, index: Any, rows: npt.NDArray[np.int64]) -> Floats:
    """Distance of each direction (n, D) from the one that the index has in that row."""
    if not len(rows):
        return np.zeros(0, dtype=np.float32)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    there = vectors_of(index, rows)
    return np.asarray(np.linalg.norm(vectors / norms - there, axis=1), dtype=np.float32)


def _require_readable(made_by: Mapping[str, Any], release: Release) -> None:
    if made_by["second"]:
        raise BadInput(
            f"the vectors of {release.version} hold a second part from "
            f"{made_by['second']['path']}, as an older sidmint joined them, and a refresh cannot "
            "read it; name both under embed.sources, then `sidmint run` and `sidmint publish`"
        )
