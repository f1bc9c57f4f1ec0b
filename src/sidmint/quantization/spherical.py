"""k-means of directions: codewords of unit norm, points of unit norm.

Shape letters: N points, d their size, K codewords.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from sidmint.quantization.assignment import nearest
from sidmint.quantization.kmeans import cluster_means


def spherical_kmeans(
    unit_Nd: Tensor, num_codes: int, generator: Generator, iterations: int = 10
) -> Tensor:
    """K directions (K, d) float32 that (locally) maximise the sum of the cosines of the points.

    Lloyd's iterations from points drawn without replacement, each mean scaled to unit norm
    (Dhillon and Modha 2001); a codeword without points, or whose mean is zero, stays. Of unit
    vectors the nearest has the largest cosine. The bits do not depend on the number of threads.
    `generator` lives on the CPU; `num_codes` is at most N.
    """
    drawn_K = torch.randperm(len(unit_Nd), generator=generator)[:num_codes]
    codewords_Kd = unit_Nd[drawn_K.to(unit_Nd.device)]
    for _ in range(iterations):
        means_Kd = cluster_means(unit_Nd, nearest(unit_Nd, codewords_Kd), codewords_Kd).double()
        lengths_K1 = means_Kd.square().sum(dim=1, keepdim=True).sqrt()
        scaled_Kd = (means_Kd / lengths_K1.clamp(min=torch.finfo(torch.float64).tiny)).float()
        codewords_Kd = torch.where(lengths_K1 > 0, scaled_Kd, codewords_Kd)
    return codewords_Kd
