"""New items of a release whose vectors were joined from several sources: what each must bring.

Shape letters: n items, d dimensions of one source, D of the joined vectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file

from sidmint.embedding import (
    Encode,
    FittedSource,
    TextEncoder,
    as_vectors,
    encode_texts,
    has_vector,
    join,
    load_encoder,
)
from sidmint.errors import BadInput, did_you_mean
from sidmint.publishing.files import SOURCES_FILE
from sidmint.publishing.versions import Release
from sidmint.types import Floats

Given = Mapping[str, Sequence[str] | npt.ArrayLike]
"""By source: texts for one with an encoder, vectors (n, d) for one with a file; a row of NaN is an
item without a vector."""


def sources_file(release: Release) -> Path | None:
    """What was fitted of the sources of `release`, intact; None where it has one source."""
    listed = SOURCES_FILE in release.manifest["files"]
    return release.intact_file(SOURCES_FILE) if listed else None


@dataclass(frozen=True)
class ReleaseSources:
    """The sources of one release or build, as its description of the encoder lists them.

    `file` is its sources.safetensors, `where` what errors call it all; a model that is a folder
    lies below `root`.
    """

    described: Mapping[str, Mapping[str, Any]]
    file: Path | None
    where: str
    root: Path

    @cached_property
    def heard(self) -> dict[str, Mapping[str, Any]]:
        """Those that have a part in the vectors, by name; their order is that of the parts."""
        return {name: each for name, each in sorted(self.described.items()) if each["weight"]}

    @property
    def of_text(self) -> tuple[str, ...]:
        """Those whose vectors an encoder makes of text."""
        return tuple(name for name, each in self.heard.items() if each["encoder"])

    @property
    def wanted(self) -> tuple[str, ...]:
        """Those without which an item cannot be encoded."""
        return tuple(name for name, each in self.heard.items() if each["missing"] == "refuse")

    @property
    def reads_texts(self) -> bool:
        """Whether one text is enough for an item: one source reads it, and the others may lack."""
        return len(self.of_text) == 1 and self.wanted == self.of_text

    @cached_property
    def fitted(self) -> dict[str, FittedSource]:
        """What was fitted of each; `BadInput` where the file is not there or does not fit."""
        try:
            tensors = load_file(self.file) if self.file is not None else {}
            return {
                name: FittedSource.from_tensors(name, each, tensors)
                for name, each in self.heard.items()
            }
        except (OSError, SafetensorError, KeyError) as error:
            raise BadInput(
                f"{self.where}: what was fitted of its sources cannot be read ({error}); "
                "publish it again"
            ) from error

    @cached_property
    def encoders(self) -> dict[str, TextEncoder]:
        """What reads the texts of each source that has one."""
        return {
            name: load_encoder(self.heard[name]["encoder"], self.heard[name]["model"], self.root)
            for name in self.of_text
        }

    def vectors(
        self, given: Given, item_ids: Sequence[str], encode: Encode = encode_texts
    ) -> Floats:
        """Joined vectors (n, D) of the items, before they are scaled as a whole.

        `encode` reads the texts.

        `BadInput` names a source that is wanted and not given, one that is not of the release or
        has no part in its vectors, and what is wrong with a row.
        """
        self._check_names(given)
        return join(
            [
                self.fitted[name].part(
                    self._raw(name, given.get(name), len(item_ids), encode), item_ids
                )
                for name in self.heard
            ]
        )

    def _raw(
        self,
        name: str,
        given: Sequence[str] | npt.ArrayLike | None,
        num_items: int,
        encode: Encode,
    ) -> Floats:
        if given is None:
            shape = (num_items, self.fitted[name].num_dimensions)
            return np.full(shape, np.nan, dtype=np.float32)
        if name in self.of_text:
            return encode(self.encoders[name], _texts(name, given, num_items))
        try:
            vectors = as_vectors(np.asarray(given, dtype=np.float32), f"source {name}")
        except (TypeError, ValueError) as error:
            raise BadInput(f"source {name} wants vectors of numbers: {error}") from error
        if len(vectors) != num_items:
            raise BadInput(f"source {name} has {len(vectors)} vectors for {num_items} items")
        if not has_vector(vectors).any() and self.fitted[name].filler is None:
            raise self._lacks([name])
        return vectors

    def _check_names(self, given: Given) -> None:
        for name in given:
            if name not in self.described:
                raise BadInput(
                    f"{self.where} has no source {name!r}; it has {', '.join(self.described)}"
                    f"{did_you_mean(name, list(self.described))}"
                )
            if name not in self.heard:
                raise BadInput(
                    f"source {name} has weight 0 in {self.where}, no part in its vectors; leave it "
                    "out"
                )
        lacking = [name for name in self.wanted if name not in given]
        if lacking:
            raise self._lacks(lacking)

    def _lacks(self, names: Sequence[str]) -> BadInput:
        what = [
            f"{name} ({'texts for' if name in self.of_text else 'vectors as in'} "
            f"{self.heard[name]['model']})"
            for name in names
        ]
        return BadInput(
            f"the vectors of {self.where} are joined from {', '.join(self.heard)}, and new items "
            f"lack {', '.join(what)}; bring it, or make a catalogue whose embed.sources let it be "
            "missing"
        )


def _texts(name: str, given: Any, num_items: int) -> list[str]:
    texts = list(given)
    for place, text in enumerate(texts, start=1):
        if not isinstance(text, str) or not text.strip():
            raise BadInput(
                f"source {name} reads texts; number {place} of {len(texts)} wants words, got "
                f"{text!r}"
            )
    if len(texts) != num_items:
        raise BadInput(f"source {name} has {len(texts)} texts for {num_items} items")
    return texts
