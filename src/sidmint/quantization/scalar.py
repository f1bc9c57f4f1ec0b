"""Finite scalar quantization: a few values a dimension, and no codebook to learn.

Shape letters: N points, B rows of a batch, d latent size, K codes of a level, m digits of a code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sidmint.quantization.estimators import straight_through
from sidmint.quantization.quantizer import Quantizer
from sidmint.quantization.residual import ResidualWalk

SMALLEST_RADIX = 4
"""Of a derived factorisation, where the number of codes allows it; see `factors`."""

MARGIN = 1e-3
"""How far inside its outermost cells a bounded value stays, as a share of the range."""


def factors(size: int) -> tuple[int, ...]:
    """Values a dimension whose product is `size`, largest first: as many dimensions as can be.

    256 is 4 x 4 x 4 x 4; 240 is 8 x 6 x 5 and 1,000 is 8 x 5 x 5 x 5, as in the paper's Table 1.
    Each has `SMALLEST_RADIX` values or more; a prime is one dimension. Of equally many the most
    even ones are taken.
    """
    best: tuple[int, ...] = (size,)
    for radix in range(SMALLEST_RADIX, math.isqrt(size) + 1):
        if size % radix == 0:
            found = tuple(sorted((radix, *factors(size // radix)), reverse=True))
            if min(found) >= SMALLEST_RADIX:
                best = max(best, found, key=lambda each: (len(each), -max(each)))
    return best


def encode_digits(digits_Nm: Tensor, radices: Sequence[int]) -> Tensor:
    """Codes (N,) of digits (N, m): mixed radix, the first digit the least significant."""
    weights = [math.prod(radices[:place]) for place in range(len(radices))]
    return (digits_Nm * torch.tensor(weights, device=digits_Nm.device)).sum(dim=1)


def decode_digits(codes_N: Tensor, radices: Sequence[int]) -> Tensor:
    """Digits (N, m) of codes (N,): the inverse of `encode_digits`."""
    digits = []
    for radix in radices:
        digits.append(codes_N % radix)
        codes_N = codes_N // radix
    return torch.stack(digits, dim=1)


class Bound(nn.Module):
    """A number a dimension, squashed to where it rounds to one of `radices` values.

    Mentzer et al. 2024, section 3.1 and appendix A.1. With b values, h = (b - 1)(1 - eps) / 2 and
    o = 1/2 for an even b, else 0:
        u = (h tanh(z + tan(o / h)) - o) / floor(b / 2).
    u floor(b / 2) rounds to the whole numbers -floor(b / 2) .. ceil(b / 2) - 1, and z = 0 lies at
    0 (nearly, for b = 2). Everything is in units of half the range: values lie between -1 and 1.
    """

    def __init__(self, radices: Sequence[int]) -> None:
        super().__init__()
        radices_d = torch.tensor(radices, dtype=torch.float64)
        half_d = (radices_d - 1) * (1 - MARGIN) / 2
        offset_d = torch.where(radices_d % 2 == 0, 0.5, 0.0).double()
        unit_d = torch.floor(radices_d / 2)
        self.register_buffer("shift_d", torch.tan(offset_d / half_d).float(), persistent=False)
        self.register_buffer("reach_d", (half_d / unit_d).float(), persistent=False)
        self.register_buffer("offset_d", (offset_d / unit_d).float(), persistent=False)

    def forward(self, values_Bd: Tensor) -> Tensor:
        """The bounded values u (B, d), differentiable."""
        shift_d, reach_d = self.get_buffer("shift_d"), self.get_buffer("reach_d")
        return reach_d * torch.tanh(values_Bd + shift_d) - self.get_buffer("offset_d")


def grid(radices: Sequence[int]) -> Tensor:
    """Codewords (K, m): row k holds the values of the digits of code k, in the units of `Bound`."""
    digits_Km = decode_digits(torch.arange(math.prod(radices)), radices)
    units_m = torch.tensor([radix // 2 for radix in radices])
    return (digits_Km - units_m).float() / units_m.float()


class ScalarQuantizer(Quantizer):
    """Every dimension rounded to its own few values, as one ordinary residual walk.

    Level l has the next m_l dimensions for itself. Its codewords are the whole grid of their
    values, zero elsewhere: the nearest of them is each dimension rounded on its own, and what lies
    in other dimensions adds the same number to all distances. Nothing is learned here, so no code
    can die: each codeword is its own nearest, and gradients pass straight through to the encoder.
    """

    def __init__(self, radices: Sequence[Sequence[int]]) -> None:
        super().__init__()
        num_dimensions, left = sum(map(len, radices)), 0
        self.num_levels = len(radices)
        for level, own in enumerate(radices):
            table_Kd = torch.zeros(math.prod(own), num_dimensions)
            table_Kd[:, left : left + len(own)] = grid(own)
            self.register_buffer(f"codebook_{level}", table_Kd, persistent=False)
            left += len(own)

    def tables(self) -> list[Tensor]:
        """The grids (K, d), zero outside their level's dimensions."""
        return [self.get_buffer(f"codebook_{level}") for level in range(self.num_levels)]

    def start_from(self, tables: Sequence[Tensor]) -> None:
        """Nothing: a grid lies where it lies."""

    def forward(self, latent_Bd: Tensor) -> tuple[ResidualWalk, Tensor]:
        """The walk of a batch, and its quantized latent (B, d), straight-through once."""
        walk = self.walk(latent_Bd)
        return walk, straight_through(walk.quantized, latent_Bd)
