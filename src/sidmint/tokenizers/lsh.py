"""Locality-sensitive hashing: codes from the sides of random hyperplanes.

Charikar 2002; the LSH ablation of TIGER (Rajput et al. 2023, section 4.2). A control: like
vectors get like codes, but nothing is fitted beyond the mean.

Shape letters: N items, D embedding size, L levels, K codes of a level, H hyperplanes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self, cast

import numpy as np

from sidmint.progress import Track, silent
from sidmint.seeds import generator_for
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

ROWS_AT_ONCE = 1 << 14
"""Rows that are held in float64 at a time."""


@TOKENIZERS.register("lsh")
class Lsh(PlainTokenizer):
    """b = ceil(log2 K) hyperplanes a level through the mean; their signs are a cell of 2^b.

    Cell m gets code floor(m K / 2^b): where K is no power of two, some codes join two cells.
    Levels have hyperplanes of their own, so no code refines another. A codeword is the mean
    of what the levels before left over of its items.
    """

    type_name: ClassVar[str] = "lsh"
    hierarchical: ClassVar[bool] = False
    walks: ClassVar[bool] = False

    class Config(TokenizerConfig):
        """Settings under `tokenizers.lsh`."""

    config: Config

    def __init__(self, config: TokenizerConfig, name: str | None = None) -> None:
        super().__init__(config, name)
        self._mean_D = np.zeros(0)
        self._normals_HD = np.zeros((0, 0))

    def fit(
        self,
        vectors: Floats,
        pairs: Pairs | None = None,
        seed: int = 0,
        device: str = "auto",
        track: Track = silent,
        categories: Categories | None = None,
    ) -> TrainingLog:
        """Draw the hyperplanes. The curve holds inertia_1.., what each level leaves."""
        values = check_vectors(vectors)
        draws = generator_for(seed, self.type_name, "hyperplanes")
        self._mean_D = values.mean(axis=0, dtype=np.float64)
        self._normals_HD = draws.standard_normal((sum(self._bits()), values.shape[1]))
        codes = self._sides(values)
        self._codebooks, curve = describing_codebooks(values, codes, self.config.sizes)
        return describe_fit(codes, self.config.sizes, curve, 0)

    def encode(
        self, vectors: Floats, device: str = "cpu", categories: Categories | None = None
    ) -> Ints:
        """Codes (N, L) int32."""
        return self._sides(self.latent(vectors))

    def state(self) -> dict[str, np.ndarray]:
        """The codebooks, the mean, and the normals of all hyperplanes, level by level."""
        return super().state() | {"mean": self._mean_D, "normals": self._normals_HD}

    @classmethod
    def from_state(
        cls, config: TokenizerConfig, state: Mapping[str, np.ndarray], name: str | None = None
    ) -> Self:
        """The fitted tokenizer that `state()` came from."""
        tokenizer = super().from_state(config, state, name)
        tokenizer._mean_D, tokenizer._normals_HD = state["mean"], state["normals"]
        return tokenizer

    def _bits(self) -> list[int]:
        return [(size - 1).bit_length() for size in self.config.sizes]

    def _sides(self, vectors: Floats) -> Ints:
        """Codes by the signs of (x - mean) . h; the first hyperplane of a level is the top bit.

        In float64, where a product's rounding, which depends on the number of rows, is too
        small to change a sign.
        """
        pieces = [
            (vectors[start : start + ROWS_AT_ONCE] - self._mean_D) @ self._normals_HD.T > 0
            for start in range(0, len(vectors), ROWS_AT_ONCE)
        ]
        above_NH = np.concatenate(pieces)
        codes, first = [], 0
        for size, bits in zip(self.config.sizes, self._bits(), strict=True):
            weights = 1 << np.arange(bits)[::-1]
            cells = above_NH[:, first : first + bits] @ weights
            codes.append(cells * size >> bits)
            first += bits
        return cast(Ints, np.stack(codes, axis=1).astype(np.int32))
