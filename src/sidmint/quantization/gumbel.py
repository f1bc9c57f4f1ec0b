"""Codes drawn at random while a tokenizer trains, less and less so.

Shape letters: B rows of a batch, d latent size, K codes of a level, L levels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import embedding

from sidmint.quantization.collective import num_rows_in_all, summed
from sidmint.quantization.residual import ResidualWalk

SMALLEST = 1e-30
"""Of a uniform draw whose logarithm is taken twice."""


def gumbel(uniform_BK: Tensor) -> Tensor:
    """Standard Gumbel numbers from uniform ones: -log(-log u)."""
    return -(-uniform_BK.clamp(SMALLEST, 1 - torch.finfo(uniform_BK.dtype).eps).log()).log()


def soft_choice(points_Bd: Tensor, codewords_Kd: Tensor, noise_BK: Tensor, heat: float) -> Tensor:
    """Weights (B, K) that sum to one: softmax of -d^2 / (heat v) + g, with gradient to both.

    The Gumbel-softmax of Jang et al. 2017 over p_k ~ exp(-d_k^2 / (heat v)), d_k the distance to
    codeword k, g Gumbel numbers, v the batch's mean squared distance to the nearest codeword, so
    that one `heat` means the same at every level (where processes share a batch, of the whole).
    The largest weight is a draw from p. For heat to 0 it is the nearest codeword's, and one: noise
    falls with the temperature, **our reading**, since with noise of a fixed size codes would stay
    random to the end and inference would not be what was trained.
    """
    squares_BK = torch.cdist(points_Bd, codewords_Kd, compute_mode="donot_use_mm_for_euclid_dist")
    squares_BK = squares_BK.square()
    nearest = summed(squares_BK.detach().amin(dim=1).sum()) / num_rows_in_all(len(points_Bd))
    unit = nearest.clamp_min(SMALLEST)
    return (noise_BK - squares_BK / (heat * unit)).softmax(dim=1)


def gumbel_walk(
    latent_Bd: Tensor, tables: Sequence[Tensor], noise: Sequence[Tensor], heat: float
) -> tuple[ResidualWalk, Tensor]:
    """A walk by drawn codes, and the sum (B, d) of every level's weighted codewords.

    `noise` are Gumbel numbers (B, K_l), one a level. The walk goes on from the codeword that was
    drawn, as `residual_walk` does from the nearest; the decoder reads the weighted ones, through
    which its gradient reaches encoder and codebooks without an estimator.
    """
    residual_Bd = latent_Bd
    codes, residuals, codewords, soft = [], [], [], []
    for table_Kd, noise_BK in zip(tables, noise, strict=True):
        weights_BK = soft_choice(residual_Bd, table_Kd, noise_BK, heat)
        codes_B = weights_BK.argmax(dim=1)
        chosen_Bd = embedding(codes_B, table_Kd)
        codes.append(codes_B)
        residuals.append(residual_Bd)
        codewords.append(chosen_Bd)
        soft.append(weights_BK @ table_Kd)
        residual_Bd = residual_Bd - chosen_Bd.detach()
    walk = ResidualWalk(torch.stack(codes, dim=1), tuple(residuals), tuple(codewords))
    return walk, torch.stack(soft).sum(dim=0)
