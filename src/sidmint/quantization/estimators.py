"""How a gradient passes the assignment, which has none.

Shape letters: B rows of a batch, d latent size.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

SHORTEST = 1e-6
"""A vector shorter than this has no direction. Latents have a total variance of about one."""

CLOSEST_TO_OPPOSITE = 1e-3
"""Below this length of e' + q' its direction is lost in the rounding of e' and q'."""


def straight_through(quantized: Tensor, source: Tensor) -> Tensor:
    """`quantized` going forward, the identity on `source` going backward.

    source + sg[quantized - source] (van den Oord et al. 2017, section 3.2; Bengio et al. 2013).
    The forward value equals `quantized` up to one float rounding. No gradient reaches
    `quantized`: codebooks learn from the commitment loss. Apply it once, to the sum over
    levels; applied at each level it would cut deeper commitment terms off from the encoder.
    """
    return source + (quantized - source).detach()


def rotation(quantized: Tensor, source: Tensor) -> Tensor:
    """`quantized` (B, d) going forward; backward the rotation and scaling of `source` onto it.

    The rotation trick (Fifty et al. 2025, section 4.2). With e the source, q the quantized
    vector, e' and q' their unit vectors and r = (e' + q') / ||e' + q'||:
        q = (||q|| / ||e||) [e - 2 r (r . e) + 2 q' (e' . e)],
    where the gradient reaches e alone. So the angle between the gradient that arrives at q and
    q is the angle between the gradient that leaves and e, and its length is scaled by
    ||q|| / ||e||: within a cell, gradients differ as their points do.

    A row falls back to straight-through where no rotation can be had: e or q shorter than
    `SHORTEST`, or nearly opposite (||e' + q'|| below `CLOSEST_TO_OPPOSITE`). The forward value
    equals `quantized` to the bit. Apply it once, to the sum over levels.
    """
    q_Bd, e_Bd = quantized.detach(), source.detach()
    q_norm_B1, e_norm_B1 = _lengths(q_Bd), _lengths(e_Bd)
    q_unit_Bd, e_unit_Bd = normalize(q_Bd, dim=1), normalize(e_Bd, dim=1)
    middle_Bd = q_unit_Bd + e_unit_Bd
    r_Bd = normalize(middle_Bd, dim=1)
    reflected_Bd = source - 2 * r_Bd * _dots(r_Bd, source)
    rotated_Bd = reflected_Bd + 2 * q_unit_Bd * _dots(e_unit_Bd, source)
    passed_Bd = rotated_Bd * (q_norm_B1 / e_norm_B1.clamp_min(SHORTEST))
    shorter_B1 = torch.minimum(q_norm_B1, e_norm_B1)
    turns_B1 = (shorter_B1 >= SHORTEST) & (_lengths(middle_Bd) >= CLOSEST_TO_OPPOSITE)
    passed_Bd = torch.where(turns_B1, passed_Bd, source)
    return q_Bd + (passed_Bd - passed_Bd.detach())


def _lengths(rows_Bd: Tensor) -> Tensor:
    lengths_B1: Tensor = torch.linalg.vector_norm(rows_Bd, dim=1, keepdim=True)
    return lengths_B1


def _dots(left_Bd: Tensor, right_Bd: Tensor) -> Tensor:
    return (left_Bd * right_Bd).sum(dim=1, keepdim=True)
