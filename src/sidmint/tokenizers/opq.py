"""Optimized product quantization: a learned rotation, then blocks of dimensions, k-means in each.

Ge et al. 2013; the tokenizer of RPG (Hou et al., KDD 2025; QuaSID's reference [10]), whose long
ids have 16 to 64 codes of 256. Codes are independent of each other: no code refines another,
and a common prefix means no more than any other set of equal codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from sidmint.progress import Track
from sidmint.quantization.opq import opq
from sidmint.tokenizers.base import TOKENIZERS, CurvePoint, TokenizerConfig
from sidmint.tokenizers.pq import Blocks, Pq


@TOKENIZERS.register("opq")
class Opq(Pq):
    """L blocks of rotated dimensions, the first ones wider by one where D is not divisible.

    Codebooks are exported as wide as the vectors and rotated back. Their blocks are orthogonal,
    so the plain residual walk over them gives the same codes, save where two codewords are as
    near to a vector as float32 can tell.
    """

    type_name: ClassVar[str] = "opq"

    class Config(Pq.Config):
        """Settings under `tokenizers.opq`."""

        rounds: int = Field(50, ge=0)
        """Most rounds of rotation after the blocks of plain dimensions; 0: those blocks."""

    config: Config

    def __init__(self, config: TokenizerConfig, name: str | None = None) -> None:
        super().__init__(config, name)
        self._rotation_DD = torch.empty(0, 0)

    def state(self) -> dict[str, np.ndarray]:
        """The codebooks, and the rotation (D, D) that vectors go through before the blocks."""
        return {**super().state(), "rotation": self._rotation_DD.numpy()}

    @classmethod
    def from_state(
        cls, config: TokenizerConfig, state: Mapping[str, np.ndarray], name: str | None = None
    ) -> Self:
        """The fitted tokenizer that `state()` came from."""
        tokenizer = super().from_state(config, state, name)
        tokenizer._rotation_DD = torch.from_numpy(np.array(state["rotation"]))
        return tokenizer

    def _learn(self, points_ND: Tensor, generator: torch.Generator, track: Track) -> Blocks:
        config = self.config
        found = opq(
            points_ND,
            config.sizes,
            generator,
            config.iterations,
            config.tolerance,
            config.rounds,
            track,
        )
        self._rotation_DD = found.rotation_dd.cpu()
        curve = [CurvePoint(n, "inertia_blocks", value) for n, value in enumerate(found.inertia)]
        return list(found.tables), found.codes_NG, curve

    def _turned(self, rows_ND: Tensor) -> Tensor:
        return _product(rows_ND, self._rotation_DD.T)

    def _turned_back(self, rows_ND: Tensor) -> Tensor:
        return _product(rows_ND, self._rotation_DD)


def _product(rows_ND: Tensor, matrix_DD: Tensor) -> Tensor:
    """In float64, so that a row's last bits do not depend on how many rows come with it."""
    return (rows_ND.double() @ matrix_DD.to(rows_ND.device).double()).float()
