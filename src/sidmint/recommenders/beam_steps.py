"""The decoder's step, a place at a time, for all beams of a history side by side.

Shape letters: B histories, S history tokens, W beams, h heads, e width of a head, d width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sidmint.recommenders.encoder_decoder import (
    CrossAttention,
    DecoderLayer,
    EncoderDecoder,
    Memory,
    SelfAttention,
)


class BeamSteps:
    """States of one more place of every beam, as `EncoderDecoder.decode` gives them.

    Outside training. What a history is to a layer is worked out once, whatever the beam.
    """

    def __init__(self, body: EncoderDecoder, memory: Memory) -> None:
        self._norm = body.decoder_norm
        self._layers = [_LayerSteps(layer, memory) for layer in body.decoder_layers]

    def __call__(
        self, x_BWd: Tensor, parents_BW: Tensor | None, has_looked_back: bool = False
    ) -> Tensor:
        """States (B, W, d); beam w goes on from beam `parents[b, w]` of the call before.

        `parents` is None at the first place. Where the first layer `has_looked_back`, `x` is what
        it had then (`FirstLook`): so for all places after the first, or for none.
        """
        batch, width, _ = x_BWd.shape
        rows = None if parents_BW is None else self._rows(parents_BW)
        x_Ed = x_BWd.flatten(0, 1)
        for number, layer in enumerate(self._layers):
            if number or not has_looked_back:
                x_Ed = layer.look_back(x_Ed, rows)
            x_Ed = layer.then(x_Ed, batch)
        self._width = width
        return self._norm(x_Ed).view(x_BWd.shape)  # type: ignore[no-any-return]

    def _rows(self, parents_BW: Tensor) -> Tensor:
        """Parents among all beams of all histories, (B * W,)."""
        first = torch.arange(len(parents_BW), device=parents_BW.device) * self._width
        return (parents_BW + first.unsqueeze(1)).flatten()


class _LayerSteps:
    """One decoder layer, the keys and values of the beams' own places, and the history."""

    def __init__(self, layer: DecoderLayer, memory: Memory) -> None:
        self._layer = layer
        self._history = _History(layer.cross_attention, memory)
        self._before: list[Tensor] = []

    def look_back(self, x_Ed: Tensor, rows_E: Tensor | None) -> Tensor:
        """With what beams find in their own places so far; `rows` are the parents'."""
        if rows_E is not None:
            self._before = [each.index_select(0, rows_E) for each in self._before]
        x_Ed, own = look_back(self._layer, x_Ed, self._before)
        self._before.append(own)
        return x_Ed

    def then(self, x_Ed: Tensor, batch: int) -> Tensor:
        """With what they find in the history, and the feed-forward of it; `x` is overwritten."""
        asked_BWd = self._layer.cross_norm(x_Ed).view(batch, -1, x_Ed.shape[1])
        x_Ed = x_Ed.add_(self._history(asked_BWd).flatten(0, 1))
        return x_Ed.add_(self._layer.feed_forward(x_Ed))


def look_back(layer: DecoderLayer, x_Ed: Tensor, before: list[Tensor]) -> tuple[Tensor, Tensor]:
    """`x` with what it finds `before` and in itself, and its own keys and values.

    Keys and values (E, 2 * h * e) of a place.
    """
    inputs = layer.norm(x_Ed)
    own = layer.attention.to_keys_values(inputs)
    return x_Ed + _found(layer.attention, inputs, [*before, own]), own


def _found(attention: SelfAttention, x_Ed: Tensor, places: list[Tensor]) -> Tensor:
    """What beams find in their own places, keys and values (E, 2 * h * e) each."""
    if len(places) == 1:
        return attention.from_heads(places[0].chunk(2, dim=1)[1])  # type: ignore[no-any-return]
    query = attention.to_query(x_Ed) * attention.head_width**-0.5
    pairs = [each.chunk(2, dim=1) for each in places]
    shape = len(x_Ed), attention.heads, attention.head_width
    scores = torch.stack([(query * keys).view(*shape).sum(dim=-1) for keys, _ in pairs])
    mixed = torch.zeros_like(query).view(*shape)
    for weight, (_, values) in zip(scores.softmax(dim=0), pairs, strict=True):
        mixed.addcmul_(weight.unsqueeze(-1), values.view(*shape))
    return attention.from_heads(mixed.flatten(1))  # type: ignore[no-any-return]


class _History:
    """Cross-attention with the query's matrix inside the keys, the output's inside the values.

    A head of a beam then costs two products with the history, d wide, and no projection. At 50
    beams, 4 codes and heads of 64 that is less work up to about 70 tokens, and in larger products
    whatever the length.
    """

    def __init__(self, attention: CrossAttention, memory: Memory) -> None:
        to_keys, to_values = attention.by_head()
        to_query = attention.to_query.weight.view_as(to_keys)
        from_heads = attention.from_heads.weight.view(-1, *to_values.shape[:2])
        asked = torch.einsum("hec,hed->dhc", to_query, to_keys) * attention.head_width**-0.5
        given = torch.einsum("che,hed->dhc", from_heads, to_values)
        self._heads = attention.heads
        self._keys = self._of_tokens(memory.states, asked).transpose(1, 2)
        self._values = self._of_tokens(memory.states, given)
        self._mask = None
        if memory.is_token is not None:
            mask = torch.zeros(memory.is_token.shape).to(memory.states)
            mask = mask.masked_fill_(~memory.is_token, -torch.inf)
            self._mask = mask[:, None].repeat(1, 1, self._heads)

    def _of_tokens(self, states_BSd: Tensor, matrices_dhd: Tensor) -> Tensor:
        """(B, h * S, d)."""
        each = states_BSd @ matrices_dhd.flatten(1)
        return each.view(*each.shape[:2], self._heads, -1).transpose(1, 2).flatten(1, 2)

    def __call__(self, x_BWd: Tensor) -> Tensor:
        scores = (
            x_BWd @ self._keys
            if self._mask is None
            else torch.baddbmm(self._mask, x_BWd, self._keys)
        )
        weights = scores.view(*scores.shape[:2], self._heads, -1).softmax(dim=-1)
        return weights.flatten(2) @ self._values
