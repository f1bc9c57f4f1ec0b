"""A causal transformer over item positions: pre-norm blocks, learned places.

Shape letters: B sequences, T positions, d width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """Attention to positions before and here, then a feed-forward of four times the width."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention = nn.LayerNorm(width)
        self.to_qkv = nn.Linear(width, 3 * width)
        self.from_heads = nn.Linear(width, width)
        self.before_mlp = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTd: Tensor) -> Tensor:
        """The same shape, each position informed by those up to it."""
        batch, length, width = x_BTd.shape
        qkv = self.to_qkv(self.before_attention(x_BTd))
        q, k, v = qkv.view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        mixed = mixed.transpose(1, 2).reshape(batch, length, width)
        x_BTd = x_BTd + self.dropout(self.from_heads(mixed))
        refined: Tensor = x_BTd + self.dropout(self.mlp(self.before_mlp(x_BTd)))
        return refined


class CausalTransformer(nn.Module):
    """From item inputs (B, T, d) to what is known after each of them, and before the first.

    A learned start stands before the first item, so that an empty history has a state too: the
    output (B, T + 1, d) at place t knows t items. Sequences are padded on the right, which a
    causal mask never looks at.

    Places are learned and begin as small as item inputs do, N(0, .02^2): places of unit
    variance drown them, and training is then ten times slower.
    """

    def __init__(
        self, width: int, layers: int, heads: int, dropout: float, max_length: int
    ) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.randn(width) * 0.02)
        self.places = nn.Parameter(torch.randn(max_length + 1, width) * 0.02)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, inputs_BTd: Tensor) -> Tensor:
        """States (B, T + 1, d)."""
        start = self.start.expand(len(inputs_BTd), 1, -1)
        x = torch.cat([start, inputs_BTd], dim=1)
        x = self.dropout(x + self.places[: x.shape[1]])
        for block in self.blocks:
            x = block(x)
        return self.norm(x)  # type: ignore[no-any-return]
