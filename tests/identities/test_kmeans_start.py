"""k-means||: a start in a few passes that is as good as one in a pass a codeword."""

from __future__ import annotations

import pytest
import torch

import worlds
from sidmint.quantization import kmeans as kmeans_module
from sidmint.quantization import oversampling
from sidmint.quantization.assignment import nearest
from sidmint.quantization.kmeans import TooFewPoints, kmeans, plus_plus
from sidmint.quantization.oversampling import oversampled_plus_plus, squared_distances


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def inertia(points: torch.Tensor, codewords: torch.Tensor) -> float:
    return float(squared_distances(points, codewords, nearest(points, codewords)).sum())


def test_each_of_many_far_clusters_is_hit() -> None:
    centres = 100.0 * torch.randn(150, 8, generator=generator())
    members = torch.arange(3000) % 150
    points = centres[members] + torch.randn(3000, 8, generator=generator(1))
    for seed in range(5):
        start = oversampled_plus_plus(points, 150, generator(seed))
        assert nearest(start, centres).sort().values.tolist() == list(range(150))


def test_it_is_as_good_as_greedy_plus_plus() -> None:
    points = torch.from_numpy(worlds.smooth_items())
    ours = [inertia(points, oversampled_plus_plus(points, 48, generator(s))) for s in range(10)]
    theirs = [inertia(points, plus_plus(points, 48, generator(s))) for s in range(10)]
    assert sum(ours) < 1.05 * sum(theirs)


def test_one_seed_gives_one_start_to_the_last_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    points = torch.from_numpy(worlds.smooth_items())
    first = oversampled_plus_plus(points, 64, generator(3))
    assert torch.equal(oversampled_plus_plus(points, 64, generator(3)), first)
    assert not torch.equal(oversampled_plus_plus(points, 64, generator(4)), first)
    assert len(first.unique(dim=0)) == 64
    monkeypatch.setattr(oversampling, "TABLE_VALUES", 0)
    assert len(oversampled_plus_plus(points, 64, generator(3)).unique(dim=0)) == 64


def test_as_many_codes_as_distinct_points_take_each_once() -> None:
    distinct = torch.randn(40, 3, generator=generator())
    points = distinct.repeat_interleave(7, dim=0)
    start = oversampled_plus_plus(points, 40, generator())
    assert nearest(start, distinct).sort().values.tolist() == list(range(40))


def test_points_too_close_for_float32_leave_it_to_plus_plus(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kmeans_module, "OVERSAMPLED_FROM_CODES", 1)
    points = 1e-30 * torch.randn(50, 4, generator=generator())
    assert oversampled_plus_plus(points, 8, generator()) is None
    assert kmeans(points, 8, generator()).codewords_Kd.shape == (8, 4)


def test_many_codes_are_fitted_alike_by_one_seed_and_too_many_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kmeans_module, "OVERSAMPLED_FROM_CODES", 16)
    points = torch.from_numpy(worlds.smooth_items())
    one, other = (kmeans(points, 32, generator(), 5) for _ in range(2))
    assert torch.equal(one.codewords_Kd, other.codewords_Kd)
    assert one.inertia == other.inertia
    with pytest.raises(TooFewPoints):
        kmeans(points[:20], 32, generator())


def test_few_codes_keep_the_greedy_start() -> None:
    points = torch.from_numpy(worlds.smooth_items())
    assert torch.equal(
        kmeans_module._start(points, 24, generator()), plus_plus(points, 24, generator())
    )
