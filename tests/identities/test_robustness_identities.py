"""Codes under noise: worlds in which the share that changes is known."""

import math
import sys

import numpy as np
import pytest

from sidmint.diagnostics import robustness, robustness_sweep
from sidmint.errors import BadInput
from sidmint.types import Codebooks


def rng(seed=0):
    return np.random.default_rng(seed)


def column(*values):
    return np.array(values, dtype=np.float32)[:, None]


def walk(*levels):
    """The residual walk over small codebooks, written out."""
    books = Codebooks(tuple(np.array(level, dtype=np.float32) for level in levels))

    def encode(latent):
        residual, codes = latent.astype(np.float64), []
        for book in books.levels:
            distances = ((residual[:, None] - book[None]) ** 2).sum(axis=2)
            codes.append(distances.argmin(axis=1))
            residual = residual - book[codes[-1]]
        return np.stack(codes, axis=1).astype(np.int32)

    return encode


SIDES = walk([[-1], [1]])
"""Which side of 0."""


def below_normal(value):
    """The share of normal numbers below `value`."""
    return (1 + math.erf(value / math.sqrt(2))) / 2


def test_hardly_any_noise_changes_nothing():
    latent = rng().standard_normal((500, 3)).astype(np.float32)
    encode = walk(rng(1).standard_normal((8, 3)), 0.3 * rng(2).standard_normal((5, 3)))
    found = robustness(encode, latent, 1e-12, rng(3))
    assert found.changed_codes == found.changed_prefixes == (0, 0)


def test_noise_carries_an_item_over_a_boundary_with_the_probability_of_its_distance():
    num_items = 200_000
    for distance, sigma in ((0.5, 1.0), (1.0, 0.5), (2.0, 1.0)):
        (share,) = robustness(SIDES, np.full((num_items, 1), distance), sigma, rng()).changed_codes
        wanted = below_normal(-distance / sigma)
        assert share == pytest.approx(wanted, abs=4 * math.sqrt(wanted / num_items))


def test_noise_is_of_one_size_in_every_dimension():
    # The boundary is one plane: other dimensions, however many, change nothing.
    encode = walk([[-1.0] + [0] * 7, [1.0] + [0] * 7])
    latent = np.full((100_000, 8), 0.7, dtype=np.float32)
    (share,) = robustness(encode, latent, 0.7, rng()).changed_codes
    assert share == pytest.approx(below_normal(-1), abs=0.005)


def test_noise_that_alone_decides_changes_one_minus_sum_p_q():
    # Far noise ends beyond -1 or 1, half each: q is (1/2, 0, 1/2) whatever p is.
    latent = np.repeat(column(-1, 0, 1), (10_000, 20_000, 70_000), axis=0)
    (share,) = robustness(walk([[-1], [0], [1]]), latent, 1e4, rng()).changed_codes
    assert share == pytest.approx(1 - (0.1 * 0.5 + 0.2 * 0 + 0.7 * 0.5), abs=0.005)


def test_codes_drawn_anew_change_in_all_but_one_of_k():
    draws = rng(4)
    (share,) = robustness(
        lambda latent: draws.integers(0, 5, (len(latent), 1)), np.zeros((50_000, 2)), 1.0, rng()
    ).changed_codes
    assert share == pytest.approx(1 - 1 / 5, abs=0.01)


def test_a_prefix_changes_with_any_of_its_codes():
    latent = rng().standard_normal((4000, 2)).astype(np.float32)
    encode = walk(rng(1).standard_normal((6, 2)), rng(2).standard_normal((4, 2)) / 2)
    sigma = 0.4
    found = robustness(encode, latent, sigma, rng(5))
    noise = rng(5).standard_normal((4000, 2), dtype=np.float32)
    moved = encode(latent) != encode(latent + np.float32(sigma) * noise)
    assert found.changed_codes == tuple(moved.mean(axis=0))
    assert found.changed_prefixes == (moved[:, 0].mean(), moved.any(axis=1).mean())
    assert found.changed_prefixes[1] > max(found.changed_codes)


def test_one_draw_serves_every_noise_and_a_sweep_is_its_parts():
    latent = rng().standard_normal((3000, 2)).astype(np.float32)
    encode = walk(rng(1).standard_normal((9, 2)))
    sigmas = (0.1, 0.5, 2.0)
    swept = robustness_sweep(encode, latent, sigmas, rng(6))
    assert swept == tuple(robustness(encode, latent, sigma, rng(6)) for sigma in sigmas)


def test_more_noise_changes_more_items_and_never_brings_one_back():
    # On a line with one boundary an item that has crossed stays across, as its draw is scaled.
    latent = np.abs(rng().standard_normal((2000, 1))).astype(np.float32)
    swept = robustness_sweep(SIDES, latent, (0.05, 0.1, 0.3, 1, 3, 30), rng(7))
    shares = [each.changed_codes[0] for each in swept]
    assert shares == sorted(shares)
    assert shares[0] > 0


@pytest.mark.parametrize("rows", [1, 7, 333, 10_000])
def test_how_many_items_are_encoded_at_once_does_not_matter(monkeypatch, rows):
    latent = rng().standard_normal((1000, 3)).astype(np.float32)
    encode = walk(rng(1).standard_normal((9, 3)))
    wanted = robustness_sweep(encode, latent, (0.3, 1.0), rng(8))
    monkeypatch.setattr(sys.modules[robustness.__module__], "ROWS_AT_ONCE", rows)
    assert robustness_sweep(encode, latent, (0.3, 1.0), rng(8)) == wanted


class Written:
    """Noise that is known beforehand, in place of a generator."""

    def __init__(self, noise):
        self.noise = noise

    def standard_normal(self, shape, dtype):
        assert shape == self.noise.shape
        return self.noise.astype(dtype)


def test_order_of_items_does_not_matter_where_each_keeps_its_noise():
    latent = rng().standard_normal((600, 3)).astype(np.float32)
    noise, order = rng(9).standard_normal((600, 3)), rng(10).permutation(600)
    encode = walk(rng(1).standard_normal((9, 3)), rng(2).standard_normal((4, 3)))
    before = robustness(encode, latent, 0.5, Written(noise))
    assert robustness(encode, latent[order], 0.5, Written(noise[order])) == before


def test_other_noise_changes_as_many_items_up_to_chance():
    latent = rng().standard_normal((40_000, 2)).astype(np.float32)
    encode = walk(rng(1).standard_normal((9, 2)))
    one, other = (robustness(encode, latent, 0.5, rng(seed)).changed_codes[0] for seed in (1, 2))
    assert one != other
    assert one == pytest.approx(other, abs=0.015)


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.nan, math.inf])
def test_what_is_no_noise_is_refused(sigma):
    with pytest.raises(BadInput, match="positive"):
        robustness(SIDES, column(1), sigma, rng())


def test_no_items_are_refused():
    with pytest.raises(BadInput, match="latent vectors"):
        robustness(SIDES, np.zeros((0, 1), dtype=np.float32), 1.0, rng())
