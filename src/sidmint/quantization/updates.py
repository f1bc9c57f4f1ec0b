"""Codebooks that learn without gradient: moving averages of what each code was given.

Shape letters: B rows of a batch, d latent size, K codes of a level.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from sidmint.quantization.collective import num_rows_in_all, picked, summed


def moving_averages(
    counts_K: Tensor, sums_Kd: Tensor, codes_B: Tensor, residuals_Bd: Tensor, decay: float
) -> tuple[Tensor, Tensor]:
    """Exponential moving averages of a code's uses in a batch, and of the sum of what it got.

    n_k <- g n_k + (1 - g) count_k,  m_k <- g m_k + (1 - g) sum_{i: s_i = k} r_i
    (van den Oord et al. 2017, appendix A.1; DRQ 5.1), g being the `decay`. Batches that stay
    the same lead to their counts and sums; g = 0 takes those of this batch. Where processes
    share the batch, `codes_B` and `residuals_Bd` are the own part and the averages of the whole.
    """
    residuals_Bd = residuals_Bd.detach()
    batch_K = torch.bincount(codes_B, minlength=len(counts_K)).to(counts_K.dtype)
    batch_Kd = torch.zeros_like(sums_Kd).index_add_(0, codes_B, residuals_Bd)
    batch_K, batch_Kd = summed(batch_K), summed(batch_Kd)
    return (
        decay * counts_K + (1 - decay) * batch_K,
        decay * sums_Kd + (1 - decay) * batch_Kd,
    )


def smoothed_means(counts_K: Tensor, sums_Kd: Tensor, before_Kd: Tensor, epsilon: float) -> Tensor:
    """Codewords c_k = m_k / n'_k with Laplace smoothing of the counts.

    n'_k = (n_k + eps) / (n + K eps) n with n = sum_k n_k. Smoothing keeps the quotient of two
    vanishing averages finite, and draws a code that is not used to the origin, slowly: once
    n_k is of the order of eps. A code whose n'_k is zero keeps its codeword of `before_Kd`.
    """
    total = counts_K.sum()
    smoothed_K = (counts_K + epsilon) / (total + len(counts_K) * epsilon).clamp_min(
        torch.finfo(counts_K.dtype).tiny
    )
    smoothed_K1 = (smoothed_K * total)[:, None]
    # Below the smallest normal number a quotient has no digits left to be right in.
    known_K1 = smoothed_K1 >= torch.finfo(counts_K.dtype).tiny
    return torch.where(known_K1, sums_Kd / smoothed_K1.where(known_K1, 1.0), before_Kd)


def revive(
    counts_K: Tensor,
    sums_Kd: Tensor,
    residuals_Bd: Tensor,
    threshold: float,
    generator: Generator,
) -> tuple[Tensor, Tensor]:
    """Averages in which each code with n_k < `threshold` starts again at a residual of the batch.

    The draw r counts as if the code had been used for it once a batch: n_k = 1, m_k = r, or
    `threshold` times as much where that is more than one. Draws are without replacement as
    long as there are enough rows. `generator` lives on the CPU. Where processes share the
    batch, `residuals_Bd` are the own part, and all processes draw the same rows of the whole.
    """
    dead = (counts_K < threshold).nonzero()[:, 0]
    num_rows = num_rows_in_all(len(residuals_Bd))
    rows = torch.randperm(num_rows, generator=generator)[: len(dead)]
    if len(dead) > num_rows:
        rows = torch.randint(num_rows, (len(dead),), generator=generator)
    weight = max(1.0, threshold)
    counts_K, sums_Kd = counts_K.clone(), sums_Kd.clone()
    if len(dead):
        counts_K[dead] = weight
        sums_Kd[dead] = weight * picked(residuals_Bd.detach(), rows.to(residuals_Bd.device))
    return counts_K, sums_Kd
