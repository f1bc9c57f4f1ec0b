"""Random codes: the control that says how much of a result is owed to the codes' meaning.

TIGER's ablation (Rajput et al. 2023, section 4.2). Codes are as even as chance makes them, so
utilization looks perfect; whatever a tokenizer does better than this comes from its meaning.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np

from sidmint.progress import Track, silent
from sidmint.seeds import seed_for
from sidmint.tokenizers.base import (
    TOKENIZERS,
    Categories,
    TokenizerConfig,
    TrainingLog,
    check_vectors,
    describe_fit,
)
from sidmint.tokenizers.plain import PlainTokenizer, describing_codebooks
from sidmint.types import Floats, Ints, Pairs


@TOKENIZERS.register("random")
class Random(PlainTokenizer):
    """Codes by a seeded hash of the vector's bytes: equal vectors, equal codes.

    A new item needs no fit, and a vector that differs in its last bit gets other codes. A
    codeword is the mean of what the levels before left over of its items.
    """

    type_name: ClassVar[str] = "random"
    hierarchical: ClassVar[bool] = False
    walks: ClassVar[bool] = False

    class Config(TokenizerConfig):
        """Settings under `tokenizers.random`."""

    config: Config

    def __init__(self, config: TokenizerConfig, name: str | None = None) -> None:
        super().__init__(config, name)
        self._key = 0

    def fit(
        self,
        vectors: Floats,
        pairs: Pairs | None = None,
        seed: int = 0,
        device: str = "auto",
        track: Track = silent,
        categories: Categories | None = None,
    ) -> TrainingLog:
        """Draw the key of the hash. The curve holds inertia_1.., what each level leaves."""
        values = check_vectors(vectors)
        self._key = seed_for(seed, self.type_name, "key")
        codes = self._hashed(values)
        self._codebooks, curve = describing_codebooks(values, codes, self.config.sizes)
        return describe_fit(codes, self.config.sizes, curve, 0)

    def encode(
        self, vectors: Floats, device: str = "cpu", categories: Categories | None = None
    ) -> Ints:
        """Codes (N, L) int32, even over all codes."""
        return self._hashed(self.latent(vectors))

    def state(self) -> dict[str, np.ndarray]:
        """The codebooks, and the key of the hash."""
        return super().state() | {"key": np.array([self._key], dtype=np.int64)}

    @classmethod
    def from_state(
        cls, config: TokenizerConfig, state: Mapping[str, np.ndarray], name: str | None = None
    ) -> Self:
        """The fitted tokenizer that `state()` came from."""
        tokenizer = super().from_state(config, state, name)
        tokenizer._key = int(state["key"][0])
        return tokenizer

    def _hashed(self, vectors: Floats) -> Ints:
        """64 bits of BLAKE2b a level, modulo its size: no code is favoured by more than 2^-50."""
        sizes = np.array(self.config.sizes, dtype=np.uint64)
        key = self._key.to_bytes(8, "little")
        drawn = [
            # Levels by a salt of their own: one digest holds eight levels at most.
            [_hash(row.tobytes(), key, level) for level in range(len(sizes))]
            for row in vectors.astype("<f4") + np.float32(0)  # -0 becomes 0, its equal
        ]
        return (np.array(drawn, dtype=np.uint64).reshape(-1, len(sizes)) % sizes).astype(np.int32)


def _hash(data: bytes, key: bytes, level: int) -> int:
    salt = level.to_bytes(8, "little")
    return int.from_bytes(
        hashlib.blake2b(data, digest_size=8, key=key, salt=salt).digest(), "little"
    )
