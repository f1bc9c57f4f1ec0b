"""Residual Gaussian mixtures: EM, posteriors, the way back to k-means, and their own overlap."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

import worlds
from sidmint.diagnostics.overlap import overlap, own_overlap
from sidmint.errors import BadInput
from sidmint.quantization import mixture
from sidmint.quantization.assignment import nearest
from sidmint.quantization.mixture import Mixture, expected, fit_mixture, maximised, mixture_walk
from sidmint.tokenizers import make_tokenizer
from sidmint.tokenizers.rq_gmm import RqGmm
from tokenizer_settings import SIZES


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_mixture(spherical: bool = False) -> Mixture:
    weights = torch.tensor([0.5, 0.3, 0.2])
    variances = torch.rand(3, 1 if spherical else 4, generator=draws(2)) + 0.2
    return Mixture(weights.log(), torch.randn(3, 4, generator=draws(1)), variances)


@pytest.mark.parametrize("spherical", [False, True])
def test_the_joint_density_is_scipys(spherical: bool) -> None:
    some, points = some_mixture(spherical), torch.randn(20, 4, generator=draws())
    found = some.log_joint(points).numpy()
    for k in range(3):
        covariance = np.diag(some.variances_Kd[k].expand(4).double().numpy())
        wanted = multivariate_normal(some.means_Kd[k].double().numpy(), covariance)
        logs = wanted.logpdf(points.double().numpy()) + float(some.log_weights_K[k])
        assert np.allclose(found[:, k], logs, rtol=1e-6)


def test_a_posterior_is_a_distribution_and_the_code_is_its_largest() -> None:
    some, points = some_mixture(), torch.randn(50, 4, generator=draws())
    shares = some.responsibilities(points)
    assert bool((shares >= 0).all())
    assert torch.allclose(shares.sum(dim=1), torch.ones(50, dtype=torch.float64))
    assert torch.equal(shares.argmax(dim=1), some.codes(points))


@pytest.mark.parametrize("spherical", [False, True])
@pytest.mark.parametrize("floor", [1e-3, 0.3])
def test_the_likelihood_never_falls(spherical: bool, floor: float) -> None:
    points = torch.from_numpy(worlds.smooth_items())
    fitted = fit_mixture(points, 12, draws(), spherical, floor, iterations=40, tolerance=0.0)
    rises = np.diff(fitted.log_likelihoods)
    assert len(rises) > 5
    assert rises.min() > -1e-6  # parameters are rounded to float32 after each step
    assert rises.sum() > 0.005
    assert abs(float(fitted.mixture.log_weights_K.double().exp().sum()) - 1) < 1e-6
    least = floor * float(points.double().var(dim=0, correction=0).mean())
    assert float(fitted.mixture.variances_Kd.min()) >= least * (1 - 1e-6)


def test_equal_isotropic_components_are_k_means() -> None:
    points, means = torch.randn(300, 5, generator=draws()), torch.randn(9, 5, generator=draws(1))
    alike = Mixture(torch.full((9,), -np.log(9)), means, torch.full((9, 1), 0.37))
    assert torch.equal(alike.codes(points), nearest(points, means))
    common = Mixture(torch.tensor([0.999, 0.001]).log(), means[:2], torch.ones(2, 1))
    middle = means[:2].mean(dim=0, keepdim=True)
    towards_rare = middle + 0.01 * (means[1:2] - means[:1])
    assert int(nearest(towards_rare, means[:2])) == 1
    assert int(common.codes(towards_rare)) == 0  # prior odds outweigh a hair's breadth


def test_em_finds_the_widths_that_k_means_does_not_know() -> None:
    rng = np.random.default_rng(0)
    wide = rng.normal(scale=3.0, size=(900, 2))
    narrow = rng.normal(loc=(4.0, 0.0), scale=0.3, size=(300, 2))
    points = torch.from_numpy(np.concatenate([wide, narrow])).float()
    found = fit_mixture(points, 2, draws(), spherical=True, iterations=200, tolerance=0.0).mixture
    order = found.variances_Kd[:, 0].argsort(descending=True)
    assert found.variances_Kd[order, 0].sqrt().tolist() == pytest.approx([3.0, 0.3], rel=0.1)
    assert found.log_weights_K[order].exp().tolist() == pytest.approx([0.75, 0.25], abs=0.05)


def test_a_component_that_nobody_wants_keeps_its_place() -> None:
    points = torch.from_numpy(worlds.clusters_far_apart(4)[0])
    before = fit_mixture(points, 3, draws(), iterations=3).mixture
    moments, _ = expected(points, before, spherical=False)
    for sums in (moments.counts_K, moments.sums_Kd, moments.squares_Kd):
        sums[1] = 0
    after = maximised(moments, before, least=1e-3)
    assert torch.equal(after.means_Kd[1], before.means_Kd[1])
    assert torch.equal(after.variances_Kd[1], before.variances_Kd[1])
    assert after.log_weights_K[1] == -torch.inf
    assert not (after.codes(points) == 1).any()
    assert bool(torch.isfinite(after.log_weights_K[[0, 2]]).all())


def test_moments_of_pieces_add_up_to_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    points = torch.from_numpy(worlds.smooth_items())
    whole = fit_mixture(points, 8, draws(), iterations=4)
    monkeypatch.setattr(mixture, "ROWS_AT_ONCE", 37)
    pieces = fit_mixture(points, 8, draws(), iterations=4)
    assert pieces.log_likelihoods == pytest.approx(whole.log_likelihoods, rel=1e-9)
    assert torch.allclose(pieces.mixture.means_Kd, whole.mixture.means_Kd, atol=1e-6)


def test_codes_are_the_largest_responsibilities_of_every_level_after_saving() -> None:
    vectors = worlds.smooth_items()
    tokenizer = make_tokenizer("rq_gmm", {"sizes": SIZES})
    assert isinstance(tokenizer, RqGmm)
    tokenizer.fit(vectors, seed=3, device="cpu")
    loaded = RqGmm.from_state(tokenizer.config, tokenizer.state())
    codes = tokenizer.encode(vectors)
    for level, shares in enumerate(loaded.responsibilities(vectors)):
        assert shares.shape == (len(vectors), SIZES[level])
        assert np.array_equal(shares.argmax(axis=1), codes[:, level])
        assert np.allclose(shares.sum(axis=1), 1)
    walked = mixture_walk(torch.from_numpy(vectors), tokenizer._mixtures)[1]
    assert np.allclose(walked[1].numpy(), vectors - tokenizer.codebooks().decode(codes, 1))


def test_own_overlap_is_the_spherical_one_where_all_variances_are_one() -> None:
    rng = np.random.default_rng(0)
    codewords = rng.normal(size=(30, 5)).astype(np.float32)
    prior = rng.dirichlet(np.ones(30))
    (wanted,) = overlap(codewords, prior, (0.7,))
    for width in (1, 5):
        found = own_overlap(codewords, prior, np.full((30, width), 0.49))
        assert found.overlap_rate == pytest.approx(wanted.overlap_rate, rel=1e-9)
        assert found.distribution_penalty == wanted.distribution_penalty


def test_own_overlap_of_two_is_the_cosine_of_their_densities() -> None:
    """Against a sum over a fine grid in one dimension."""
    means, variances = np.array([[0.0], [1.5]]), np.array([[0.3], [2.0]])
    x = np.linspace(-25, 25, 200_001)
    densities = [
        np.exp(-((x - m) ** 2) / (2 * v)) / np.sqrt(v)
        for m, v in zip(means[:, 0], variances[:, 0], strict=True)
    ]
    first, second = densities
    cosine = (first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum())
    found = own_overlap(means.astype(np.float32), [0.6, 0.4], variances)
    assert found.geometry_penalty == pytest.approx(2 * 0.6 * 0.4 * cosine, rel=1e-6)


def test_own_overlap_leaves_dead_codes_out_and_grows_with_the_variances() -> None:
    rng = np.random.default_rng(1)
    codewords, variances = rng.normal(size=(8, 3)).astype(np.float32), rng.uniform(0.1, 1, (8, 3))
    prior = np.array([0.3, 0.2, 0.1, 0.1, 0.1, 0.2, 0.0, 0.0])
    whole = own_overlap(codewords, prior, variances)
    part = own_overlap(codewords[:6], prior[:6], variances[:6])
    assert whole.overlap_rate == pytest.approx(part.overlap_rate, rel=1e-12)
    assert own_overlap(codewords, prior, 4 * variances).overlap_rate > whole.overlap_rate
    with pytest.raises(BadInput, match="variances"):
        own_overlap(codewords, prior, variances[:, :2])


def test_fewer_distinct_vectors_than_components_name_the_setting() -> None:
    vectors = np.tile(worlds.smooth_items(11), (20, 1))
    message = r"level 0 has 12 codes but only 11 .*lower tokenizers\.rq_gmm\.sizes\[0\]"
    with pytest.raises(BadInput, match=message):
        make_tokenizer("rq_gmm", {"sizes": SIZES}).fit(vectors)
