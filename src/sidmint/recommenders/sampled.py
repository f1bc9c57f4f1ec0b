"""Products of chosen pairs of rows: q N^T where it is wanted, and nowhere else.

Shape letters: E queries, N keys, d width, Z chosen pairs.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

with warnings.catch_warnings():
    # Said once a process, of the first tensor of this kind, whose form torch may yet change.
    warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
    torch.sparse_csr_tensor([0, 0], [], [], (1, 1), check_invariants=False)


def sampled_products(
    queries_Ed: Tensor, keys_Nd: Tensor, starts: Tensor, columns_Z: Tensor
) -> Tensor:
    """(Z,) products of query e with the keys `columns_Z[starts[e]:starts[e + 1]]`, query by query.

    `starts` (E + 1,) int64 rises from 0 to Z. Differentiable in queries and keys. As compressed
    rows neither the E x N products nor the Z x d gathered rows are ever written: on a trie of
    12,101 ids a twentieth of the time of gathering them.
    """
    return _SampledProducts.apply(queries_Ed, keys_Nd, starts, columns_Z)  # type: ignore[no-any-return,no-untyped-call]


class _SampledProducts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, starts: Tensor, columns: Tensor) -> Tensor:
        ctx.save_for_backward(queries, keys, starts, columns)
        wanted = _rows(starts, columns, queries.new_zeros(len(columns)), len(keys))
        products: Tensor = torch.sparse.sampled_addmm(wanted, queries, keys.T, beta=0.0).values()
        return products

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:  # type: ignore[override]
        queries, keys, starts, columns = ctx.saved_tensors
        by_query = _rows(starts, columns, gradient.contiguous(), len(keys))
        # The same entries by key: sorted, not scattered, so that sums keep one order.
        order = torch.argsort(columns, stable=True)
        owners = torch.repeat_interleave(
            torch.arange(len(queries), device=columns.device), starts.diff()
        )
        counts = torch.bincount(columns, minlength=len(keys))
        key_starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        by_key = _rows(key_starts, owners[order], gradient[order], len(queries))
        return by_query @ keys, by_key @ queries, None, None


def _rows(starts: Tensor, columns: Tensor, values: Tensor, width: int) -> Tensor:
    size = (len(starts) - 1, width)
    return torch.sparse_csr_tensor(starts, columns, values, size, check_invariants=False)
