"""Tokenizers without an encoder: the latent is the vector, and all that is learned is codebooks.

Shape letters: N items, D embedding size, L levels, K codes of a level.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self, cast

import numpy as np
import torch

from sidmint.devices import resolve_device
from sidmint.errors import BadInput
from sidmint.quantization.kmeans import KMeans, cluster_means
from sidmint.quantization.residual import residual_codes
from sidmint.tokenizers.base import (
    Categories,
    CurvePoint,
    Tokenizer,
    TokenizerConfig,
    check_vectors,
)
from sidmint.types import Codebooks, Floats, Ints


class PlainTokenizer(Tokenizer):
    """Codebooks in input space. A subclass says how `fit` finds them."""

    def __init__(self, config: TokenizerConfig, name: str | None = None) -> None:
        super().__init__(config, name)
        self._codebooks: Codebooks | None = None

    def latent(self, vectors: Floats, device: str = "cpu") -> Floats:
        """The vectors themselves."""
        return check_vectors(vectors, self.num_dimensions)

    def codebooks(self) -> Codebooks:
        """One table a level, each (K_l, D)."""
        if self._codebooks is None:
            raise BadInput(f"tokenizer {self.name!r} is not fitted; call fit first")
        return self._codebooks

    def encode(
        self, vectors: Floats, device: str = "cpu", categories: Categories | None = None
    ) -> Ints:
        """Codes (N, L) int32 by the residual walk, exact; see `quantization.assignment`."""
        target = resolve_device(device)
        latent_Nd = torch.from_numpy(self.latent(vectors)).to(target)
        tables = [torch.from_numpy(level).to(target) for level in self.codebooks().levels]
        return cast(Ints, residual_codes(latent_Nd, tables).int().cpu().numpy())

    def reconstruct(self, codes: Ints, num_levels: int | None = None) -> Floats:
        """The sum of the chosen codewords."""
        return self.codebooks().decode(codes, num_levels)

    def state(self) -> dict[str, np.ndarray]:
        """codebook_1 .. codebook_L, each (K_l, D) float32."""
        return {f"codebook_{i + 1}": table for i, table in enumerate(self.codebooks().levels)}

    @classmethod
    def from_state(
        cls, config: TokenizerConfig, state: Mapping[str, np.ndarray], name: str | None = None
    ) -> Self:
        """The fitted tokenizer that `state()` came from."""
        tokenizer = cls(config, name)
        tables = (state[f"codebook_{level + 1}"] for level in range(len(config.sizes)))
        tokenizer._codebooks = Codebooks(tuple(tables))
        return tokenizer

    @property
    def num_dimensions(self) -> int:
        """D of the vectors it was fitted on."""
        return int(self.codebooks().levels[0].shape[1])


def inertia_curve(levels: list[KMeans]) -> list[CurvePoint]:
    """inertia_1.. (sum of squares) by iteration."""
    return [
        CurvePoint(step, f"inertia_{level + 1}", value)
        for level, fitted in enumerate(levels)
        for step, value in enumerate(fitted.inertia)
    ]


def describing_codebooks(
    vectors: Floats, codes: Ints, sizes: tuple[int, ...]
) -> tuple[Codebooks, list[CurvePoint]]:
    """Codewords for codes (N, L) that were chosen without any, and the inertia they leave.

    A codeword is the mean of what the levels before left over of its items, so no level makes
    the reconstruction worse; one without items is the mean over all items, hence finite.
    """
    residual_ND = torch.from_numpy(vectors)
    tables, curve = [], []
    for level, size in enumerate(sizes):
        codes_N = torch.from_numpy(codes[:, level]).long()
        mean_D = residual_ND.mean(dim=0, dtype=torch.float64).float()
        table_KD = cluster_means(residual_ND, codes_N, mean_D.expand(size, -1).contiguous())
        residual_ND = residual_ND - table_KD[codes_N]
        inertia = float(residual_ND.square().sum(dtype=torch.float64))
        curve.append(CurvePoint(0, f"inertia_{level + 1}", inertia))
        tables.append(table_KD.numpy())
    return Codebooks(tuple(tables)), curve
