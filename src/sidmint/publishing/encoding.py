"""From the text or the vector of an item that no table holds yet to its codes.

Shape letters: n items asked for, D dimensions of a vector, L levels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from sidmint.embedding import (
    ENCODERS,
    SOURCES,
    TextEncoder,
    encode_texts,
    load_encoder,
    stored,
    unit_norm,
)
from sidmint.embedding.checks import norms
from sidmint.errors import BadInput
from sidmint.publishing.fusing import Given, ReleaseSources
from sidmint.types import Floats, Ints

if TYPE_CHECKING:
    from sidmint.tokenizers import Tokenizer

_IS_UNIT = 1e-3
"""A norm this near to 1 is 1: float16 rounds a unit vector by less, and scaling one again could
move it off the vector that was stored."""


@dataclass(frozen=True)
class Encoded:
    """What a tokenizer says of n items: their codes, not yet told apart from other items'.

    Two items may share codes. The suffix, or the moved last code, that makes an id unique is
    given to a whole catalogue by stage assign: a new item has its final id with the next release.
    """

    codes: Ints
    """(n, L) int32."""

    @property
    def semantic_ids(self) -> list[str]:
        """The codes as text, "12-7-201": a prefix of the id that a release gives, with suffixes."""
        return joined(self.codes).to_list()


def joined(codes: Ints) -> pl.Series:
    """Rows of `codes` (n, L) joined by "-", without a loop over rows."""
    columns = {f"code_{level}": codes[:, level] for level in range(codes.shape[1])}
    return pl.DataFrame(columns).select(pl.concat_str(pl.all(), separator="-")).to_series()


class ReleaseEncoder:
    """The encoder and the tokenizer of one release or build, each loaded at its first use.

    `made_by` is what a manifest says of the encoder (`describe_neighbours`), None where a
    release does not name it; `dimensions` D of its vectors. `where` is what errors call it all. An
    encoder whose model is a folder is looked for below `root`. `sources_file` is what was fitted of
    `embed.sources`, where vectors were joined from several.
    """

    def __init__(
        self,
        made_by: Mapping[str, Any] | None,
        dimensions: int | None,
        tokenizer_folder: Path | None,
        where: str,
        root: Path,
        sources_file: Path | None = None,
    ) -> None:
        self.made_by, self.dimensions, self.where = made_by, dimensions, where
        self._tokenizer_folder, self._root = tokenizer_folder, root
        self._sources_file = sources_file

    @cached_property
    def sources(self) -> ReleaseSources | None:
        """What the vectors were joined from; None where they have one source."""
        if self.made_by is None or self.made_by["name"] != SOURCES:
            return None
        return ReleaseSources(self.made_by["sources"], self._sources_file, self.where, self._root)

    @cached_property
    def encoder(self) -> TextEncoder:
        """What makes vectors of texts; `BadInput` where the vectors came from elsewhere."""
        if self.made_by is None:
            raise BadInput(
                f"{self.where} does not name the encoder of its vectors: an older sidmint "
                "published it; publish again, or give vectors"
            )
        name, model = self.made_by["name"], str(self.made_by["model"])
        if name not in ENCODERS:
            raise BadInput(
                f"the vectors of {self.where} came ready-made from {model}, so no encoder here can "
                "make one of a text; ask with an item id, or give a vector from their source"
            )
        if self.made_by["second"]:
            raise BadInput(
                f"the vectors of {self.where} hold a second part from "
                f"{self.made_by['second']['path']}, which a text does not have; ask with an item "
                "id, or give whole vectors"
            )
        return load_encoder(name, model, self._root)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The fitted tokenizer; `BadInput` where its files are not those that were written."""
        from sidmint.tokenizers import storage

        if self._tokenizer_folder is None:
            raise BadInput(f"{self.where} has no tokenizer yet; `sidmint run` trains one")
        return storage.load(self._tokenizer_folder)

    def vectors_of(self, texts: Sequence[str]) -> Floats:
        """Vectors (n, D) of `texts` as stage embed stores them, the rounding to float16 included.

        A text is read as it stands: to be compared with whole items it should look like what
        `embed.template` makes of one (`neighbours.encoder.template` in the manifest). `BadInput`
        names a text without words, or without one that the encoder knows.
        """
        if not len(texts):
            raise BadInput("there are no texts to encode; give one at least")
        if self.sources is not None:
            return self.joined(_of_texts(self.sources, texts))
        for place, text in enumerate(texts, start=1):
            if not isinstance(text, str) or not text.strip():
                raise BadInput(f"text {place} of {len(texts)} wants words, got {text!r}")
        vectors = encode_texts(self.encoder, texts)
        name = f"{self.made_by['name']} ({self.encoder.model})" if self.made_by else ""
        if self.dimensions is not None and vectors.shape[1] != self.dimensions:
            raise BadInput(
                f"{name} gives vectors of {vectors.shape[1]} dimensions, the index of {self.where} "
                f"holds {self.dimensions}; it wants the encoder that made it, "
                f"{self.made_by['model'] if self.made_by else ''}"
            )
        empty = np.flatnonzero(~vectors.any(axis=1))
        if len(empty):
            raise BadInput(f"{name} knows no word of the text {texts[int(empty[0])][:60]!r}")
        if self.made_by is not None and self.made_by["unit_norm"]:
            vectors = unit_norm(vectors, texts, name)
        return stored(vectors, texts).astype(np.float32)

    def joined(self, given: Given) -> Floats:
        """Vectors (n, D) of what each source says of n new items, as stage embed stores them.

        `given` has, by the name of the source, texts or vectors (`fusing.Given`). `BadInput` for a
        release of one source, and for what `ReleaseSources.vectors` refuses.
        """
        if self.sources is None:
            raise BadInput(
                f"the vectors of {self.where} have one source; give texts or vectors, without a "
                "name"
            )
        alone = next((name for name, each in given.items() if isinstance(each, str)), None)
        if alone is not None:
            raise BadInput(f"source {alone} wants a list of texts, got one text; put it in a list")
        sizes = [len(each) for each in given.values() if isinstance(each, Sized)]
        if not sizes or not sizes[0]:
            raise BadInput("there are no items to encode; give a list for each source")
        names = [str(place) for place in range(1, sizes[0] + 1)]
        vectors = self.sources.vectors(given, names)
        if self.made_by is not None and self.made_by["unit_norm"]:
            vectors = unit_norm(vectors, names, "the joined sources")
        return stored(vectors, names).astype(np.float32)

    def ready(self, vectors: npt.ArrayLike) -> Floats:
        """`vectors` (n, D) from the source of the catalogue's own, as stage embed stores them.

        They may come as the encoder gives them or as embed stored them: where the release scales
        vectors to unit norm, rows that do not have it are scaled. Raises `BadInput` for another
        number of dimensions, and for rows with NaN, infinity or, to be scaled, without a direction.
        """
        from sidmint.tokenizers import check_vectors

        try:
            values = np.asarray(vectors, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise BadInput(f"vectors want numbers, as many in every row: {error}") from error
        if values.ndim != 2 or not len(values):
            raise BadInput(f"vectors want the shape (items, dimensions), got {values.shape}")
        values = check_vectors(values, self.dimensions or self.tokenizer.num_dimensions)
        names = list(map(str, range(len(values))))
        if self.made_by is not None and self.made_by["unit_norm"]:
            off = np.flatnonzero(np.abs(norms(values) - 1) > _IS_UNIT)
            values = values.copy()
            values[off] = unit_norm(values[off], [names[row] for row in off], "vectors")
        return stored(values, names).astype(np.float32)

    def codes(self, vectors: Floats, categories: Sequence[str | None] | None = None) -> Ints:
        """Codes (n, L) of vectors that `vectors_of` or `ready` gave.

        `categories` are the paths of the items, which only a tokenizer that reads them wants;
        `BadInput` where it goes without, or where another is given some.
        """
        from sidmint.tokenizers import check_vectors

        if self.tokenizer.uses_categories != (categories is not None):
            wants = "wants the category path of each item" if categories is None else "reads none"
            raise BadInput(f"categories: the tokenizer {self.tokenizer.name} {wants}")
        if categories is not None and len(categories) != len(vectors):
            raise BadInput(f"{len(vectors)} items want as many categories, got {len(categories)}")
        checked = check_vectors(vectors, self.tokenizer.num_dimensions)
        return self.tokenizer.encode(checked, categories=categories)


def _of_texts(sources: ReleaseSources, texts: Sequence[str]) -> Given:
    """`texts` for the one source that reads some; `BadInput` where none does, or several do."""
    if len(sources.of_text) != 1:
        raise BadInput(
            f"the vectors of {sources.where} are joined from {', '.join(sources.heard)}, of which "
            f"{', '.join(sources.of_text) or 'none'} read texts; say which: sources={{NAME: texts}}"
        )
    return {sources.of_text[0]: texts}
