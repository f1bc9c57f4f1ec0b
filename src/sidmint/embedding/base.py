"""What a text encoder is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from sidmint.errors import BadInput
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


@runtime_checkable
class PadsBatches(Protocol):
    """An encoder that pads the texts of a batch to the longest of them.

    Padding moves the last bits of a vector, so texts of one length go in a batch together.
    """

    def num_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        """The length of each text as the encoder reads it, cut at its limit."""
        ...


@runtime_checkable
class Identified(Protocol):
    """An encoder that can say what its vectors depend on, so that they can be kept."""

    def identity(self) -> Mapping[str, str] | None:
        """Everything but the text that decides a vector's bits; None where it is not known.

        Digests of the model's files, versions of what computes, the kind of device.
        """
        ...


@runtime_checkable
class OnDevice(Protocol):
    """An encoder that computes where torch lets it."""

    @property
    def device(self) -> str:
        """`cpu` or `cuda`."""
        ...


ENCODERS: Registry[Callable[[str], TextEncoder]] = Registry("encoder")
"""Text encoders by name. An entry is called with `embed.model` and loads what it needs."""


def load_encoder(name: str, model: str, root: Path) -> TextEncoder:
    """The encoder `name` with its `model`, which may be a folder below `root`."""
    folder = root / model
    return ENCODERS[name](str(folder) if folder.is_dir() else model)


def name_of_model(encoder: TextEncoder, model: str, root: Path) -> str:
    """What records call it: `model` where that is a folder below `root`, else its own name."""
    return model if (root / model).is_dir() else encoder.model


def checked_batch(encoder: TextEncoder, batch: Sequence[str]) -> Floats:
    """Vectors (n, D) float32 of `batch`; `BadInput` where there are not as many as texts."""
    vectors = np.asarray(encoder.encode(batch), dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(batch):
        raise BadInput(
            f"{encoder.model} gave an array of shape {vectors.shape} for {len(batch)} texts; "
            "an encoder gives one vector a text"
        )
    return vectors
