"""An encoder and a decoder with cross-attention, and the decoder's step with a cache.

Shape letters: B histories, S history tokens, T decoder places, W beams, h heads, e width of a
head, d width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

KeysValues = tuple[Tensor, Tensor]


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
    """Histories as the decoder reads them: keys and values (B, h, S, e) of every layer.

    Made once, whatever the beam. `is_token` (B, 1, 1, S) is False where a history is padded.
    """

    layers: tuple[KeysValues, ...]
    is_token: Tensor


class Attention(nn.Module):
    """Attention whose heads need not add up to the width; no offsets, as in T5."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        inner = shape.heads * shape.head_width
        self.heads = shape.heads
        self.to_query = nn.Linear(shape.width, inner, bias=False)
        self.to_keys_values = nn.Linear(shape.width, 2 * inner, bias=False)
        self.from_heads = nn.Linear(inner, shape.width, bias=False)

    def keys_values(self, x_BSd: Tensor) -> KeysValues:
        """(B, h, S, e) each."""
        batch, length, _ = x_BSd.shape
        both = self.to_keys_values(x_BSd).view(batch, length, 2, self.heads, -1)
        keys, values = both.permute(2, 0, 3, 1, 4)
        return keys, values

    def forward(
        self, x_BTd: Tensor, known: KeysValues, mask: Tensor | None, is_causal: bool = False
    ) -> Tensor:
        """What the places of `x` find in `known`; `mask` is True where they may look."""
        batch, length, _ = x_BTd.shape
        query = self.to_query(x_BTd).view(batch, length, self.heads, -1).transpose(1, 2)
        mixed = functional.scaled_dot_product_attention(
            query, *known, attn_mask=mask, is_causal=is_causal
        )
        return self.from_heads(mixed.transpose(1, 2).reshape(batch, length, -1))  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """ReLU between two matrices, after a norm."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(shape.width)
        self.inner = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.dropout = nn.Dropout(shape.dropout)
        self.outer = nn.Linear(shape.feed_forward, shape.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        inner = self.dropout(functional.relu(self.inner(self.norm(x))))
        return self.outer(inner)  # type: ignore[no-any-return]


class EncoderLayer(nn.Module):
    """Every token of a history looks at all of them."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(shape.width)
        self.attention = Attention(shape)
        self.feed_forward = FeedForward(shape)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x_BSd: Tensor, is_token: Tensor) -> Tensor:
        """The same shape; what padded places hold is seen by nobody."""
        inputs = self.norm(x_BSd)
        mixed = self.attention(inputs, self.attention.keys_values(inputs), is_token)
        x_BSd = x_BSd + self.dropout(mixed)
        return x_BSd + self.dropout(self.feed_forward(x_BSd))  # type: ignore[no-any-return]


class DecoderLayer(nn.Module):
    """A place looks at those before it, then at the history."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(shape.width)
        self.attention = Attention(shape)
        self.cross_norm = nn.LayerNorm(shape.width)
        self.cross_attention = Attention(shape)
        self.feed_forward = FeedForward(shape)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x_BTd: Tensor, memory: KeysValues, is_token: Tensor) -> Tensor:
        """All places at once, teacher-forced."""
        inputs = self.norm(x_BTd)
        mixed = self.attention(inputs, self.attention.keys_values(inputs), None, is_causal=True)
        return self._then(x_BTd + self.dropout(mixed), memory, is_token)

    def step(
        self, x_BWd: Tensor, before: KeysValues | None, memory: KeysValues, is_token: Tensor
    ) -> tuple[Tensor, KeysValues]:
        """One more place of every beam, and the cache with it.

        `before` are keys and values (B, W, t, h * e) of the beams' own places so far. Beams are
        queries side by side to the history, whose keys and values are never copied.
        """
        batch, width, _ = x_BWd.shape
        inputs = self.norm(x_BWd)
        keys, values = self.attention.to_keys_values(inputs).unsqueeze(2).chunk(2, dim=-1)
        if before is not None:
            keys = torch.cat([before[0], keys], dim=2)
            values = torch.cat([before[1], values], dim=2)
        own = (self._by_head(keys), self._by_head(values))
        mixed = self.attention(inputs.reshape(batch * width, 1, -1), own, None)
        x_BWd = x_BWd + mixed.view(batch, width, -1)
        return self._then(x_BWd, memory, is_token), (keys, values)

    def _by_head(self, cached: Tensor) -> Tensor:
        """(B, W, t, h * e) as (B * W, h, t, e)."""
        flat = cached.flatten(0, 1)
        return flat.view(*flat.shape[:2], self.attention.heads, -1).transpose(1, 2)

    def _then(self, x_BTd: Tensor, memory: KeysValues, is_token: Tensor) -> Tensor:
        found = self.cross_attention(self.cross_norm(x_BTd), memory, is_token)
        x_BTd = x_BTd + self.dropout(found)
        return x_BTd + self.dropout(self.feed_forward(x_BTd))  # type: ignore[no-any-return]


class EncoderDecoder(nn.Module):
    """As many layers of one kind as of the other, pre-norm."""

    def __init__(self, shape: Shape, layers: int) -> None:
        super().__init__()
        encoder = [EncoderLayer(shape) for _ in range(layers)]
        decoder = [DecoderLayer(shape) for _ in range(layers)]
        self.encoder, self.decoder = nn.ModuleList(encoder), nn.ModuleList(decoder)
        self._decoder_layers = tuple(decoder)
        self.encoder_norm = nn.LayerNorm(shape.width)
        self.decoder_norm = nn.LayerNorm(shape.width)
        self.dropout = nn.Dropout(shape.dropout)

    def encode(self, x_BSd: Tensor, is_token_BS: Tensor) -> Memory:
        """What the decoder reads of histories; each needs one token at least."""
        is_token = is_token_BS[:, None, None, :]
        x_BSd = self.dropout(x_BSd)
        for layer in self.encoder:
            x_BSd = layer(x_BSd, is_token)
        x_BSd = self.dropout(self.encoder_norm(x_BSd))
        return Memory(
            tuple(d.cross_attention.keys_values(x_BSd) for d in self._decoder_layers), is_token
        )

    def decode(self, x_BTd: Tensor, memory: Memory) -> Tensor:
        """States (B, T, d) of all places, each told of those before it and itself."""
        x_BTd = self.dropout(x_BTd)
        for layer, known in zip(self._decoder_layers, memory.layers, strict=True):
            x_BTd = layer(x_BTd, known, memory.is_token)
        return self.dropout(self.decoder_norm(x_BTd))  # type: ignore[no-any-return]

    def step(
        self, x_BWd: Tensor, cache: list[KeysValues] | None, memory: Memory
    ) -> tuple[Tensor, list[KeysValues]]:
        """States (B, W, d) of one more place, as `decode` gives them, and the cache to go on."""
        grown = []
        for number, layer in enumerate(self._decoder_layers):
            before = None if cache is None else cache[number]
            x_BWd, own = layer.step(x_BWd, before, memory.layers[number], memory.is_token)
            grown.append(own)
        return self.decoder_norm(x_BWd), grown
