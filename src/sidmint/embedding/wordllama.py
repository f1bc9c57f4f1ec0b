"""Encoder `wordllama`: mean of static token vectors, 256 dimensions, from the package itself.

The package carries its model (19 MB, MIT), so nothing is downloaded. Vector norms fall with
the length of the text: keep `embed.unit_norm` on.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sidmint.embedding.base import ENCODERS
from sidmint.embedding.identity import digest_of_files, versions
from sidmint.types import Floats


@ENCODERS.register("wordllama")
class WordLlamaEncoder:
    """The model inside the installed `wordllama`; `embed.model` is not read."""

    model = "wordllama-l2-supercat-256"

    def __init__(self, model: str = "") -> None:
        wordllama = _import_quietly()
        # A plain load() looks for the tokenizer in the home folder and then on the network.
        self._folder = Path(wordllama.__file__).parent
        self._model = wordllama.WordLlama.load(cache_dir=self._folder, disable_download=True)

    def __reduce__(self) -> tuple[Any, ...]:
        """A process that is sent this encoder loads its own."""
        return type(self), ()

    def encode(self, texts: Sequence[str]) -> Floats:
        """Vectors (n, 256) float32, not normalised."""
        return np.asarray(self._model.embed(list(texts), batch_size=len(texts)), dtype=np.float32)

    def identity(self) -> Mapping[str, str]:
        """Weights, vocabulary, and the versions of what reads them."""
        files = [path for part in _PARTS for path in (self._folder / part).iterdir()]
        return {
            "encoder": "wordllama",
            "files": digest_of_files(self._folder, files),
            "versions": versions("wordllama", "tokenizers", "numpy"),
        }


_PARTS = ("weights", "tokenizers")


def _import_quietly() -> Any:
    """`wordllama`, with the root logger as it was: importing it calls `logging.basicConfig`."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    import wordllama

    root.setLevel(level)
    root.handlers[:] = handlers
    return wordllama
