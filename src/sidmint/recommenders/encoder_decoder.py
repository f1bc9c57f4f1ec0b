"""An encoder and a decoder with cross-attention.

Shape letters: B histories, S history tokens, T decoder places, h heads, e width of a head, d
width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from sidmint.recommenders.dropout import Dropout
from sidmint.recommenders.feed_forward import FeedForward


@dataclass(frozen=True)
class Shape:
    """What a layer is made of."""

    width: int
    heads: int
    head_width: int
    feed_forward: int
    dropout: float


@dataclass(frozen=True)
class Memory:
    """Histories as the encoder left them: states (B, S, d), the same for every decoder layer.

    `is_token` (B, S) is False where a history is padded; None where none is.
    """

    states: Tensor
    is_token: Tensor | None

    def __len__(self) -> int:
        return len(self.states)


class Attention(nn.Module):
    """Attention whose heads need not add up to the width; no offsets, as in T5."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        inner = shape.heads * shape.head_width
        self.heads = shape.heads
        self.head_width = shape.head_width
        self.to_query = nn.Linear(shape.width, inner, bias=False)
        self.to_keys_values = nn.Linear(shape.width, 2 * inner, bias=False)
        self.from_heads = nn.Linear(inner, shape.width, bias=False)

    def query(self, x_BTd: Tensor) -> Tensor:
        """(B, T, h, e)."""
        return self.to_query(x_BTd).unflatten(-1, (self.heads, -1))  # type: ignore[no-any-return]

    def by_head(self) -> tuple[Tensor, Tensor]:
        """The matrices (h, e, d) that make keys, and those that make values."""
        weight = self.to_keys_values.weight
        keys, values = weight.view(2, self.heads, self.head_width, weight.shape[1])
        return keys, values


class SelfAttention(Attention):
    """Places look at each other."""

    def forward(self, x_BTd: Tensor, mask: Tensor | None, is_causal: bool = False) -> Tensor:
        """What the places of `x` find in all of them; `mask` is True where they may look."""
        both = self.to_keys_values(x_BTd).unflatten(-1, (2, self.heads, -1))
        keys, values = both.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(
            self.query(x_BTd).transpose(1, 2), keys, values, attn_mask=mask, is_causal=is_causal
        )
        return self.from_heads(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class CrossAttention(Attention):
    """The few places of a decoder look at the many tokens of a history."""

    def forward(self, x_BTd: Tensor, memory: Memory) -> Tensor:
        """What the places of `x` find in the history.

        q . (W s) = (W^T q) . s: every head takes its query to the states instead of taking all
        states to keys, and mixes states before it makes values of them. Projecting S tokens for
        T = L places, in every layer, was a fifth of a training step.
        """
        to_keys, to_values = self.by_head()
        asked = torch.einsum("bthe,hed->bthd", self.query(x_BTd), to_keys)
        found = functional.scaled_dot_product_attention(
            asked.flatten(1, 2).unsqueeze(1),
            memory.states.unsqueeze(1),
            memory.states.unsqueeze(1),
            attn_mask=None if memory.is_token is None else memory.is_token[:, None, None],
            scale=self.head_width**-0.5,
        )
        mixed = torch.einsum("bthd,hed->bthe", found.view_as(asked), to_values)
        return self.from_heads(mixed.flatten(2))  # type: ignore[no-any-return]


class EncoderLayer(nn.Module):
    """Every token of a history looks at all of them."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(shape.width)
        self.attention = SelfAttention(shape)
        self.feed_forward = FeedForward(shape.width, shape.feed_forward, shape.dropout)
        self.dropout = Dropout(shape.dropout)

    def forward(self, x_BSd: Tensor, mask: Tensor | None) -> Tensor:
        """The same shape; what padded places hold is seen by nobody."""
        x_BSd = x_BSd + self.dropout(self.attention(self.norm(x_BSd), mask))
        return x_BSd + self.dropout(self.feed_forward(x_BSd))  # type: ignore[no-any-return]


class DecoderLayer(nn.Module):
    """A place looks at those before it, then at the history."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(shape.width)
        self.attention = SelfAttention(shape)
        self.cross_norm = nn.LayerNorm(shape.width)
        self.cross_attention = CrossAttention(shape)
        self.feed_forward = FeedForward(shape.width, shape.feed_forward, shape.dropout)
        self.dropout = Dropout(shape.dropout)

    def forward(self, x_BTd: Tensor, memory: Memory) -> Tensor:
        """All places at once, teacher-forced."""
        x_BTd = x_BTd + self.dropout(self.attention(self.norm(x_BTd), None, is_causal=True))
        x_BTd = x_BTd + self.dropout(self.cross_attention(self.cross_norm(x_BTd), memory))
        return x_BTd + self.dropout(self.feed_forward(x_BTd))  # type: ignore[no-any-return]


class EncoderDecoder(nn.Module):
    """As many layers of one kind as of the other, pre-norm."""

    def __init__(self, shape: Shape, layers: int) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(EncoderLayer(shape) for _ in range(layers))
        self.decoder_layers = tuple(DecoderLayer(shape) for _ in range(layers))
        self.decoder = nn.ModuleList(self.decoder_layers)
        self.encoder_norm = nn.LayerNorm(shape.width)
        self.decoder_norm = nn.LayerNorm(shape.width)
        self.dropout = Dropout(shape.dropout)

    def encode(self, x_BSd: Tensor, is_token_BS: Tensor) -> Memory:
        """What the decoder reads of histories; each needs one token at least."""
        is_token = None if bool(is_token_BS.all()) else is_token_BS
        mask = None if is_token is None else is_token[:, None, None]
        x_BSd = self.dropout(x_BSd)
        for layer in self.encoder:
            x_BSd = layer(x_BSd, mask)
        return Memory(self.dropout(self.encoder_norm(x_BSd)), is_token)

    def decode(self, x_BTd: Tensor, memory: Memory) -> Tensor:
        """States (B, T, d) of all places, each told of those before it and itself."""
        x_BTd = self.dropout(x_BTd)
        for layer in self.decoder_layers:
            x_BTd = layer(x_BTd, memory)
        return self.dropout(self.decoder_norm(x_BTd))  # type: ignore[no-any-return]
