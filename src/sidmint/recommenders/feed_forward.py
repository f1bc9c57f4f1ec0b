"""A feed-forward network that keeps one hidden array for its gradients, not four.

Shape letters: E places, d width, f hidden width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from sidmint.recommenders.dropout import keep_mask


class FeedForward(nn.Module):
    """ReLU between two matrices, after a norm; dropout on the hidden values."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, hidden, bias=False)
        self.outer = nn.Linear(hidden, width, bias=False)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        flat = self.norm(x).flatten(0, -2)
        dropout = self.dropout if self.training else 0.0
        return feed_forward(flat, self.inner.weight, self.outer.weight, dropout).view_as(x)


def feed_forward(x_Ed: Tensor, inner_fd: Tensor, outer_df: Tensor, dropout: float) -> Tensor:
    """`dropout(relu(x @ inner.T)) @ outer.T`, differentiable once in all three.

    A hidden value that was dropped is 0, as one that ReLU cut: its gradient is 0 in both cases,
    so that neither the mask nor what was before ReLU is kept.
    """
    return _FeedForward.apply(x_Ed, inner_fd, outer_df, dropout)  # type: ignore[no-any-return,no-untyped-call]


class _FeedForward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, inner: Tensor, outer: Tensor, dropout: float) -> Tensor:
        hidden = (x @ inner.T).relu_()
        ctx.scale = 1.0
        if dropout:
            mask, ctx.scale = keep_mask(hidden, dropout)
            hidden.mul_(mask)
        ctx.save_for_backward(x, inner, outer, hidden)
        return _scaled_product(hidden, outer.T, ctx.scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, inner, outer, hidden = ctx.saved_tensors
        of_outer = _scaled_product(gradient.T, hidden, ctx.scale)
        of_hidden = _scaled_product(gradient, outer, ctx.scale)
        torch.ops.aten.threshold_backward.grad_input(of_hidden, hidden, 0.0, grad_input=of_hidden)
        return of_hidden @ inner, of_hidden.T @ x, of_outer, None


def _scaled_product(a: Tensor, b: Tensor, scale: float) -> Tensor:
    """`scale * a @ b`, scaled where it is made."""
    return torch.addmm(a.new_empty(()), a, b, beta=0, alpha=scale)
