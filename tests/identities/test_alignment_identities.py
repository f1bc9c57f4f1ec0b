"""The linear map that `rq_kmeans` may learn from pairs before it clusters."""

from __future__ import annotations

import numpy as np
import pytest

import worlds
from sidmint.errors import BadInput
from sidmint.tokenizers import make_tokenizer
from sidmint.tokenizers.alignment import Projection
from sidmint.types import Floats, Pairs

SETTINGS = {"type": "rq_kmeans", "sizes": [8, 6], "align": {"steps": 60, "batch_size": 256}}
FAST = {"steps": 150, "batch_size": 256, "learning_rate": 0.02}


def half_pairs(vectors: Floats, shown: slice) -> Pairs:
    """Items that are alike in some dimensions, and chosen without a look at the others."""
    return worlds.neighbour_pairs(np.ascontiguousarray(vectors[:, shown]), num_each=5)


def test_a_map_that_closes_no_direction_is_undone() -> None:
    rng = np.random.default_rng(0)
    vectors = worlds.smooth_items(50, 12)
    turned = Projection(rng.normal(size=(12, 12)).astype(np.float32), vectors.mean(axis=0))
    assert np.allclose(turned.undo(turned.apply(vectors)), vectors, atol=1e-4)


def test_a_closed_direction_comes_back_as_the_mean() -> None:
    vectors = worlds.smooth_items(50, 4)
    closing = np.diag([1.0, 2.0, 0.0, 3.0]).astype(np.float32)
    back = Projection(closing, vectors.mean(axis=0))
    found = back.undo(back.apply(vectors))
    assert np.allclose(found[:, 2], vectors[:, 2].mean(), atol=1e-6)
    assert np.allclose(np.delete(found, 2, axis=1), np.delete(vectors, 2, axis=1), atol=1e-6)


def test_alignment_draws_items_of_a_pair_together() -> None:
    """Pairs follow six of 24 dimensions; the rest is noise to them, which the map plays down."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(600, 24)).astype(np.float32)
    pairs = half_pairs(vectors, slice(0, 6))
    tokenizer = make_tokenizer("aligned", {**SETTINGS, "align": FAST})
    log = tokenizer.fit(vectors, pairs, seed=1, device="cpu")
    latent = tokenizer.latent(vectors)

    def cosine_of_pairs(rows: Floats) -> float:
        units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return float((units[pairs.triggers] * units[pairs.targets]).sum(axis=1).mean())

    assert cosine_of_pairs(latent) > cosine_of_pairs(vectors) + 0.2
    matrix = tokenizer.state()["projection"]
    assert np.linalg.norm(matrix[:, :6]) > 1.5 * np.linalg.norm(matrix[:, 6:]) / np.sqrt(3)
    held_out = [p.value for p in log.curve if p.metric == "align_validation_judged"]
    assert min(held_out) < held_out[0]


def test_first_level_codewords_come_back_as_means_of_their_items() -> None:
    vectors = worlds.smooth_items()
    tokenizer = make_tokenizer("aligned", {**SETTINGS, "tolerance": 0.0, "iterations": 300})
    tokenizer.fit(vectors, worlds.neighbour_pairs(vectors), seed=1, device="cpu")
    codes = tokenizer.encode(vectors)
    found = tokenizer.reconstruct(codes, 1)
    for code in range(8):
        mine = codes[:, 0] == code
        assert np.allclose(found[mine], vectors[mine].mean(axis=0), atol=1e-3)


def test_pairs_are_read_with_align_alone() -> None:
    assert make_tokenizer("aligned", SETTINGS).uses_pairs
    assert not make_tokenizer("rq_kmeans", {}).uses_pairs
    with pytest.raises(BadInput, match=r"learns from item pairs and got none.*align"):
        make_tokenizer("aligned", SETTINGS).fit(worlds.smooth_items())


def test_pairs_of_one_trigger_are_too_few() -> None:
    one = Pairs(*(np.array([n], dtype=np.int32) for n in (1, 2)), np.ones(1, dtype=np.float32))
    with pytest.raises(BadInput, match=r"tokenizers\.aligned\.align wants pairs of two triggers"):
        make_tokenizer("aligned", SETTINGS).fit(worlds.smooth_items(), one)


def test_an_unknown_setting_of_the_map_is_named() -> None:
    with pytest.raises(BadInput, match=r"unknown key align\.step"):
        make_tokenizer("rq_kmeans", {"align": {"step": 3}})
