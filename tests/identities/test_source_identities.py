"""Facts of PCA, whitening and weights of a source, and of sources side by side."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from sidmint.diagnostics import mean_cosine
from sidmint.embedding import FittedSource, SourceParams, fit_projection, fit_source, join

NUM, SIZE = 60, 5
IDS = [str(number) for number in range(NUM)]


def cloud(seed=0, num=NUM, size=SIZE):
    """Correlated vectors far from the origin, of unequal variance."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(num, size)) * (2.0 ** -np.arange(size)) @ rng.normal(size=(size, size))
    return (mixed + 3).astype(np.float32)


def covariance(vectors):
    return np.cov(vectors.astype(np.float64).T, bias=True)


def squared_distances(vectors):
    differences = vectors[:, None].astype(np.float64) - vectors[None]
    return np.square(differences).sum(axis=2)


def source(**given):
    return SourceParams(path="x.npy", **given)


def part_of(vectors, **given):
    return fit_source("a", source(**given), vectors, IDS).part(vectors, IDS)


@pytest.mark.parametrize("kept", [None, SIZE, 2])
def test_the_covariance_of_whitened_vectors_is_the_identity(kept):
    vectors = cloud()
    white = fit_projection(vectors, kept, True, "v").apply(vectors)
    np.testing.assert_allclose(covariance(white), np.eye(kept or SIZE), atol=1e-4)
    np.testing.assert_allclose(white.mean(axis=0), 0, atol=1e-5)


def test_so_is_that_of_the_part_where_it_is_not_scaled():
    part = part_of(cloud(), whiten=True, unit_norm=False, weight=3.0)
    np.testing.assert_allclose(covariance(part), 9 * np.eye(SIZE), atol=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_pca_to_all_dimensions_keeps_distances(seed):
    vectors = cloud(seed)
    turned = fit_projection(vectors, SIZE, False, "v").apply(vectors)
    np.testing.assert_allclose(squared_distances(turned), squared_distances(vectors), atol=1e-4)


def test_pca_keeps_the_directions_of_most_variance():
    vectors = cloud()
    kept = fit_projection(vectors, 2, False, "v").apply(vectors)
    largest = np.linalg.eigvalsh(covariance(vectors))[::-1][:2]
    np.testing.assert_allclose(covariance(kept), np.diag(largest), atol=1e-4)


def test_a_direction_has_one_sign_whatever_the_order_of_the_items():
    vectors = cloud()
    order = np.random.default_rng(2).permutation(NUM)
    one, two = (fit_projection(each, None, False, "v") for each in (vectors, vectors[order]))
    np.testing.assert_allclose(one.axes, two.axes, atol=1e-5)
    rows = np.abs(one.axes).argmax(axis=0)
    assert (one.axes[rows, np.arange(SIZE)] > 0).all()


def test_the_number_of_threads_changes_no_bit_of_what_is_fitted():
    vectors = cloud(num=600, size=300)
    found = []
    for num_threads in (1, 2):
        with threadpool_limits(limits=num_threads, user_api="blas"):
            found.append(fit_projection(vectors, None, False, "v"))
    np.testing.assert_array_equal(found[0].axes, found[1].axes)
    np.testing.assert_array_equal(found[0].mean, found[1].mean)


def test_a_row_is_projected_alone_as_among_others():
    projection = fit_projection(cloud(num=9000), 3, True, "v")
    whole = projection.apply(cloud(1, num=9000))
    alone = projection.apply(cloud(1, num=9000)[8500:8501])
    np.testing.assert_allclose(alone[0], whole[8500], rtol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.1, 10), st.booleans(), st.booleans())
def test_a_weight_multiplies_squared_distances_by_its_square(weight, whiten, is_unit):
    vectors = cloud()
    plain = part_of(vectors, whiten=whiten, unit_norm=is_unit)
    weighted = part_of(vectors, whiten=whiten, unit_norm=is_unit, weight=weight)
    np.testing.assert_allclose(
        squared_distances(weighted), weight**2 * squared_distances(plain), rtol=1e-4, atol=1e-5
    )


def test_squared_distances_add_up_over_sources():
    one, two = part_of(cloud(0), weight=0.5), part_of(cloud(1), pca=2)
    total = squared_distances(one) + squared_distances(two)
    np.testing.assert_allclose(squared_distances(join([one, two])), total, atol=1e-5)


@pytest.mark.parametrize("weights", [(1.0, 0.5), (1.0, 3.0), (0.2, 0.2)])
def test_the_cosine_of_unit_sources_is_the_mean_of_theirs_by_squared_weight(weights):
    unweighted = [part_of(100 * cloud(0)), part_of(cloud(1, size=40))]
    whole = join([np.float32(w) * part for w, part in zip(weights, unweighted, strict=True)])
    products = sum(w**2 * part @ part.T for w, part in zip(weights, unweighted, strict=True))
    wanted = products / sum(w**2 for w in weights)
    norms = np.linalg.norm(whole, axis=1)
    np.testing.assert_allclose(whole @ whole.T / np.outer(norms, norms), wanted, atol=1e-5)


def test_what_was_fitted_is_kept_whole_in_its_tensors():
    vectors = cloud()
    vectors[5] = np.nan
    given = source(pca=3, whiten=True, weight=0.3, missing="mean")
    fitted = fit_source("a", given, vectors, IDS)
    described = given.model_dump() | {"num_dimensions": SIZE}
    again = FittedSource.from_tensors("a", described, fitted.tensors())
    np.testing.assert_array_equal(again.part(vectors, IDS), fitted.part(vectors, IDS))


def test_items_without_a_vector_are_no_part_of_the_fit():
    vectors = cloud()
    with_gap = np.vstack([vectors, np.full((1, SIZE), np.nan, dtype=np.float32)])
    given = source(pca=3, whiten=True, missing="mean")
    one = fit_source("a", given, vectors, IDS)
    two = fit_source("a", given, with_gap, [*IDS, "gap"])
    for name, tensor in one.tensors().items():
        np.testing.assert_array_equal(tensor, two.tensors()[name])
    gap = two.part(with_gap, [*IDS, "gap"])[-1]
    np.testing.assert_allclose(gap, one.part(vectors, IDS).mean(axis=0), atol=1e-6)


def test_the_mean_cosine_is_that_of_all_pairs():
    vectors = cloud()
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = (unit @ unit.T)[np.triu_indices(NUM, k=1)]
    assert mean_cosine(vectors) == pytest.approx(pairs.mean(), rel=1e-5)
    assert mean_cosine(np.vstack([vectors, np.zeros((3, SIZE))])) == pytest.approx(
        pairs.mean(), rel=1e-5
    )


def test_the_mean_cosine_of_a_cross_is_below_zero_and_of_one_direction_1():
    cross = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]], dtype=np.float32)
    assert mean_cosine(cross) == pytest.approx(-1 / 3)
    assert mean_cosine(np.array([[1, 1], [2, 2]], dtype=np.float32)) == pytest.approx(1)
