"""The values that cross a border between packages. Frozen, shapes in the fields.

Shape letters used everywhere: N items, D embedding size, d latent size, L levels,
K codes a level (may differ a level), P pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sidmint.errors import BadInput

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Embeddings:
    """Vectors before tokenizing: row n of `vectors` (N, D) float32 belongs to `item_ids[n]`."""

    item_ids: tuple[str, ...]
    vectors: Floats

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or len(self.item_ids) != len(self.vectors):
            raise BadInput(
                f"embeddings want one row an item, got {len(self.item_ids)} items "
                f"and an array of shape {self.vectors.shape}"
            )


@dataclass(frozen=True)
class Codes:
    """`values` (N, L) int32 with `0 <= values[:, l] < sizes[l]`; rows may collide."""

    values: Ints
    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape[1] != len(self.sizes):
            raise BadInput(f"codes of shape {self.values.shape} do not fit sizes {self.sizes}")
        if len(self.values) and (
            self.values.min() < 0 or (self.values.max(axis=0) >= np.array(self.sizes)).any()
        ):
            raise BadInput(f"a code lies outside its codebook; sizes are {self.sizes}")

    @property
    def num_items(self) -> int:
        """N."""
        return len(self.values)

    @property
    def num_levels(self) -> int:
        """L."""
        return len(self.sizes)


@dataclass(frozen=True)
class Codebooks:
    """`levels[l]` is the (K_l, d) float32 table of level l, in latent space.

    Every tokenizer exports codewords such that the quantized latent is the plain
    sum of one codeword a level; those that quantize blocks of the latent (PQ, GRVQ)
    pad their codewords with zeros outside their block.
    """

    levels: tuple[Floats, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """(K_1, ..., K_L)."""
        return tuple(len(level) for level in self.levels)

    def decode(self, codes: Ints, num_levels: int | None = None) -> Floats:
        """Quantized latent (N, d) of `codes` (N, L): the sum of `num_levels` codewords."""
        used = range(codes.shape[1] if num_levels is None else num_levels)
        quantized = np.zeros((len(codes), self.levels[0].shape[1]), dtype=np.float32)
        for level in used:
            quantized += self.levels[level][codes[:, level]]
        return quantized


@dataclass(frozen=True)
class Pairs:
    """Item pairs seen together: row numbers into the items table, and a score (P,) float32."""

    triggers: Ints
    targets: Ints
    scores: Floats

    def __len__(self) -> int:
        return len(self.triggers)

    def among(self, is_in: npt.NDArray[np.bool_]) -> Pairs:
        """Those between rows where `is_in` (N,) is true, numbered as these rows are alone."""
        rows = np.cumsum(is_in, dtype=np.int32) - 1
        kept = is_in[self.triggers] & is_in[self.targets]
        return Pairs(rows[self.triggers[kept]], rows[self.targets[kept]], self.scores[kept])


@dataclass(frozen=True)
class Outcome:
    """What a stage tells the person who ran it: one line, and its metrics."""

    headline: str
    metrics: Mapping[str, float] = field(default_factory=dict)
