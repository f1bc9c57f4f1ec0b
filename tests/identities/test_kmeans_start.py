"""Where k-means starts: k-means|| is as good as greedy k-means++, and a start is shrunk by need."""

from __future__ import annotations

import pytest
import torch

import worlds
from sidmint.quantization import kmeans as kmeans_module
from sidmint.quantization import oversampling
from sidmint.quantization.assignment import nearest
from sidmint.quantization.kmeans import TooFewPoints, kmeans, plus_plus
from sidmint.quantization.oversampling import oversampled_plus_plus, squared_distances
from sidmint.quantization.shrinkage import SCALES, shrunk


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


def noisy_clusters(correlation: float, num_clusters: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    """Points of which two of a cluster correlate so much, and one point of each as a start."""
    centres = torch.randn(num_clusters, 400, generator=generator()) * correlation**0.5
    members = torch.arange(1000) % num_clusters
    noise = torch.randn(1000, 400, generator=generator(1)) * (1 - correlation) ** 0.5
    points = centres[members] + noise + 3.0
    return points, points[:num_clusters]


@pytest.mark.parametrize("correlation", SCALES[1:4])
def test_the_best_scale_is_the_correlation_of_a_point_with_its_codeword(correlation: float) -> None:
    points, start = noisy_clusters(correlation)
    mean = points.mean(dim=0)
    expected = mean + correlation * (start - mean)
    torch.testing.assert_close(shrunk(points, start, generator()), expected, atol=1e-5, rtol=0)


def test_far_clusters_keep_their_start() -> None:
    points, start = noisy_clusters(0.95)
    assert shrunk(points, start, generator()) is start


def test_codewords_that_are_all_the_points_stay_where_they_are() -> None:
    points = torch.randn(50, 200, generator=generator())
    assert shrunk(points.repeat(3, 1), points, generator()) is points


def test_a_shrunk_start_starves_no_code_of_a_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = torch.randn(6000, 128, generator=generator())
    fitted = kmeans(cloud, 128, generator())
    monkeypatch.setattr(kmeans_module, "shrunk", lambda _points, start, _generator: start)
    unshrunk = kmeans(cloud, 128, generator())
    few, many = ((each.codes_N.bincount() < 5).sum() for each in (fitted, unshrunk))
    assert few < many / 4
    assert fitted.inertia[-1] < unshrunk.inertia[-1]
