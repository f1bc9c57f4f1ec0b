"""Matrix products that score codewords fast, each with a bound on its own error.

Shape letters: B points of one block, K codewords, d their size, G groups of codewords.

A product may round as coarsely as it likes, as long as it says how coarsely. Points and
codewords are written as x = x' + e and c = c' + f, where x' and c' are what is multiplied;
then |x.c - x'.c'| <= ||e|| ||c|| + ||x'|| ||f|| (Cauchy-Schwarz), and both remainders are
known exactly. Codewords are grouped by norm: one scale and one bound serve a group.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import pad

UNIT_ROUNDOFF = 2.0**-24
"""Of float32."""

BF16_ROUNDOFF = 2.0**-8
"""Of bfloat16: what rounding the result of a product may cost."""

LARGEST_INT8 = 127

COARSE_FROM_CODES, COARSE_FROM_SIZE = 1024, 64
"""Below, a float32 product is so quick that a coarser one does not pay (measured)."""

SMALLEST_SCALE = 2.0**-100
"""Stands in for the scale of a row of zeros."""

LOST_IN_INPUTS = {"highest": 0.0, "high": 2.0**-9, "medium": 2.0**-7}
"""What `torch.set_float32_matmul_precision` lets a float32 product lose, over ||x|| ||c||."""


@dataclass(frozen=True)
class Proposal:
    """Products of a block with all codewords, in units of their own.

    x_i.c_k lies within left_i . right_g of scale_i scale_g product_ik, g being the group of
    k; the second halves, `right_2G` and `scales_G`, belong to the product.
    """

    products_BK: Tensor
    scales_B1: Tensor
    left_B2: Tensor


class Product(Protocol):
    """A way to multiply points with all codewords."""

    scales_G: Tensor
    right_2G: Tensor

    def __call__(self, points_Bd: Tensor) -> Proposal:
        """The products of these points with every codeword, and what bounds their error."""
        ...


Kind = Callable[[Tensor, int], Product]
"""Makes a product of codewords (K, d) in G groups; row i G + j is member i of group j."""


def fast_product(codewords_Kd: Tensor) -> Kind | None:
    """The coarse product that pays on this processor; None where float32 is as quick."""
    num_codes, size = codewords_Kd.shape
    if codewords_Kd.is_cuda or num_codes < COARSE_FROM_CODES or size < COARSE_FROM_SIZE:
        return None
    if torch.cpu._is_amx_tile_supported():
        return BFloat16Product
    return Int8Product if torch.cpu._is_vnni_supported() else None


def norms(rows_Bd: Tensor) -> Tensor:
    """The Euclidean norm of each row, (B,)."""
    norms_B: Tensor = torch.linalg.vector_norm(rows_Bd, dim=1)
    return norms_B


def float32_error(size: int) -> float:
    """How far a float32 product of length d may lie from the true one, over ||x|| ||c||.

    In whatever order it is summed: gamma = d u / (1 - d u) (Higham, Accuracy and Stability
    of Numerical Algorithms, 3.1). Eight more roundings and 1 % cover centring, half norms,
    scores and the roundings of the bound itself. A setting that lets float32 products lose
    more than their roundings is allowed for.
    """
    terms = (size + 8) * UNIT_ROUNDOFF
    return 1.01 * (terms / (1 - terms) + LOST_IN_INPUTS[torch.get_float32_matmul_precision()])


class BFloat16Product:
    """bfloat16, summed in float32 and rounded once more: for processors with AMX tiles."""

    def __init__(self, codewords_Kd: Tensor, num_groups: int) -> None:
        norms_G = _most(norms(codewords_Kd), num_groups)
        rounded_Kd = codewords_Kd.bfloat16()
        lost_G = _most(norms(codewords_Kd - rounded_Kd.float()), num_groups)
        self.codewords_dK = rounded_Kd.T
        self.scales_G = torch.ones_like(norms_G)
        self.right_2G = torch.stack([norms_G, lost_G])
        self.error = float32_error(codewords_Kd.shape[1]) + 1.01 * BF16_ROUNDOFF

    def __call__(self, points_Bd: Tensor) -> Proposal:
        """See `Product`."""
        rounded_Bd = points_Bd.bfloat16()
        norms_B, lost_B = norms(points_Bd), norms(points_Bd - rounded_Bd.float())
        left_B2 = torch.stack([1.01 * lost_B + self.error * norms_B, 1.02 * norms_B], dim=1)
        ones_B1 = torch.ones_like(left_B2[:, :1])
        return Proposal(rounded_Bd @ self.codewords_dK, ones_B1, left_B2)


class Int8Product:
    """Whole numbers up to 127, one scale a point and one a group, summed exactly in int32."""

    def __init__(self, codewords_Kd: Tensor, num_groups: int) -> None:
        norms_G = _most(norms(codewords_Kd), num_groups)
        largest_G = _most(codewords_Kd.abs().amax(dim=1), num_groups)
        self.scales_G = largest_G.clamp(min=SMALLEST_SCALE) / LARGEST_INT8
        scales_K1 = self.scales_G.repeat(len(codewords_Kd) // num_groups)[:, None]
        rounded_Kd = (codewords_Kd / scales_K1).round_()
        lost_G = _most(norms(codewords_Kd - rounded_Kd * scales_K1), num_groups)
        # torch._int_mm (2.13, CPU) misreads a single column: give it a second, of zeros.
        self.padding = (0, 1 if codewords_Kd.shape[1] == 1 else 0)
        self.codewords_dK = pad(rounded_Kd.to(torch.int8), self.padding).T
        self.right_2G = torch.stack([norms_G, lost_G])
        self.error = float32_error(codewords_Kd.shape[1])

    def __call__(self, points_Bd: Tensor) -> Proposal:
        """See `Product`."""
        largest_B1 = torch.maximum(points_Bd.amax(dim=1), -points_Bd.amin(dim=1))[:, None]
        scales_B1 = largest_B1.clamp_(min=SMALLEST_SCALE).div_(LARGEST_INT8)
        points_Bd = points_Bd / scales_B1
        norms_B = norms(points_Bd)
        rounded_Bd = points_Bd.round()
        products_BK = torch._int_mm(pad(rounded_Bd.to(torch.int8), self.padding), self.codewords_dK)
        lost_B = norms(points_Bd.sub_(rounded_Bd))
        left_B2 = torch.stack([lost_B + self.error * norms_B, norms_B + lost_B], dim=1)
        return Proposal(products_BK, scales_B1, left_B2.mul_(scales_B1).mul_(1.01))


def _most(values_K: Tensor, num_groups: int) -> Tensor:
    """The greatest value of each group, (G,)."""
    return values_K.view(-1, num_groups).amax(dim=0)
