"""The residual walk: level by level the nearest codeword, then what it left over.

Shape letters: N points, d latent size, L levels, K codewords of a level.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding

from sidmint.quantization.assignment import Assigner, nearest

ROWS_AT_ONCE = 1 << 14
"""Rows a piece when codes alone are wanted, so that residuals of one piece are held at a time."""

Chooser = Callable[[Tensor, Tensor], Tensor]
"""(points (N, d), codewords (K, d)) -> codes (N,); the default is `nearest`."""


@dataclass(frozen=True)
class ResidualWalk:
    """Every step of one walk; index l of each tuple is level l."""

    codes_NL: Tensor
    """(N, L) int64."""
    residuals: tuple[Tensor, ...]
    """r^(l): what level l was given, (N, d); the first is the latent itself."""
    codewords: tuple[Tensor, ...]
    """c^(l): what it chose, (N, d), with gradient to the codebook."""

    @property
    def quantized(self) -> Tensor:
        """The sum of the chosen codewords, (N, d)."""
        return torch.stack(self.codewords).sum(dim=0)


def residual_walk(
    latent_Nd: Tensor,
    codebooks: Sequence[Tensor],
    choosers: Mapping[int, Chooser] | None = None,
) -> ResidualWalk:
    """Walk `latent_Nd` (N, d) down `codebooks`, one (K_l, d) table a level.

    r^(0) = z; s^(l) = nearest(r^(l)); r^(l+1) = r^(l) - sg[c^(l)]. The codeword is detached
    where the next residual is formed, so every residual keeps the encoder's gradient and a
    level's codebook is not pulled about by deeper levels. `choosers` replace `nearest` at
    the levels they name, counted from 0.
    """
    choosers = choosers or {}
    residual_Nd = latent_Nd
    codes, residuals, codewords = [], [], []
    for level, codebook_Kd in enumerate(codebooks):
        codes_N = choosers.get(level, nearest)(residual_Nd, codebook_Kd)
        chosen_Nd = embedding(codes_N, codebook_Kd)
        codes.append(codes_N)
        residuals.append(residual_Nd)
        codewords.append(chosen_Nd)
        residual_Nd = residual_Nd - chosen_Nd.detach()
    return ResidualWalk(torch.stack(codes, dim=1), tuple(residuals), tuple(codewords))


def residual_codes(
    latent_Nd: Tensor | NDArray[np.floating[Any]], codebooks: Sequence[Tensor]
) -> Tensor:
    """The codes (N, L) int64 of a walk, and nothing else kept: for large N.

    An array may lie in a file (`np.memmap`) and be of any floating type: it is read a piece
    at a time, as float32, onto the device of the codebooks. Memory beyond the input is one
    piece, one block of products and the codes.
    """
    assigners = [Assigner(codebook_Kd) for codebook_Kd in codebooks]
    device = latent_Nd.device if isinstance(latent_Nd, Tensor) else codebooks[0].device
    codes_NL = torch.empty((len(latent_Nd), len(codebooks)), dtype=torch.int64, device=device)
    with torch.no_grad():
        for start in range(0, len(latent_Nd), ROWS_AT_ONCE):
            piece = latent_Nd[start : start + ROWS_AT_ONCE]
            if not isinstance(piece, Tensor):
                piece = torch.from_numpy(np.array(piece, dtype=np.float32)).to(device)
            for level, (assigner, codebook_Kd) in enumerate(zip(assigners, codebooks, strict=True)):
                codes_B = assigner(piece)
                codes_NL[start : start + ROWS_AT_ONCE, level] = codes_B
                piece = piece - embedding(codes_B, codebook_Kd)
    return codes_NL
