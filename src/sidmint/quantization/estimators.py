"""How a gradient passes the assignment, which has none."""

from __future__ import annotations

from torch import Tensor


def straight_through(quantized: Tensor, source: Tensor) -> Tensor:
    """`quantized` going forward, the identity on `source` going backward.

    source + sg[quantized - source] (van den Oord et al. 2017, section 3.2; Bengio et al. 2013).
    The forward value equals `quantized` up to one float rounding. No gradient reaches
    `quantized`: codebooks learn from the commitment loss. Apply it once, to the sum over
    levels; applied at each level it would cut deeper commitment terms off from the encoder.
    """
    return source + (quantized - source).detach()
