"""Implied codebooks: means of residuals, level by level."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

import worlds
from sidmint.diagnostics import reconstruction
from sidmint.errors import BadInput
from sidmint.inspection.implied import implied_codebooks
from sidmint.quantization.kmeans import kmeans
from sidmint.types import Floats


def squared_error(vectors: Floats, reconstructed: Floats) -> float:
    return float(((vectors.astype(np.float64) - reconstructed) ** 2).sum())


def test_on_the_nested_grid_they_are_the_codebooks_that_made_it() -> None:
    """Every combination occurs once, so what other levels add to a group has mean zero."""
    world = worlds.nested_grid()
    implied = implied_codebooks(world.vectors, world.codes)
    for true, found in zip(world.codebooks.levels, implied.books.levels, strict=True):
        np.testing.assert_allclose(found, true, atol=1e-7)
    np.testing.assert_allclose(implied.reconstruct(world.codes), world.vectors, atol=1e-6)


def test_one_code_a_vector_gives_every_vector_back() -> None:
    vectors = worlds.smooth_items(50)
    codes = np.arange(50, dtype=np.int32)[:, None]
    np.testing.assert_allclose(implied_codebooks(vectors, codes).reconstruct(codes), vectors)


def test_one_code_for_all_gives_the_mean() -> None:
    vectors = worlds.smooth_items(50)
    codes = np.full((50, 2), 3, dtype=np.int32)
    back = implied_codebooks(vectors, codes).reconstruct(codes)
    np.testing.assert_allclose(back, np.tile(vectors.mean(axis=0), (50, 1)), atol=1e-6)
    assert reconstruction(vectors, back).relative_mse == pytest.approx(1, abs=1e-6)


def test_no_level_adds_error_whatever_the_codes() -> None:
    """A codeword of zero would leave the error as it is, and the mean is never worse."""
    vectors = worlds.smooth_items(300)
    codes = np.random.default_rng(1).integers(0, 9, (300, 5)).astype(np.int32)
    implied = implied_codebooks(vectors, codes)
    errors = [squared_error(vectors, implied.reconstruct(codes, level)) for level in range(1, 6)]
    assert all(later <= earlier for earlier, later in pairwise(errors))


def test_no_other_codeword_is_nearer_to_the_items_of_its_code() -> None:
    vectors = worlds.smooth_items(200)
    codes = np.random.default_rng(2).integers(0, 6, (200, 1)).astype(np.int32)
    back = implied_codebooks(vectors, codes).reconstruct(codes)
    moved = back + np.random.default_rng(3).normal(scale=0.01, size=(6, back.shape[1]))[codes[:, 0]]
    assert squared_error(vectors, back) < squared_error(vectors, moved)


def test_k_means_that_has_converged_implies_its_own_centroids() -> None:
    vectors, members = worlds.clusters_far_apart()
    fitted = kmeans(torch.from_numpy(vectors), 8, torch.Generator().manual_seed(0))
    codes = fitted.codes_N.numpy().astype(np.int32)[:, None]
    assert len(np.unique(codes)) == len(np.unique(members))
    implied = implied_codebooks(vectors, codes)
    np.testing.assert_allclose(implied.books.levels[0], fitted.codewords_Kd.numpy(), atol=1e-4)


def test_the_names_of_codes_do_not_matter() -> None:
    vectors = worlds.smooth_items(120)
    codes = np.random.default_rng(4).integers(0, 7, (120, 3)).astype(np.int32)
    renamed = np.random.default_rng(5).permutation(1000).astype(np.int32)[codes]
    np.testing.assert_array_equal(
        implied_codebooks(vectors, codes).reconstruct(codes),
        implied_codebooks(vectors, renamed).reconstruct(renamed),
    )


def test_they_want_one_vector_an_item() -> None:
    with pytest.raises(BadInput, match="one vector an item, got 3 vectors"):
        implied_codebooks(worlds.smooth_items(3), np.zeros((4, 2), dtype=np.int32))
