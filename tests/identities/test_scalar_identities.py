"""Finite scalar quantization: digits, the bound, the walk, and the gradient."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sidmint.errors import BadInput
from sidmint.quantization.residual import residual_codes
from sidmint.quantization.scalar import (
    Bound,
    ScalarQuantizer,
    decode_digits,
    encode_digits,
    factors,
    grid,
)
from sidmint.tokenizers import make_tokenizer

RADICES = ((4, 3), (5,), (2, 2, 3))
FLAT = [radix for own in RADICES for radix in own]


def some_latents(num_rows: int = 500) -> torch.Tensor:
    draws = torch.Generator().manual_seed(0)
    return Bound(FLAT)(2 * torch.randn(num_rows, len(FLAT), generator=draws))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(2, 9), min_size=1, max_size=4))
def test_mixed_radix_is_a_bijection(radices: list[int]) -> None:
    codes = torch.arange(math.prod(radices))
    digits = decode_digits(codes, radices)
    assert bool((digits < torch.tensor(radices)).all())
    assert torch.equal(encode_digits(digits, radices), codes)
    assert len(torch.unique(digits, dim=0)) == len(codes)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 5000))
def test_factors_multiply_to_the_size_and_are_no_smaller_than_four(size: int) -> None:
    found = factors(size)
    assert math.prod(found) == size
    assert len(found) == 1 or min(found) >= 4


@pytest.mark.parametrize(
    ("size", "expected"),
    [(256, (4, 4, 4, 4)), (240, (8, 6, 5)), (1000, (8, 5, 5, 5)), (4096, (4,) * 6), (7, (7,))],
)
def test_factors_are_as_many_and_as_even_as_can_be(size: int, expected: tuple[int, ...]) -> None:
    """240 and 1,000 come out as in Table 1 of the paper."""
    assert factors(size) == expected


def paper_bound(z: np.ndarray, radix: int) -> np.ndarray:
    """Appendix A.1 of Mentzer et al. 2024, in whole steps."""
    half = (radix - 1) * (1 - 1e-3) / 2
    offset = 0.5 if radix % 2 == 0 else 0.0
    return np.tanh(z + np.tan(offset / half)) * half - offset


@pytest.mark.parametrize("radix", [2, 3, 4, 5, 8, 17])
def test_the_bound_is_the_papers_and_rounds_to_as_many_values_as_it_says(radix: int) -> None:
    z = np.linspace(-9, 9, 20_001)
    steps = Bound([radix])(torch.from_numpy(z)[:, None].float())[:, 0].numpy() * (radix // 2)
    assert np.allclose(steps, paper_bound(z, radix), atol=1e-5)
    values = np.unique(np.round(steps))
    assert values.tolist() == list(range(-(radix // 2), (radix + 1) // 2))
    assert bool((np.diff(steps) >= 0).all())
    assert values.tolist() == (grid([radix])[:, 0].numpy() * (radix // 2)).tolist()


def test_the_walk_rounds_every_dimension_on_its_own() -> None:
    latents = some_latents()
    codes = residual_codes(latents, ScalarQuantizer(RADICES).tables())
    left = 0
    for level, own in enumerate(RADICES):
        units = torch.tensor([radix // 2 for radix in own])
        rounded = torch.round(latents[:, left : left + len(own)] * units).long() + units
        assert torch.equal(codes[:, level], encode_digits(rounded, own))
        left += len(own)


def test_every_code_is_alive_since_its_codeword_is_its_own_nearest() -> None:
    tables = ScalarQuantizer(RADICES).tables()
    shape = torch.cartesian_prod(*(torch.arange(len(table)) for table in tables))
    latents = torch.stack([table[shape[:, n]] for n, table in enumerate(tables)]).sum(dim=0)
    assert torch.equal(residual_codes(latents, tables), shape)
    assert float(latents.abs().max()) <= 1


def test_the_gradient_passes_the_rounding_as_if_it_were_not_there() -> None:
    latents = some_latents(7).requires_grad_()
    walk, quantized = ScalarQuantizer(RADICES)(latents)
    direction = torch.randn(quantized.shape, generator=torch.Generator().manual_seed(1))
    (quantized * direction).sum().backward()
    assert torch.equal(latents.grad, direction)
    assert torch.allclose(quantized, walk.quantized, atol=1e-6)
    assert not list(ScalarQuantizer(RADICES).parameters())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"radices": [[8, 6, 5]] * 3}, r"multiply to \[240, 240, 240\], but sizes are \[256"),
        ({"latent_dim": 5}, "latent_dim 5 is not the number of radices, 12"),
        ({"start": "latents"}, "start"),
        ({"losses": [{"name": "reconstruction"}, {"name": "kl"}]}, "does not provide"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        make_tokenizer("fsq", changes)


def test_the_papers_240_codes_are_8_by_6_by_5() -> None:
    tokenizer = make_tokenizer("fsq", {"sizes": [240] * 3, "radices": [[8, 6, 5]] * 3})
    assert tokenizer.latent_dim == 9
    assert [len(table) for table in tokenizer.make_quantizer().tables()] == [240] * 3
