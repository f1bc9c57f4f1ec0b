"""A code depends on the point and the codebook alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import worlds
from sidmint.quantization import assignment
from sidmint.quantization.assignment import nearest
from sidmint.quantization.residual import residual_codes


def crowded(seed: int, num_points: int, num_codes: int, size: int) -> tuple[torch.Tensor, ...]:
    """Points half way between codewords of a tight bundle: near-ties all over."""
    generator = torch.Generator().manual_seed(seed)
    centre = torch.randn(1, size, generator=generator)
    codewords = centre + 1e-4 * torch.randn(num_codes, size, generator=generator)
    ends = torch.randint(num_codes, (2, num_points), generator=generator)
    return (codewords[ends[0]] + codewords[ends[1]]) / 2, codewords


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), num_codes=st.integers(2, 70), size=st.integers(1, 97))
def test_permuted_points_get_permuted_codes(seed: int, num_codes: int, size: int) -> None:
    points, codewords = crowded(seed, 150, num_codes, size)
    order = torch.randperm(150, generator=torch.Generator().manual_seed(seed))
    before = codewords.clone()
    assert torch.equal(nearest(points[order], codewords), nearest(points, codewords)[order])
    assert torch.equal(codewords, before)


@pytest.mark.parametrize("size", [32, 384])
def test_one_point_alone_gets_the_code_it_gets_among_5000(size: int) -> None:
    points, codewords = crowded(size, 5000, 32, size)
    together = nearest(points, codewords)
    alone = torch.cat([nearest(points[row : row + 1], codewords) for row in range(0, 5000, 50)])
    assert torch.equal(alone, together[::50])


def test_block_size_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    points, codewords = crowded(3, 1500, 20, 48)
    expected = nearest(points, codewords)
    for scores in (1, 20 * 333, 1 << 22):
        monkeypatch.setattr(assignment, "SCORES_IN_CACHE", scores)
        assert torch.equal(nearest(points, codewords), expected)


def test_near_ties_are_the_exact_argmin() -> None:
    points, codewords = crowded(5, 400, 30, 64)
    exact = (points.double()[:, None] - codewords.double()[None]).square().sum(dim=2)
    chosen = exact.gather(1, nearest(points, codewords)[:, None])[:, 0]
    assert bool((chosen <= exact.amin(dim=1) * (1 + 1e-13)).all())


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(64)))
def test_walking_back_from_decoded_codes_gives_them_again(order: list[int]) -> None:
    world = worlds.nested_grid()
    tables = [torch.from_numpy(level) for level in world.codebooks.levels]
    codes = world.codes[order]
    latent = torch.from_numpy(world.codebooks.decode(codes))
    assert np.array_equal(residual_codes(latent, tables).numpy(), codes)


@pytest.mark.gpu
def test_cpu_and_cuda_give_the_same_codes() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    points, codewords = crowded(7, 5000, 300, 384)
    assert torch.equal(nearest(points.cuda(), codewords.cuda()).cpu(), nearest(points, codewords))
