"""The residual walk: level by level the nearest codeword, then what it left over.

Shape letters: N points, d latent size, L levels, K codewords of a level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import embedding

from sidmint.quantization.assignment import nearest

ROWS_AT_ONCE = 1 << 16
"""Rows a piece when codes alone are wanted, so that residuals of one piece are held at a time."""


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


def residual_walk(latent_Nd: Tensor, codebooks: Sequence[Tensor]) -> ResidualWalk:
    """Walk `latent_Nd` (N, d) down `codebooks`, one (K_l, d) table a level.

    r^(0) = z; s^(l) = nearest(r^(l)); r^(l+1) = r^(l) - sg[c^(l)]. The codeword is detached
    where the next residual is formed, so every residual keeps the encoder's gradient and a
    level's codebook is not pulled about by deeper levels.
    """
    residual_Nd = latent_Nd
    codes, residuals, codewords = [], [], []
    for codebook_Kd in codebooks:
        codes_N = nearest(residual_Nd, codebook_Kd)
        chosen_Nd = embedding(codes_N, codebook_Kd)
        codes.append(codes_N)
        residuals.append(residual_Nd)
        codewords.append(chosen_Nd)
        residual_Nd = residual_Nd - chosen_Nd.detach()
    return ResidualWalk(torch.stack(codes, dim=1), tuple(residuals), tuple(codewords))


def residual_codes(latent_Nd: Tensor, codebooks: Sequence[Tensor]) -> Tensor:
    """The codes (N, L) int64 of a walk, and nothing else kept: for large N."""
    with torch.no_grad():
        pieces = [
            residual_walk(piece, codebooks).codes_NL
            for piece in torch.split(latent_Nd, ROWS_AT_ONCE)
        ]
    return torch.cat(pieces)
