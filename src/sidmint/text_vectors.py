"""The one door from texts to vectors for commands in a workspace: what was encoded is kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from sidmint.embedding import Identified, TextEncoder, encode_texts
from sidmint.kept_vectors import IDENTITY, KeptVectors, folder_of
from sidmint.layout import Layout
from sidmint.progress import Track, silent
from sidmint.types import Floats

_MOST_ENCODERS = 4
"""Of which vectors are kept; of more, those go that were used longest ago."""


@dataclass
class TextVectors:
    """The `encoding.Encode` of a workspace: `encode_texts` with a memory in `layout.vectors`.

    An encoder that cannot say what its vectors depend on is asked every time.
    """

    layout: Layout
    batch_size: int = 32
    workers: int = 1
    track: Track = silent
    num_texts: int = 0
    """Distinct texts so far; one that two encoders read counts twice."""
    num_known: int = 0
    """Those of them that were not encoded."""
    _stores: dict[str, KeptVectors] = field(default_factory=dict)

    def __call__(self, encoder: TextEncoder, texts: Sequence[str]) -> Floats:
        """Vectors (N, D) float32, row n for text n. Raises what `encode_texts` raises."""
        with self._known(encoder) as known:
            vectors = encode_texts(encoder, texts, self.batch_size, self.track, known, self.workers)
        self.num_texts += len(set(texts))
        self.num_known += known.num_known if known is not None else 0
        return vectors

    @property
    def told(self) -> str:
        """`12,081 texts, 11,970 known, 111 encoded`, and what was not believed."""
        encoded = self.num_texts - self.num_known
        line = f"{self.num_texts:,} texts, {self.num_known:,} known, {encoded:,} encoded"
        return "; warning: ".join([line, *self.problems])

    @property
    def problems(self) -> list[str]:
        """Kept vectors that were not believed, and why."""
        return [problem for store in self._stores.values() for problem in store.problems]

    def tidy(self) -> None:
        """Bound what is kept, by what was asked for through this door and by number of encoders.

        For a run over the whole catalogue: after a few texts it would throw all others away.
        """
        for store in self._stores.values():
            store.tidy()
        identities = self.layout.vectors.glob(f"*/{IDENTITY}")
        by_use = sorted(identities, key=lambda path: (path.stat().st_mtime_ns, path))
        for path in by_use[:-_MOST_ENCODERS]:
            shutil.rmtree(path.parent, ignore_errors=True)

    @contextmanager
    def _known(self, encoder: TextEncoder) -> Iterator[KeptVectors | None]:
        """What is kept of this encoder's vectors; what it makes is on disk at the end."""
        identity = encoder.identity() if isinstance(encoder, Identified) else None
        if identity is None:
            yield None
            return
        folder = folder_of(self.layout.vectors, identity)
        store = self._stores.setdefault(folder.name, KeptVectors(folder, identity))
        with suppress(OSError):  # not there yet, or on a disk that is read-only
            os.utime(folder / IDENTITY)
        try:
            yield store
        finally:
            store.flush()
