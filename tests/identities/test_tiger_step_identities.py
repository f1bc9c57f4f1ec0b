"""What makes tiger's training step fast changes nothing that it computes."""

import platform

import numpy as np
import pytest
import torch
from torch.nn import functional

from sidmint.devices import keep_freed_memory
from sidmint.recommenders import IdTable, Sequences
from sidmint.recommenders import tiger as tiger_file
from sidmint.recommenders.dropout import Dropout, keep_mask
from sidmint.recommenders.encoder_decoder import CrossAttention, Memory, Shape
from sidmint.recommenders.feed_forward import feed_forward
from sidmint.recommenders.tiger import Tiger, TigerConfig
from sidmint.types import Codes

SHAPE = Shape(width=8, heads=3, head_width=5, feed_forward=16, dropout=0.0)


def noise(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("share", [0.0, 0.25])
def test_the_feed_forward_is_relu_between_two_matrices_and_so_are_its_gradients(share):
    x, inner, outer, weights = noise(7, 8), noise(16, 8, seed=1), noise(8, 16, seed=2), noise(7, 8)
    torch.manual_seed(3)
    found = feed_forward(x, inner, outer, share)
    hidden = functional.relu(x @ inner.T)
    if share:
        torch.manual_seed(3)
        mask, scale = keep_mask(hidden, share)
        assert 0 < (mask == 0).sum() < mask.numel()
        hidden = hidden * mask * scale
    wanted = hidden @ outer.T
    torch.testing.assert_close(found, wanted)
    by_ours = torch.autograd.grad((found * weights).sum(), (x, inner, outer))
    by_torch = torch.autograd.grad((wanted * weights).sum(), (x, inner, outer))
    torch.testing.assert_close(by_ours, by_torch)


@pytest.mark.parametrize("padded", [False, True])
def test_queries_that_go_to_the_states_find_what_keys_and_values_of_all_tokens_give(padded):
    torch.manual_seed(4)
    attention = CrossAttention(SHAPE).double()
    x, states, weights = noise(2, 4, 8), noise(2, 6, 8, seed=1), noise(2, 4, 8, seed=2)
    is_token = torch.tensor([[True] * 6, [True] * 4 + [False] * 2]) if padded else None
    found = attention(x, Memory(states, is_token))
    keys, values = attention.to_keys_values(states).view(2, 6, 2, 3, 5).permute(2, 0, 3, 1, 4)
    scores = attention.to_query(x).view(2, 4, 3, 5).transpose(1, 2) @ keys.transpose(2, 3) / 5**0.5
    if is_token is not None:
        scores = scores.masked_fill(~is_token[:, None, None], -torch.inf)
    wanted = attention.from_heads((scores.softmax(-1) @ values).transpose(1, 2).flatten(2))
    torch.testing.assert_close(found, wanted)
    of = (x, states, *attention.parameters())
    by_ours = torch.autograd.grad((found * weights).sum(), of)
    by_textbook = torch.autograd.grad((wanted * weights).sum(), of)
    torch.testing.assert_close(by_ours, by_textbook)


@pytest.fixture(scope="module")
def untrained():
    rng = np.random.default_rng(3)
    ids = np.unique(rng.integers(0, 6, (40, 3)).astype(np.int32), axis=0)
    lists = Sequences.of([rng.integers(0, len(ids), length) for length in (1, 9, 4, 6, 2)])
    model = Tiger(
        TigerConfig(
            width=16, layers=2, heads=3, head_width=4, feed_forward=32, epochs=1, dropout=0,
            max_length=5, user_tokens=3,
        )
    )  # fmt: skip
    model.fit(lists, IdTable(Codes(ids, (6, 6, 6))), seed=5)
    rows = torch.from_numpy(model.examples(lists).padded(7)).long()
    return model, rows


@pytest.mark.parametrize("tokens", [1, 20, 45, 10_000])
def test_gradients_of_pieces_add_up_to_those_of_the_batch(untrained, tokens, monkeypatch):
    model, rows = untrained
    monkeypatch.setattr(tiger_file, "_PIECE_TOKENS", tokens)
    model.module.zero_grad()
    total = model.add_gradients(rows)
    by_pieces = [p.grad.clone() for p in model.module.parameters()]
    model.module.zero_grad()
    loss = model.loss(rows)
    loss.backward()
    torch.testing.assert_close(total, loss.detach())
    for found, parameter in zip(by_pieces, model.module.parameters(), strict=True):
        torch.testing.assert_close(found, parameter.grad, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("tokens", [1, 20, 45, 10_000])
def test_every_example_is_in_one_piece_whole(untrained, tokens, monkeypatch):
    model, rows = untrained
    monkeypatch.setattr(tiger_file, "_PIECE_TOKENS", tokens)
    found = [row[row >= 0].tolist() for piece in model._pieces(rows) for row in piece]
    assert sorted(found) == sorted(row[row >= 0].tolist() for row in rows)
    assert len(list(model._pieces(rows))) > 1 or tokens == 10_000


def test_dropout_drops_its_share_and_keeps_the_expectation():
    torch.manual_seed(1)
    mask, scale = keep_mask(torch.empty(1000, 1001), 0.1)
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert float(mask.mean()) == pytest.approx(0.9, abs=6 * (0.09 / mask.numel()) ** 0.5)
    assert scale * 0.9 == pytest.approx(1, abs=2e-5)
    # Four values share a draw, and know nothing of each other.
    four = mask.flatten()[: 4 * 250_000].view(-1, 4)
    assert torch.corrcoef(four.T).triu(1).abs().max() < 0.01


def test_dropout_is_drawn_anew_in_training_and_nothing_outside_it():
    torch.manual_seed(2)
    layer, x = Dropout(0.5), torch.ones(64)
    assert (layer(x) != layer(x)).any()
    assert set(layer(x).tolist()) == {0.0, 2.0}
    torch.manual_seed(2)
    again = layer(x)
    torch.manual_seed(2)
    assert torch.equal(layer(x), again)
    assert layer.eval()(x) is x


def test_freed_memory_is_kept_where_the_library_can():
    assert keep_freed_memory() == (platform.libc_ver()[0] == "glibc")
