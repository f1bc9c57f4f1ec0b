"""Mathematics of nearest codewords, the residual walk, k-means, estimators and losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import cluster

import worlds
from sidmint.losses import Commitment, Reconstruction, TokenizerStep
from sidmint.quantization import kmeans as kmeans_module
from sidmint.quantization.assignment import Assigner, all_distances, nearest, pair_distances
from sidmint.quantization.estimators import straight_through
from sidmint.quantization.kmeans import (
    TooFewPoints,
    cluster_means,
    count_distinct,
    kmeans,
    plus_plus,
    residual_kmeans,
)
from sidmint.quantization.residual import residual_codes, residual_walk


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_nearest_is_the_float64_argmin() -> None:
    points, codewords = torch.randn(500, 37, generator=generator()), torch.randn(91, 37)
    exact = (points.double()[:, None] - codewords.double()[None]).square().sum(dim=2)
    assert torch.equal(nearest(points, codewords), exact.argmin(dim=1))


def test_equal_codewords_go_to_the_lowest_code() -> None:
    codeword = torch.randn(1, 384, generator=generator())
    codewords = torch.cat([codeword + 5, codeword, codeword + 1, codeword, codeword])
    points = codeword + 0.1 * torch.randn(50, 384, generator=generator(1))
    assert nearest(points, codewords).tolist() == [1] * 50


def test_a_collapsed_codebook_is_searched_by_its_distinct_codewords() -> None:
    generator = torch.Generator().manual_seed(3)
    distinct = torch.randn(5, 8, generator=generator)
    copies = torch.randint(0, 5, (64,), generator=generator)
    points = torch.randn(200, 8, generator=generator)
    expected = (copies == nearest(points, distinct)[:, None]).int().argmax(dim=1)
    assert torch.equal(nearest(points, distinct[copies]), expected)
    assert len(Assigner(distinct[copies]).distinct_Kd) == len(copies.unique())
    assert len(Assigner(torch.zeros(64, 8)).distinct_Kd) == 1


def test_codes_of_a_collapsed_level_number_its_whole_codebook() -> None:
    tables = [torch.tensor([[0.0], [0.0], [5.0], [10.0]]), torch.tensor([[0.0], [1.0]])]
    points = torch.tensor([[6.0], [1.0], [10.0]])
    expected = [[2, 1], [0, 1], [3, 0]]
    assert residual_walk(points, tables).codes_NL.tolist() == expected
    assert residual_codes(points, tables).tolist() == expected


def test_codewords_that_begin_alike_are_not_taken_for_equal() -> None:
    codewords = torch.zeros(3, 16)
    codewords[:, 15] = torch.tensor([0.0, 1.0, 2.0])
    assert nearest(codewords, codewords).tolist() == [0, 1, 2]


def test_ties_that_float32_products_cannot_see_are_settled_exactly() -> None:
    # Codewords +-e around a far centre: the score differs by 4 x.e of 1e6, below float32.
    centre = torch.full((1, 64), 1000.0)
    step = torch.zeros(1, 64)
    step[0, 0] = 2.0**-10
    codewords = torch.cat([centre + step, centre - step])
    points = torch.cat([centre - step / 2, centre + step / 2, centre])
    assert nearest(points, codewords).tolist() == [1, 0, 0]


def test_pair_distances_are_squared_distances() -> None:
    left, right = torch.randn(20, 13, generator=generator()), torch.randn(20, 13)
    expected = ((left.double() - right.double()) ** 2).sum(dim=1)
    torch.testing.assert_close(pair_distances(left, right), expected, rtol=1e-14, atol=0)
    whole = all_distances(left, right)
    assert torch.equal(whole.diagonal(), pair_distances(left, right))


def test_straight_through_passes_the_value_forward_and_the_identity_back() -> None:
    source = torch.randn(7, 5, generator=generator(), requires_grad=True)
    quantized = torch.randn(7, 5, requires_grad=True)
    weights = torch.randn(7, 5)
    passed = straight_through(quantized, source)
    torch.testing.assert_close(passed, quantized)
    (passed * weights).sum().backward()
    assert torch.equal(source.grad, weights)
    assert quantized.grad is None


def test_decoding_sums_codewords_and_walking_takes_them_apart() -> None:
    world = worlds.nested_grid()
    tables = [torch.from_numpy(level) for level in world.codebooks.levels]
    assert np.array_equal(
        residual_codes(torch.from_numpy(world.vectors), tables).numpy(), world.codes
    )
    two = (
        world.codebooks.levels[0][world.codes[:, 0]] + world.codebooks.levels[1][world.codes[:, 1]]
    )
    assert np.array_equal(world.codebooks.decode(world.codes, 2), two)


def test_walk_leaves_over_what_its_codewords_do_not_explain() -> None:
    latent = torch.randn(40, 6, generator=generator())
    tables = [torch.randn(9, 6) / 2**level for level in range(3)]
    walk = residual_walk(latent, tables)
    for level in range(2):
        left = walk.residuals[level] - walk.codewords[level]
        assert torch.equal(walk.residuals[level + 1], left)
    torch.testing.assert_close(walk.quantized, sum(walk.codewords))


def test_every_commitment_level_reaches_the_encoder() -> None:
    latent = torch.randn(64, 8, generator=generator(), requires_grad=True)
    tables = [torch.randn(4, 8, generator=generator(level)) for level in range(3)]
    walk = residual_walk(latent, tables)
    for residual, codeword in zip(walk.residuals, walk.codewords, strict=True):
        term = (residual - codeword.detach()).square().sum(dim=1).mean()
        (gradient,) = torch.autograd.grad(term, latent, retain_graph=True)
        torch.testing.assert_close(gradient, 2 * (residual - codeword).detach() / 64)
        assert gradient.norm() > 0.1


def test_a_codebook_learns_from_its_own_level_alone() -> None:
    latent = torch.randn(64, 8, generator=generator())
    tables = [
        torch.randn(4, 8, generator=generator(level), requires_grad=True) for level in range(2)
    ]
    walk = residual_walk(latent, tables)
    deep = (walk.residuals[1].detach() - walk.codewords[1]).square().sum()
    assert torch.autograd.grad(deep, tables, allow_unused=True)[0] is None
    assert not walk.residuals[1].requires_grad


def step_of(latent: torch.Tensor, tables: list[torch.Tensor]) -> TokenizerStep:
    walk = residual_walk(latent, tables)
    inputs = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    return TokenizerStep(torch.arange(2), inputs, latent, inputs + 0.5, walk)


def test_losses_by_hand() -> None:
    # One level: latents 1 and 4 on a line, codewords 0 and 3. Each row is 1 away from its own.
    latent = torch.tensor([[1.0], [4.0]], requires_grad=True)
    table = torch.tensor([[0.0], [3.0]], requires_grad=True)
    step = step_of(latent, [table])
    assert Reconstruction()(step).item() == pytest.approx(0.5)  # 2 dimensions x 0.25, summed
    loss = Commitment(beta=0.25)(step)
    assert loss.item() == pytest.approx(1.25)
    to_latent, to_table = torch.autograd.grad(loss, [latent, table])
    assert to_latent.ravel().tolist() == pytest.approx([0.25, 0.25])  # beta 2 (z - c) / B
    assert to_table.ravel().tolist() == pytest.approx([-1.0, -1.0])  # 2 (c - z) / B


def test_kmeans_finds_clusters_far_apart() -> None:
    vectors, members = worlds.clusters_far_apart()
    fitted = kmeans(torch.from_numpy(vectors), 8, generator())
    pairs = set(zip(members.tolist(), fitted.codes_N.tolist(), strict=True))
    assert len(pairs) == 8
    within = sum(
        ((vectors[members == m] - vectors[members == m].mean(axis=0)) ** 2).sum() for m in range(8)
    )
    assert fitted.inertia[-1] == pytest.approx(within, rel=1e-4)


def test_kmeans_never_raises_its_inertia() -> None:
    fitted = kmeans(torch.from_numpy(worlds.smooth_items()), 16, generator(), 30, 0.0)
    assert fitted.num_reseeded == 0
    assert all(
        b <= a * (1 + 1e-6) for a, b in zip(fitted.inertia, fitted.inertia[1:], strict=False)
    )


def test_swaps_only_ever_lower_the_inertia() -> None:
    points = torch.from_numpy(worlds.smooth_items())
    plain = kmeans(points, 16, generator())
    swapped = kmeans(points, 16, generator(), swap_rounds=8)
    assert swapped.inertia[: len(plain.inertia)] == plain.inertia
    assert list(swapped.inertia) == sorted(swapped.inertia, reverse=True)
    distances = (points - swapped.codewords_Kd[swapped.codes_N]).square().sum(dim=1)
    assert float(distances.sum()) == pytest.approx(swapped.inertia[-1], rel=1e-5)
    assert torch.equal(nearest(points, swapped.codewords_Kd), swapped.codes_N)


def test_swaps_free_a_codeword_that_two_share() -> None:
    # Two codewords start around 0, one has to serve 100 and 110: Lloyd cannot mend it.
    points = torch.tensor([[-1.0], [1.0], [99.0], [101.0], [109.0], [111.0]])
    stuck = kmeans_module._lloyd(points, torch.tensor([[-1.0], [1.0], [105.0]]), 50, 0.0)
    assert stuck.inertia[-1] == 2 * (6**2 + 4**2)
    moved = kmeans_module._swap(points, stuck, 1, generator())
    freed = kmeans_module._lloyd(points, moved, 50, 0.0)
    assert freed.inertia[-1] == 6.0
    assert sorted(freed.codewords_Kd[:, 0].tolist()) == [0.0, 100.0, 110.0]


def test_energy_splits_level_by_level_where_codewords_are_means() -> None:
    points = torch.from_numpy(worlds.smooth_items()).double().float()
    levels = residual_kmeans(points, (8, 6), generator(), iterations=200, tolerance=0.0)
    residual = points
    for fitted in levels:
        chosen = fitted.codewords_Kd[fitted.codes_N]
        left = residual - chosen
        energy = float(residual.double().square().sum())
        split = float(chosen.double().square().sum() + left.double().square().sum())
        assert split == pytest.approx(energy, rel=1e-6)
        assert float(left.double().square().sum()) == pytest.approx(fitted.inertia[-1], rel=1e-5)
        residual = left


def test_cluster_means_are_means_and_empty_codes_stay() -> None:
    points = torch.tensor([[1.0, 1.0], [3.0, 5.0], [10.0, 0.0]])
    before = torch.tensor([[0.0, 0.0], [7.0, 7.0], [9.0, 9.0]])
    means = cluster_means(points, torch.tensor([0, 0, 2]), before)
    assert means.tolist() == [[2.0, 3.0], [7.0, 7.0], [10.0, 0.0]]


def test_as_many_codes_as_distinct_points_leave_no_code_unused() -> None:
    distinct = torch.randn(12, 3, generator=generator())
    points = distinct.repeat_interleave(5, dim=0)
    fitted = kmeans(points, 12, generator())
    assert fitted.inertia[-1] == pytest.approx(0.0, abs=1e-10)
    assert len(fitted.codes_N.unique()) == 12


def test_an_empty_cluster_takes_the_farthest_point() -> None:
    from sidmint.quantization.kmeans import _reseed

    codes = torch.tensor([0, 0, 0, 2])
    assert _reseed(torch.tensor([1, 3]), codes, torch.tensor([0.5, 9.0, 9.0, 4.0])) == 2
    assert codes.tolist() == [0, 1, 0, 3]  # equal distances count as one point


def test_fewer_distinct_points_than_codes_is_refused_with_the_level() -> None:
    points = torch.randn(5, 4, generator=generator()).repeat(20, 1)
    with pytest.raises(TooFewPoints) as caught:
        residual_kmeans(points, (6, 2), generator())
    assert (caught.value.level, caught.value.num_distinct) == (0, 5)
    with pytest.raises(TooFewPoints) as caught:
        residual_kmeans(points, (5, 3), generator())  # nothing is left over by level 0
    assert caught.value.level == 1


def test_distinct_rows_are_counted_bit_by_bit() -> None:
    points = torch.tensor([[0.0, 1.0], [-0.0, 1.0], [1.0, 0.0], [1.0, 1e-45], [1.0, 0.0]])
    assert count_distinct(points) == 3


def test_plus_plus_picks_one_point_of_each_far_cluster() -> None:
    vectors, members = worlds.clusters_far_apart(num_clusters=12)
    for seed in range(5):
        start = plus_plus(torch.from_numpy(vectors), 12, generator(seed)).numpy()
        rows = [int(np.flatnonzero((vectors == row).all(axis=1))[0]) for row in start]
        assert sorted(members[rows]) == list(range(12))


def test_from_one_start_kmeans_ends_where_scikit_learn_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    points = worlds.smooth_items(600)
    monkeypatch.setattr(kmeans_module, "shrunk", lambda _points, start, _generator: start)
    for seed in range(3):
        start, _ = cluster.kmeans_plusplus(points, 24, random_state=seed)
        monkeypatch.setattr(kmeans_module, "plus_plus", lambda *_, s=start: torch.from_numpy(s))
        ours = kmeans(torch.from_numpy(points), 24, generator(), 300, 0.0).inertia[-1]
        theirs = cluster.KMeans(24, init=start, n_init=1, max_iter=300, tol=0).fit(points).inertia_
        assert ours == pytest.approx(theirs, rel=1e-4)


def test_starts_are_as_good_as_those_of_scikit_learn() -> None:
    points = worlds.smooth_items(600)
    ours = [plus_plus(torch.from_numpy(points), 24, generator(seed)) for seed in range(10)]
    theirs = [
        torch.from_numpy(cluster.kmeans_plusplus(points, 24, random_state=seed)[0])
        for seed in range(10)
    ]
    assert mean_inertia(points, ours) < 1.03 * mean_inertia(points, theirs)


def mean_inertia(points: np.ndarray, starts: list[torch.Tensor]) -> float:
    rows = torch.from_numpy(points)
    return float(np.mean([(rows - start[nearest(rows, start)]).square().sum() for start in starts]))
