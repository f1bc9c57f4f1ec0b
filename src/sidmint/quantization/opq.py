"""Optimized product quantization: an orthogonal rotation learned together with the blocks.

Ge et al. 2013, section 3.1 (the non-parametric solution). Shape letters: N points, d their
size, K codewords of a block, b the width of a block, G blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from sidmint.progress import Track, silent
from sidmint.quantization.blocks import block_codes, block_kmeans, block_ranges
from sidmint.quantization.kmeans import KMeans, TooFewPoints, cluster_means, residual_kmeans
from sidmint.quantization.offsets import far_offset


@dataclass(frozen=True)
class Opq:
    """A rotation and one table a block: a point r is coded as the blocks of R r."""

    rotation_dd: Tensor
    """R, orthogonal; the points themselves, being rows, are rotated by `points @ R.T`."""
    tables: tuple[Tensor, ...]
    """(K, b) a block, in rotated space."""
    codes_NG: Tensor
    inertia: tuple[float, ...]
    """sum ||R r - pq(R r)||^2 of plain blocks, then after each round; never rises."""


def opq(
    points_Nd: Tensor,
    sizes: Sequence[int],
    generator: Generator,
    iterations: int = 50,
    tolerance: float = 1e-4,
    rounds: int = 50,
    track: Track = silent,
) -> Opq:
    """R and block tables that (locally) minimise sum ||R r - pq(R r)||^2 over all points.

    Starts at R = 1 with the k-means of every block run to its end, hence is never worse than
    plain blocks of the same start. A round solves for R with codes and codewords fixed, then
    takes one Lloyd step in every block; none of the two can raise the sum. Ends when a round
    lowers it by less than `tolerance` of it, or after `rounds`. Raises `TooFewPoints`.
    An offset far larger than the spread is taken off first and put back into the tables (R x =
    R o + R (x - o)): the rotation would turn to it alone otherwise.
    """
    offset_d = far_offset(points_Nd)
    if offset_d is not None:
        centred = opq(points_Nd - offset_d, sizes, generator, iterations, tolerance, rounds, track)
        return _put_back(points_Nd, centred, offset_d)
    ranges = block_ranges(points_Nd.shape[1], len(sizes))
    blocks = block_kmeans(points_Nd, sizes, generator, iterations, tolerance)
    tables = [block.codewords_Kd for block in blocks]
    codes_NG = torch.stack([block.codes_N for block in blocks], dim=1)
    rotation_dd = torch.eye(points_Nd.shape[1], device=points_Nd.device)
    inertia = [sum(block.inertia[-1] for block in blocks)]
    for _ in track(range(rounds), "rotation", rounds):
        turned_dd = best_rotation(points_Nd, decode_blocks(tables, codes_NG))
        rotated_Nd = points_Nd @ turned_dd.T
        moved = [
            cluster_means(rotated_Nd[:, dims].contiguous(), codes_N, table_Kb)
            for dims, codes_N, table_Kb in zip(ranges, codes_NG.T, tables, strict=True)
        ]
        chosen_NG = block_codes(rotated_Nd, moved)
        error_Nd = rotated_Nd - decode_blocks(moved, chosen_NG)
        reached = float(error_Nd.square().sum(dtype=torch.float64))
        if reached >= inertia[-1]:
            break
        rotation_dd, tables, codes_NG = turned_dd, moved, chosen_NG
        inertia.append(reached)
        if inertia[-2] - reached <= tolerance * reached:
            break
    return Opq(rotation_dd, tuple(tables), codes_NG, tuple(inertia))


def _put_back(points_Nd: Tensor, fitted: Opq, offset_d: Tensor) -> Opq:
    """`fitted` among the points as they are; codes are those of the tables that come out."""
    turned_d = (fitted.rotation_dd.double() @ offset_d.double()).float()
    ranges = block_ranges(len(offset_d), len(fitted.tables))
    tables = [table + turned_d[dims] for table, dims in zip(fitted.tables, ranges, strict=True)]
    rotated_Nd = (points_Nd.double() @ fitted.rotation_dd.T.double()).float()
    codes_NG = block_codes(rotated_Nd, tables)
    error_Nd = rotated_Nd - decode_blocks(tables, codes_NG)
    inertia = (*fitted.inertia[:-1], float(error_Nd.square().sum(dtype=torch.float64)))
    return Opq(fitted.rotation_dd, tuple(tables), codes_NG, inertia)


def best_rotation(points_Nd: Tensor, targets_Nd: Tensor) -> Tensor:
    """The orthogonal R (d, d) that minimises sum ||R x - y||^2 (orthogonal Procrustes).

    R = V U^T of X^T Y = U S V^T (Schoenemann 1966). In float64 on the CPU: so small a matrix
    costs nothing there, and every device gets the same rotation.
    """
    product_dd = (points_Nd.double().T @ targets_Nd.double()).cpu()
    left_dd, _, right_dd = torch.linalg.svd(product_dd)
    rotation_dd: Tensor = (left_dd @ right_dd).T.float().contiguous()
    return rotation_dd.to(points_Nd.device)


def decode_blocks(tables: Sequence[Tensor], codes_NG: Tensor) -> Tensor:
    """The chosen codeword of each block side by side, (N, d)."""
    chosen = [table_Kb[codes_N] for table_Kb, codes_N in zip(tables, codes_NG.T, strict=True)]
    return torch.cat(chosen, dim=1)


def residual_opq(
    points_Nd: Tensor,
    sizes: Sequence[int],
    num_blocks: int,
    generator: Generator,
    iterations: int = 50,
    tolerance: float = 1e-4,
    rounds: int = 50,
    track: Track = silent,
    balance: float | None = None,
) -> tuple[list[KMeans], Opq]:
    """Residual k-means at the first levels, and OPQ of what they leave over as the last ones.

    `sizes` are of all levels; the last `num_blocks` are blocks, which `balance` leaves alone. A
    `TooFewPoints` names the level among all.
    """
    num_levels = len(sizes) - num_blocks
    levels = residual_kmeans(
        points_Nd,
        sizes[:num_levels],
        generator,
        iterations,
        tolerance,
        track=track,
        balance=balance,
    )
    residual_Nd = points_Nd
    for level in levels:
        residual_Nd = residual_Nd - level.codewords_Kd[level.codes_N]
    try:
        last = opq(residual_Nd, sizes[num_levels:], generator, iterations, tolerance, rounds, track)
    except TooFewPoints as error:
        raise TooFewPoints(num_levels + error.level, error.num_codes, error.num_distinct) from error
    return levels, last
