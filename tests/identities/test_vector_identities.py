"""Geometry, reconstruction and stability: clouds and tables whose figures are known."""

import sys

import numpy as np
import pytest

from sidmint.diagnostics import geometry, reconstruction, stability
from sidmint.diagnostics.reconstruction import total
from sidmint.errors import BadInput


def cross(*lengths):
    """Points at +-length on each axis: variances go as the squares of the lengths."""
    return np.concatenate((np.diag(lengths), -np.diag(lengths))).astype(np.float32)


def test_a_round_cloud_uses_every_dimension():
    cloud = geometry(cross(1, 1, 1, 1) + 5)
    assert cloud.participation_ratio == pytest.approx(4)
    assert cloud.effective_rank == pytest.approx(4)
    assert cloud.top_eigenvalue_share == pytest.approx(1 / 4)
    assert cloud.dimension_correlation == pytest.approx(0, abs=1e-9)


def test_a_line_uses_one_dimension_and_ties_all_of_them():
    cloud = geometry(np.outer(np.arange(10), (1, -2, 3)).astype(np.float32))
    assert cloud.participation_ratio == pytest.approx(1)
    assert cloud.effective_rank == pytest.approx(1)
    assert cloud.dimension_correlation == pytest.approx(1)


def test_an_ellipse_by_hand():
    # Variances 4 and 1, as shares 0.8 and 0.2.
    cloud = geometry(cross(2, 1))
    assert cloud.participation_ratio == pytest.approx(1 / (0.64 + 0.04))
    assert cloud.effective_rank == pytest.approx(0.8**-0.8 * 0.2**-0.2)


def test_turning_and_moving_a_cloud_keeps_its_spectrum():
    rng = np.random.default_rng(0)
    cloud = rng.standard_normal((200, 5)) * (5, 4, 3, 2, 1)
    turn = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    before, after = geometry(cloud.astype("f4")), geometry((cloud @ turn + 3).astype("f4"))
    assert after.eigenvalue_shares == pytest.approx(before.eigenvalue_shares, rel=1e-4)


def test_correlation_is_the_absolute_pearson_and_skips_constant_dimensions():
    rng = np.random.default_rng(1)
    points = rng.standard_normal((50, 3)).astype(np.float32)
    points[:, 1] -= points[:, 0]
    wanted = np.abs(np.corrcoef(points.T))[np.triu_indices(3, k=1)].mean()
    assert geometry(points).dimension_correlation == pytest.approx(wanted)
    constant = np.full((50, 1), 0.1, dtype=np.float32)
    with_constant = np.concatenate((points, constant), axis=1)
    assert geometry(with_constant).dimension_correlation == pytest.approx(wanted)


def test_a_collapsed_cloud_has_no_geometry():
    with pytest.raises(BadInput, match="coincide"):
        geometry(np.full((40, 3), 0.1, dtype=np.float32))


def test_perfect_reconstruction_and_the_mean_as_reconstruction():
    points = np.random.default_rng(2).standard_normal((60, 4)).astype(np.float32)
    exact = reconstruction(points, points)
    assert (exact.mse, exact.relative_mse) == (0, 0)
    assert exact.cosine == pytest.approx(1)
    mean = np.broadcast_to(points.mean(axis=0), points.shape)
    assert reconstruction(points, mean).relative_mse == pytest.approx(1)


def test_reconstruction_by_hand():
    found = reconstruction(
        np.array([[3, 0], [0, 1]], dtype=np.float32), np.array([[0, 2], [0, 0]], dtype=np.float32)
    )
    assert found.mse == pytest.approx((9 + 4 + 1) / 4)  # two vectors of two dimensions
    # Mean (1.5, 0.5): squared deviations 2.25 + 0.25 twice.
    assert found.relative_mse == pytest.approx(14 / 5)
    assert found.cosine == 0  # a right angle, and a zero vector


def test_parts_measured_from_one_mean_add_up():
    rng = np.random.default_rng(3)
    points = rng.standard_normal((50, 4)).astype(np.float32)
    back = points + rng.standard_normal((50, 4)).astype(np.float32)
    mean = points.mean(axis=0)
    parts = total(reconstruction(points[p], back[p], mean) for p in (slice(0, 9), slice(9, 50)))
    whole = reconstruction(points, back)
    for figure in ("mse", "relative_mse", "cosine"):
        assert getattr(parts, figure) == pytest.approx(getattr(whole, figure))


@pytest.mark.parametrize("values_at_once", [1, 8, 36, 10**6])
def test_how_many_vectors_are_measured_at_once_does_not_matter(monkeypatch, values_at_once):
    module = sys.modules[reconstruction.__module__]
    monkeypatch.setattr(module, "_VALUES_AT_ONCE", values_at_once)
    rng = np.random.default_rng(6)
    points = rng.standard_normal((90, 4)).astype(np.float32) + 3
    back = points + 0.5 * rng.standard_normal((90, 4)).astype(np.float32)
    true, other = points.astype(float), back.astype(float)
    found = reconstruction(points, back)
    assert found.mse == pytest.approx(((true - other) ** 2).mean())
    deviation = ((true - true.mean(axis=0)) ** 2).sum()
    assert found.relative_mse == pytest.approx(((true - other) ** 2).sum() / deviation)
    lengths = np.linalg.norm(true, axis=1) * np.linalg.norm(other, axis=1)
    assert found.cosine == pytest.approx(((true * other).sum(axis=1) / lengths).mean())


def test_vectors_that_do_not_vary_have_no_relative_error():
    same = np.ones((3, 2), dtype=np.float32)
    with pytest.raises(BadInput):
        _ = reconstruction(same, same * 2).relative_mse


def test_the_same_table_is_stable():
    codes = np.random.default_rng(4).integers(0, 9, (80, 3)).astype(np.int32)
    assert stability(codes, codes).raw == (1, 1, 1)
    assert stability(codes, codes).matched == (1, 1, 1)


def test_a_permuted_codebook_breaks_raw_codes_and_no_geometry():
    codes = np.random.default_rng(5).integers(0, 9, (200, 2)).astype(np.int32)
    moved = codes.copy()
    moved[:, 0] = (codes[:, 0] + 1) % 9
    assert stability(codes, moved).raw == (0, 0)
    assert stability(codes, moved).matched == (1, 1)


def test_stability_by_hand():
    before = np.array([(0, 0), (0, 0), (0, 1), (1, 1)], dtype=np.int32)
    after = np.array([(5, 0), (5, 1), (0, 1), (1, 1)], dtype=np.int32)
    found = stability(before, after)
    # Raw: items 2 and 3 keep both codes. Matched: 0 becomes 5, which keeps 0 and 1, not 2.
    assert found.raw == (0.5, 0.5)
    # At level 2 the best matching is the identity, which loses item 1.
    assert found.matched == (0.75, 0.5)


def test_a_code_left_without_a_partner_matches_nothing():
    before = np.array([[0], [1], [2]], dtype=np.int32)
    after = np.array([[7], [7], [7]], dtype=np.int32)
    assert stability(before, after).matched == (pytest.approx(1 / 3),)


def test_tables_of_other_items_are_refused():
    with pytest.raises(BadInput, match="both versions"):
        stability(np.zeros((3, 2), dtype=np.int32), np.zeros((4, 2), dtype=np.int32))
