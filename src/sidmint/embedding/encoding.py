"""How a catalogue's texts go through an encoder: each distinct one once, and only those not known.

Shape letters: N texts, M distinct texts, n some of those, D dimensions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sidmint.embedding.base import OnDevice, PadsBatches, TextEncoder, checked_batch
from sidmint.embedding.workers import in_processes
from sidmint.errors import BadInput
from sidmint.progress import Track, silent
from sidmint.types import Floats

Rows = npt.NDArray[np.int64]


class Encode(Protocol):
    """From texts to vectors, by whichever way: `encode_texts`, or `TextVectors` in a workspace."""

    def __call__(self, encoder: TextEncoder, texts: Sequence[str]) -> Floats:
        """Vectors (N, D) float32, row n for text n."""
        ...


class Known(Protocol):
    """Vectors that one encoder gave to texts before."""

    def find(self, texts: Sequence[str]) -> tuple[Rows, Floats]:
        """Rows (n,), rising, of those texts that are known, and their vectors (n, D)."""
        ...

    def keep(self, texts: Sequence[str], vectors: Floats) -> None:
        """Know these from now on."""
        ...

    def forget(self, why: str) -> None:
        """Know nothing any more."""
        ...


class NothingKnown:
    """The `Known` of those who keep nothing."""

    def find(self, texts: Sequence[str]) -> tuple[Rows, Floats]:
        """None of them."""
        return np.empty(0, dtype=np.int64), np.empty((0, 0), dtype=np.float32)

    def keep(self, texts: Sequence[str], vectors: Floats) -> None:
        """Nothing is kept."""

    def forget(self, why: str) -> None:
        """Nothing was known."""


_SPOT_CHECKS = 8
_LARGEST_DIFFERENCE = 0.02
"""Relative distance that reduced precision and padding may make; another text makes about 1."""


def encode_texts(
    encoder: TextEncoder,
    texts: Sequence[str],
    batch_size: int = 256,
    track: Track = silent,
    known: Known | None = None,
    workers: int = 1,
) -> Floats:
    """Vectors (N, D) float32 of `texts`, row n for text n.

    Each distinct text is encoded once, and not at all where its vector is `known`; so equal texts
    get equal bytes. Texts go shortest first, and of an encoder that pads its batches only texts of
    one length together: order, companions and `workers` (processes) change nothing. `track`
    counts texts.

    A few texts are then encoded alone and compared with their rows, which finds an encoder that
    mixes rows up or lets the padding of a batch into its vectors; `BadInput` names the text. So
    are a few of the known ones: where the encoder gives another vector, none of them is believed.
    """
    known = known or NothingKnown()
    distinct = sorted(set(texts), key=lambda text: (len(text), text))
    if not distinct:
        raise BadInput("there are no texts to encode; give one at least")
    found, there = _believed(encoder, distinct, known)
    missing = np.setdiff1d(np.arange(len(distinct)), found)
    if not len(missing):
        vectors = there
    else:
        wanted = [distinct[n] for n in missing]
        made = _encoded(encoder, wanted, batch_size, track, known, workers)
        vectors = np.empty((len(distinct), made.shape[1]), dtype=np.float32)
        vectors[missing] = made
        if len(found):
            vectors[found] = there
    row = {text: n for n, text in enumerate(distinct)}
    return vectors[[row[text] for text in texts]]


def _believed(encoder: TextEncoder, texts: Sequence[str], known: Known) -> tuple[Rows, Floats]:
    """What is known of `texts`, if the encoder still says so."""
    found, vectors = known.find(texts)
    odd = _odd_text(encoder, [texts[n] for n in found], vectors)
    if odd is None:
        return found, vectors
    known.forget(f"{encoder.model} gives the text {odd[0][:60]!r} another vector than is kept")
    return NothingKnown().find(texts)


def _encoded(
    encoder: TextEncoder,
    texts: Sequence[str],
    batch_size: int,
    track: Track,
    known: Known,
    workers: int,
) -> Floats:
    """Vectors (n, D) of distinct `texts`, each kept as soon as it is there."""
    batches = _batches(encoder, texts, batch_size)
    parts = _parts(encoder, [[texts[n] for n in rows] for rows in batches], workers, known)
    vectors: Floats | None = None
    order = np.concatenate(batches)
    for row, vector in zip(order, track(_one_by_one(parts), "embed", len(order)), strict=True):
        if vectors is None:
            vectors = np.empty((len(texts), len(vector)), dtype=np.float32)
        vectors[row] = vector
    assert vectors is not None  # noqa: S101 - there is a text at least
    odd = _odd_text(encoder, texts, vectors)
    if odd is not None:
        known.forget("the encoder mixes up its rows")
        raise BadInput(
            f"{encoder.model} gives the text {odd[0][:60]!r} another vector alone than in "
            f"a batch (distance {odd[1]:.3g}); its rows cannot be trusted: choose another "
            "embed.model, or set embed.batch_size to 1"
        )
    return vectors


def _batches(encoder: TextEncoder, texts: Sequence[str], batch_size: int) -> list[Rows]:
    """Row numbers of each batch, shortest texts first."""
    lengths = np.zeros(len(texts), dtype=np.int64)
    if isinstance(encoder, PadsBatches):
        lengths = np.asarray(encoder.num_tokens(texts), dtype=np.int64)
    order = np.argsort(lengths, kind="stable")
    alike = np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1)
    return [rows[i : i + batch_size] for rows in alike for i in range(0, len(rows), batch_size)]


def _parts(
    encoder: TextEncoder, batches: Sequence[Sequence[str]], workers: int, known: Known
) -> Iterator[Floats]:
    """The vectors of each batch, kept before they are handed on."""
    made: Iterable[Floats] = map(partial(checked_batch, encoder), batches)
    if workers > 1:
        _require_several(encoder, workers)
        made = in_processes(encoder, batches, min(workers, len(batches)))
    for batch, vectors in zip(batches, made, strict=True):
        known.keep(batch, vectors)
        yield vectors


def _require_several(encoder: TextEncoder, workers: int) -> None:
    if isinstance(encoder, OnDevice) and encoder.device != "cpu":
        raise BadInput(
            f"embed.workers is {workers}, and {encoder.model} runs on {encoder.device}, which one "
            "process keeps busy; set embed.workers to 1"
        )


def _one_by_one(parts: Iterable[Floats]) -> Iterator[Floats]:
    for part in parts:
        yield from part


def _odd_text(
    encoder: TextEncoder, texts: Sequence[str], vectors: Floats
) -> tuple[str, float] | None:
    """A text to which the encoder gives another vector when it is alone, and how far that lies."""
    if not len(texts):
        return None
    picked = np.unique(np.linspace(0, len(texts) - 1, _SPOT_CHECKS).astype(int))
    for n in picked:
        alone = checked_batch(encoder, [texts[n]])[0]
        if alone.shape != vectors[n].shape:
            return texts[n], float("inf")
        distance = float(np.linalg.norm(alone - vectors[n]))
        if distance > _LARGEST_DIFFERENCE * float(np.linalg.norm(alone)):
            return texts[n], distance
    return None
