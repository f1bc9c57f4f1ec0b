"""Sums over the processes of one fit; in a single process everything here is the identity.

Every process holds all rows and draws the same random numbers, so only work is divided: each
takes its own share of the rows, and counts, sums and gradients are added up. What comes back
has the same bits in every process, so they all go on alike. A call waits until every process
makes it: whether to call may depend on nothing that differs between them.

A sum over all rows becomes one over processes like this:

    own = own_rows(len(points_Nd))
    codes_N = gathered(nearest(points_Nd[own], codewords_Kd), len(points_Nd))
    sums_Kd = summed(sums_by_code(points_Nd[own], codes_N[own]))

Tensors stay on their device: `torch.distributed` wants a backend for each kind that is used
(gloo for the CPU, NCCL for CUDA).

Shape letters: N rows of the whole, B own rows, M rows picked.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def num_processes() -> int:
    """How many processes share the fit."""
    return dist.get_world_size() if _joined() else 1


def rank() -> int:
    """Which of them this is, from 0; the first is the one that speaks and writes."""
    return dist.get_rank() if _joined() else 0


def own_rows(num_rows: int) -> slice:
    """The share of the rows that this process does.

    Contiguous, in order of rank; lengths differ by one at most.
    """
    return _share(num_rows, rank())


def summed(tensor: Tensor) -> Tensor:
    """The sum of every process' `tensor`; shapes are equal.

    Floats are added in another order than in one process, and agree with it up to rounding.
    """
    if num_processes() == 1:
        return tensor
    total = tensor.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total


def from_first(tensor: Tensor) -> Tensor:
    """The `tensor` of the first process; shapes are equal."""
    if num_processes() == 1:
        return tensor
    first = tensor.clone(memory_format=torch.contiguous_format)
    dist.broadcast(first, src=0)
    return first


def gathered(rows_B: Tensor, num_rows: int) -> Tensor:
    """All N = `num_rows` rows, in order, of which each process has computed its `own_rows`."""
    shares = [_share(num_rows, other) for other in range(num_processes())]
    return _gathered(rows_B, [share.stop - share.start for share in shares])


def picked(rows_B: Tensor, numbers_M: Tensor) -> Tensor:
    """Some rows of the whole, by number: that of every process' rows in order of rank.

    Shares may have any length, and no more than the M picked rows travel. `numbers_M` are
    the same everywhere.
    """
    if num_processes() == 1:
        return rows_B[numbers_M]
    length = torch.tensor([len(rows_B)])
    lengths = _gathered(length, [1] * num_processes())
    places_M = numbers_M - lengths[: rank()].sum().to(numbers_M.device)
    own_M = (places_M >= 0) & (places_M < len(rows_B))
    picked_M = rows_B.new_zeros((len(numbers_M), *rows_B.shape[1:]))
    picked_M[own_M] = rows_B[places_M[own_M]]
    return summed(picked_M)


def num_rows_in_all(num_own: int) -> int:
    """The sum of every process' number of rows."""
    return int(summed(torch.tensor(num_own))) if num_processes() > 1 else num_own


def _joined() -> bool:
    return dist.is_available() and dist.is_initialized()


def _share(num_rows: int, of_rank: int) -> slice:
    each, more = divmod(num_rows, num_processes())
    start = of_rank * each + min(of_rank, more)
    return slice(start, start + each + (of_rank < more))


def _gathered(rows_B: Tensor, lengths: list[int]) -> Tensor:
    """Every process' rows, in order of rank. Backends want equal shapes, so shares are padded."""
    if num_processes() == 1:
        return rows_B
    padded = rows_B.new_zeros((max(lengths), *rows_B.shape[1:]))
    padded[: len(rows_B)] = rows_B
    parts = [torch.empty_like(padded) for _ in lengths]
    dist.all_gather(parts, padded)
    return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])
