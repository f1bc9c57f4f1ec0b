"""What a text encoder is, and how a catalogue's texts go through one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from sidmint.errors import BadInput
from sidmint.progress import Track, silent
from sidmint.registry import Registry
from sidmint.types import Floats


class TextEncoder(Protocol):
    """Turns texts into vectors, each text on its own: companions in a batch change nothing."""

    @property
    def model(self) -> str:
        """What was loaded, as errors and records name it."""
        ...

    def encode(self, texts: Sequence[str]) -> Floats:
        """One float32 vector a text, (n, D), in the order of `texts`."""
        ...


ENCODERS: Registry[Callable[[str], TextEncoder]] = Registry("encoder")
"""Text encoders by name. An entry is called with `embed.model` and loads what it needs."""


def load_encoder(name: str, model: str, root: Path) -> TextEncoder:
    """The encoder `name` with its `model`, which may be a folder below `root`."""
    folder = root / model
    return ENCODERS[name](str(folder) if folder.is_dir() else model)


_SPOT_CHECKS = 8
_LARGEST_DIFFERENCE = 0.02
"""Relative distance that reduced precision and padding may make; another text makes about 1."""


def encode_texts(
    encoder: TextEncoder, texts: Sequence[str], batch_size: int = 256, track: Track = silent
) -> Floats:
    """Vectors (N, D) float32 of `texts`, row n for text n.

    Each distinct text is encoded once, so equal texts get equal bytes. Distinct texts go
    shortest first: a batch pads to its longest text, and the order of the items changes nothing.
    A few texts are then encoded alone and compared with their rows, which finds an encoder that
    mixes rows up or lets the padding of a batch into its vectors; `BadInput` names the text.
    """
    distinct = sorted(set(texts), key=lambda text: (len(text), text))
    batches = [distinct[i : i + batch_size] for i in range(0, len(distinct), batch_size)]
    parts = [_checked_batch(encoder, batch) for batch in track(batches, "embed")]
    vectors = np.concatenate(parts)
    _check_rows(encoder, distinct, vectors)
    row = {text: n for n, text in enumerate(distinct)}
    return vectors[[row[text] for text in texts]]


def _checked_batch(encoder: TextEncoder, batch: Sequence[str]) -> Floats:
    vectors = np.asarray(encoder.encode(batch), dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(batch):
        raise BadInput(
            f"{encoder.model} gave an array of shape {vectors.shape} for {len(batch)} texts; "
            "an encoder gives one vector a text"
        )
    return vectors


def _check_rows(encoder: TextEncoder, texts: Sequence[str], vectors: Floats) -> None:
    picked = np.unique(np.linspace(0, len(texts) - 1, _SPOT_CHECKS).astype(int))
    for n in picked:
        alone = _checked_batch(encoder, [texts[n]])[0]
        distance = float(np.linalg.norm(alone - vectors[n]))
        if distance > _LARGEST_DIFFERENCE * float(np.linalg.norm(alone)):
            raise BadInput(
                f"{encoder.model} gives the text {texts[n][:60]!r} another vector alone than in "
                f"a batch (distance {distance:.3g}); its rows cannot be trusted: choose another "
                "embed.model, or set embed.batch_size to 1"
            )
