"""The blockwise softmax loss is cross-entropy over the catalogue, and so are its gradients."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from sidmint.recommenders import softmax
from sidmint.recommenders.softmax import softmax_loss


def _world(num_events: int, num_items: int, scale: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    known = scale * torch.randn(num_events, 8, generator=generator, dtype=torch.float64)
    items = torch.randn(num_items, 8, generator=generator, dtype=torch.float64)
    targets = torch.randint(num_items, (num_events,), generator=generator)
    return known.requires_grad_(), items.requires_grad_(), targets


@pytest.mark.parametrize("num_events", [1, 16, 45])
def test_loss_and_gradients_are_those_of_cross_entropy(
    num_events: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(softmax, "_ENTRIES", 1)  # the smallest blocks: 45 events make three
    known, items, targets = _world(num_events, 70)
    expected = functional.cross_entropy(known @ items.T, targets)
    wanted = torch.autograd.grad(expected, (known, items))
    loss = softmax_loss(known, items, targets)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss, (known, items)), wanted)


def test_scores_beyond_the_exponential_s_reach_stay_finite() -> None:
    known, items, targets = _world(4, 9, scale=1e4)
    loss = softmax_loss(known, items, targets)
    torch.testing.assert_close(loss, functional.cross_entropy(known @ items.T, targets))
    assert all(part.isfinite().all() for part in torch.autograd.grad(loss, (known, items)))


def test_a_step_of_twice_the_loss_is_twice_the_step() -> None:
    known, items, targets = _world(5, 9)
    once = torch.autograd.grad(softmax_loss(known, items, targets), items)[0]
    twice = torch.autograd.grad(2 * softmax_loss(known, items, targets), items)[0]
    torch.testing.assert_close(twice, 2 * once)
