"""Overlap rate and effective codebook size: cases whose answer needs no computer."""

import math
import sys

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from sidmint.diagnostics import effective_codebook_size, latent_variance, overlap, overlap_rate
from sidmint.errors import BadInput

NEAR = 1.0


def line(*places):
    return np.array(places, dtype=np.float32)[:, None]


def test_one_used_code_is_one_code():
    assert effective_codebook_size(line(0, 5, 9), [0, 1, 0], NEAR) == 1


def test_uniform_and_far_apart_gives_all_codes():
    assert effective_codebook_size(line(0, 1e4, 2e4, 3e4), [0.25] * 4, NEAR) == 4


def test_far_apart_gives_the_inverse_sum_of_squares():
    size = effective_codebook_size(line(0, 1e4, 2e4), [0.5, 0.3, 0.2], NEAR)
    assert size == pytest.approx(1 / (0.25 + 0.09 + 0.04))


def test_coincident_codewords_are_one_code_whatever_the_prior():
    assert overlap_rate(line(3, 3, 3), [0.5, 0.3, 0.2], NEAR) == pytest.approx(1)


def test_splitting_a_codeword_in_two_coincident_ones_changes_nothing():
    whole = overlap_rate(line(0, 1, 3), [0.5, 0.3, 0.2], NEAR)
    split = overlap_rate(line(0, 1, 3, 3), [0.5, 0.3, 0.15, 0.05], NEAR)
    assert split == pytest.approx(whole, rel=1e-6)


def test_two_codewords_by_hand():
    # Half each, distance 2 sigma: 1/4 + 1/4 + 2 (1/4) exp(-4 / 4) = (1 + 1/e) / 2.
    (each,) = overlap(line(0, 2), [0.5, 0.5], [NEAR])
    assert each.distribution_penalty == pytest.approx(0.5)
    assert each.geometry_penalty == pytest.approx(0.5 / math.e)
    assert each.overlap_rate == pytest.approx((1 + 1 / math.e) / 2)


def test_moving_codewords_apart_never_lowers_the_size():
    rng = np.random.default_rng(0)
    codewords = rng.standard_normal((40, 6)).astype(np.float32)
    prior = rng.dirichlet(np.ones(40))
    sizes = [effective_codebook_size(codewords * scale, prior, NEAR) for scale in (0.1, 0.5, 1, 3)]
    assert sizes == sorted(sizes)


def test_more_noise_is_the_same_as_less_distance():
    rng = np.random.default_rng(1)
    codewords = rng.standard_normal((30, 4)).astype(np.float32)
    prior = rng.dirichlet(np.ones(30))
    assert overlap_rate(codewords, prior, 2.0) == pytest.approx(
        overlap_rate(codewords / 2, prior, 1.0), rel=1e-6
    )


def test_dead_codes_and_a_far_origin_change_nothing():
    rng = np.random.default_rng(2)
    codewords = rng.standard_normal((20, 4)).astype(np.float32)
    prior = rng.dirichlet(np.ones(20))
    plain = overlap_rate(codewords, prior, NEAR)
    with_dead = np.concatenate((codewords, codewords + 0.1))
    assert overlap_rate(with_dead, [*prior, *np.zeros(20)], NEAR) == pytest.approx(plain)
    assert overlap_rate(codewords + 64, prior, NEAR) == pytest.approx(plain, rel=1e-5)


def test_blocks_give_the_sum_over_all_pairs(monkeypatch):
    rng = np.random.default_rng(3)
    codewords = rng.standard_normal((67, 5)).astype(np.float32)
    prior = rng.dirichlet(np.ones(67))
    squared = ((codewords[:, None].astype(float) - codewords[None]) ** 2).sum(axis=2)
    wanted = [prior @ np.exp(-squared / (4 * sigma**2)) @ prior for sigma in (0.3, 1.0, 2.0)]
    for entries in (10**6, 67 * 10, 1):
        monkeypatch.setattr("sidmint.diagnostics.kernels._BLOCK_ENTRIES", entries)
        got = [each.overlap_rate for each in overlap(codewords, prior, (0.3, 1.0, 2.0))]
        assert got == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("size", [1, 2, 511, 512, 513, 1300])
def test_the_rate_is_the_double_sum_for_any_size(size):
    rng = np.random.default_rng(size)
    codewords = rng.standard_normal((size, 3)).astype(np.float32)
    prior = rng.dirichlet(np.full(size, 0.3))
    squared = ((codewords[:, None].astype(float) - codewords[None]) ** 2).sum(axis=2)
    sigmas = (0.03, 0.3, 1.0, 9.0)  # from kernels that all vanish to kernels that are all near 1
    wanted = [prior @ np.exp(-squared / (4 * sigma**2)) @ prior for sigma in sigmas]
    found = overlap(codewords, prior, sigmas)
    assert [each.overlap_rate for each in found] == pytest.approx(wanted, rel=1e-12)
    assert [each.distribution_penalty for each in found] == [pytest.approx(prior @ prior)] * 4


def test_equal_distances_by_hand():
    # K unit vectors at right angles, all equally used: 1/K + (1 - 1/K) exp(-2 / (4 sigma^2)).
    size, sigmas = 600, (0.1, 0.25, 0.5, 1.0, 2.0)
    found = overlap(np.eye(size, dtype=np.float32), np.full(size, 1 / size), sigmas)
    wanted = [1 / size + (1 - 1 / size) * math.exp(-2 / (4 * sigma**2)) for sigma in sigmas]
    assert [each.overlap_rate for each in found] == pytest.approx(wanted, rel=1e-12)


def test_the_rate_of_a_product_of_codebooks_is_the_product_of_their_rates():
    rng = np.random.default_rng(4)
    books = [rng.standard_normal((size, 2)).astype(np.float32) for size in (5, 6, 7)]
    priors = [rng.dirichlet(np.ones(len(book))) for book in books]
    grid = np.stack(np.meshgrid(*(range(len(book)) for book in books), indexing="ij"), axis=-1)
    codes = grid.reshape(-1, 3)
    joined = np.hstack([book[column] for book, column in zip(books, codes.T, strict=True)])
    prior = np.prod([p[column] for p, column in zip(priors, codes.T, strict=True)], axis=0)
    apart = [overlap_rate(book, p, 0.7) for book, p in zip(books, priors, strict=True)]
    assert overlap_rate(joined, prior, 0.7) == pytest.approx(math.prod(apart), rel=1e-12)


def test_names_of_codes_do_not_matter():
    rng = np.random.default_rng(5)
    codewords = rng.standard_normal((700, 4)).astype(np.float32)
    prior, order = rng.dirichlet(np.ones(700)), rng.permutation(700)
    renamed = overlap_rate(codewords[order], prior[order], NEAR)
    assert renamed == pytest.approx(overlap_rate(codewords, prior, NEAR), rel=1e-12)


def test_floor_and_geometry_add_up_to_the_rate():
    rng = np.random.default_rng(6)
    prior = rng.dirichlet(np.ones(40))
    (each,) = overlap(rng.standard_normal((40, 3)).astype(np.float32), prior, [0.5])
    assert each.distribution_penalty == pytest.approx(prior @ prior)
    assert each.overlap_rate == each.distribution_penalty + each.geometry_penalty
    assert each.geometry_penalty > 0
    assert each.effective_codebook_size == 1 / each.overlap_rate


def test_threads_change_no_bit():
    rng = np.random.default_rng(7)
    codewords = rng.standard_normal((1600, 3)).astype(np.float32)
    prior = rng.dirichlet(np.ones(1600))
    found = []
    for num_threads in (1, 3):
        with threadpool_limits(num_threads, "blas"):
            found.append(overlap(codewords, prior, (0.1, 1.0)))
            after = [
                each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"
            ]
            assert set(after) == {num_threads}  # BLAS has its threads back
    assert found[0] == found[1]


def test_little_noise_leaves_the_floor_alone():
    (each,) = overlap(line(0, 1e3), [0.5, 0.5], [1e-18])
    assert each.geometry_penalty == 0


def test_latent_variance_is_the_mean_over_dimensions():
    latent = np.array([[0, 0], [2, 4]], dtype=np.float32)
    assert latent_variance(latent) == pytest.approx((1 + 4) / 2)


def test_the_variance_of_a_large_latent_is_that_of_all_its_pieces(monkeypatch):
    monkeypatch.setattr(sys.modules[latent_variance.__module__], "_VALUES_AT_ONCE", 21)
    latent = np.random.default_rng(8).standard_normal((60, 3)).astype(np.float32) + 100
    wanted = latent.astype(float).var(axis=0).mean()
    assert latent_variance(latent) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize(
    ("prior", "sigma"), [([0.5, 0.4], 1.0), ([1.5, -0.5], 1.0), ([1.0], 1.0), ([0.5, 0.5], 0.0)]
)
def test_what_is_no_prior_or_no_noise_is_refused(prior, sigma):
    with pytest.raises(BadInput):
        overlap_rate(line(0, 1), prior, sigma)


def test_a_collapsed_encoder_has_no_noise_scale():
    with pytest.raises(BadInput, match="collapsed"):
        latent_variance(np.ones((5, 3), dtype=np.float32))
