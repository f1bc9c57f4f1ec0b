"""What tokenizers and resolvers make of the same items in another unit, place or orientation.

A power of two: every tokenizer gives the same codes, to the last one. Any other scale: the same but
for what rounding moves. `random` alone does not: its codes are a hash of the vector's bytes.

An offset far larger than the spread: k-means, mixtures, `pq`, `lsh`, `rq_opq` and `category` give
the same codes. `opq` rounds when it rotates; networks keep the mean in float32, and training goes
its own way from the last bit; `align` learns a map of directions, which an offset turns by
definition. Of these the error is bounded.

A rotation: k-means, spherical mixtures and `category` give the same codes. `pq`, `opq` and diagonal
mixtures cut along the axes, `lsh` and networks are drawn along them: their errors are bounded.

Resolvers follow the codes: the same ids wherever the codes are the same.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch

import worlds
from sidmint.progress import silent
from sidmint.quantization.kmeans import kmeans, residual_kmeans
from sidmint.quantization.offsets import far_offset
from sidmint.quantization.opq import opq
from sidmint.quantization.sinkhorn import dealt_codes
from sidmint.semantic_ids import (
    SemanticIds,
    cheapest_match,
    resolve_by_reassignment,
    resolve_by_spreading,
    resolve_by_suffix,
)
from sidmint.tokenizers import TOKENIZERS, GradientTokenizer, make_tokenizer
from sidmint.tokenizers.last_level import last_level_distances
from sidmint.types import Codes, Floats, Ints
from tokenizer_settings import SETTINGS, also_given

OFFSET = np.float32(10_240)
"""1e4, and a whole number of the steps that float32 has there: adding it loses nothing."""
TINY, HUGE = np.float32(1e-9), np.float32(1e6)

TYPES = {name: TOKENIZERS[settings.get("type", name)] for name, settings in SETTINGS.items()}
SCALED = sorted(set(SETTINGS) - {"random"})
PLAIN = [name for name in SCALED if not issubclass(TYPES[name], GradientTokenizer)]
TRAINED = sorted(set(SCALED) - set(PLAIN) | {"rq_kmeans_aligned"})
SHIFTED = sorted(set(PLAIN) - {"opq", "rq_kmeans_aligned"})
TURNED = ["category", "rq_gmm", "rq_kmeans", "rq_kmeans_balanced"]


def on_a_grid(vectors: Floats) -> Floats:
    """Whole numbers of 2^-8: the offset can be added to them and taken off without rounding."""
    return (np.round(vectors * 256) / 256).astype(np.float32)


VECTORS = on_a_grid(worlds.smooth_items())
PAIRS, PATHS = worlds.neighbour_pairs(VECTORS), worlds.category_paths(VECTORS)


def turned(vectors: Floats, seed: int = 1) -> Floats:
    size = vectors.shape[1]
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0]
    return (vectors.astype(np.float64) @ rotation).astype(np.float32)


def fitted(name: str, vectors: Floats) -> tuple[Any, Ints, float]:
    """Tokenizer, codes, and the error as a share of the variance."""
    tokenizer = make_tokenizer(name, SETTINGS[name])
    pairs = PAIRS if tokenizer.uses_pairs else None
    known = also_given(tokenizer, VECTORS)
    tokenizer.fit(vectors, pairs, 3, "cpu", silent, PATHS, **known)
    codes = tokenizer.encode(vectors, categories=PATHS)
    exact = vectors.astype(np.float64)
    error = np.square(tokenizer.reconstruct(codes) - exact).sum()
    return tokenizer, codes, float(error / np.square(exact - exact.mean(axis=0)).sum())


@functools.cache
def unmoved(name: str) -> tuple[Any, Ints, float]:
    """The same of the vectors as they are."""
    return fitted(name, VECTORS)


def share_of_equal(left: Ints, right: Ints) -> float:
    return float((left == right).all(axis=1).mean())


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in TRAINED else ()) for n in SCALED]
)
def test_codes_do_not_depend_on_the_unit(name: str) -> None:
    _, codes, error = unmoved(name)
    assert np.array_equal(fitted(name, VECTORS * np.float32(2.0**-30))[1], codes)
    for scale in (TINY, HUGE):
        _, scaled, other = fitted(name, VECTORS * scale)
        assert share_of_equal(scaled, codes) > 0.98
        assert other == pytest.approx(error, rel=0.01)


@pytest.mark.parametrize("name", SHIFTED)
def test_codes_do_not_depend_on_a_shared_offset(name: str) -> None:
    _, codes, error = unmoved(name)
    _, shifted, other = fitted(name, VECTORS + OFFSET)
    assert share_of_equal(shifted, codes) > 0.98
    assert other == pytest.approx(error, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*TRAINED, "opq"}))
def test_errors_hardly_depend_on_a_shared_offset(name: str) -> None:
    error = unmoved(name)[2]
    assert fitted(name, VECTORS + OFFSET)[2] == pytest.approx(error, rel=0.06)


@pytest.mark.parametrize("name", TURNED)
def test_codes_do_not_depend_on_the_orientation(name: str) -> None:
    codes = unmoved(name)[1]
    assert share_of_equal(fitted(name, turned(VECTORS))[1], codes) > 0.98


@pytest.mark.parametrize("name", sorted(set(PLAIN) - {*TURNED, *TRAINED}))
def test_errors_hardly_depend_on_the_orientation(name: str) -> None:
    error = unmoved(name)[2]
    assert fitted(name, turned(VECTORS))[2] == pytest.approx(error, rel=0.15)


def test_random_codes_are_of_the_bytes_and_so_of_the_unit() -> None:
    codes = unmoved("random")[1]
    assert share_of_equal(fitted("random", VECTORS * 2)[1], codes) < 0.1


def points(seed: int, num_points: int = 1500, size: int = 16) -> torch.Tensor:
    drawn = np.random.default_rng(seed).normal(size=(num_points, size)).astype(np.float32)
    return torch.from_numpy(on_a_grid(drawn))


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("options", [{}, {"swap_rounds": 3}, {"balance": 1.5}])
def test_k_means_keeps_its_inertia_far_from_zero(seed: int, options: dict[str, Any]) -> None:
    own = kmeans(points(seed), 64, generator(seed), **options)
    far = kmeans(points(seed) + float(OFFSET), 64, generator(seed), **options)
    assert far.inertia[-1] == pytest.approx(own.inertia[-1], rel=1e-4)
    assert (far.codes_N == own.codes_N).double().mean() > 0.99
    assert torch.allclose(far.codewords_Kd - float(OFFSET), own.codewords_Kd, atol=1e-3)


def test_an_offset_goes_into_the_first_level_alone() -> None:
    own = residual_kmeans(points(0), (16, 16), generator(0))
    far = residual_kmeans(points(0) + float(OFFSET), (16, 16), generator(0))
    assert torch.allclose(far[1].codewords_Kd, own[1].codewords_Kd, atol=1e-5)
    left = points(0) + float(OFFSET)
    for level in far:  # the last inertia is that of the codes and codewords that came out
        left = left - level.codewords_Kd[level.codes_N]
        reached = float(left.square().sum(dtype=torch.float64))
        assert level.inertia[-1] == pytest.approx(reached, rel=1e-6)


def test_opq_turns_to_the_spread_and_not_to_the_offset() -> None:
    around_zero = points(1) - points(1).mean(dim=0).mul(256).round().div(256)
    own = opq(around_zero, (8, 8), generator(1), 20, 1e-4, 10)
    far = opq(around_zero + float(OFFSET), (8, 8), generator(1), 20, 1e-4, 10)
    assert far.inertia[-1] < 0.99 * far.inertia[0]
    assert far.inertia[-1] == pytest.approx(own.inertia[-1], rel=0.01)


def test_an_offset_of_ordinary_vectors_is_left_alone() -> None:
    near = points(2) + 4.0
    assert far_offset(near) is None
    assert far_offset(points(2)) is None


def test_what_is_taken_off_is_taken_off_exactly() -> None:
    far = points(3)
    far[:, ::2] += float(OFFSET)
    offset = far_offset(far)
    assert offset is not None
    assert (offset[1::2] == 0).all()
    assert torch.equal((far - offset) + offset, far)
    assert torch.equal((far - offset).double(), far.double() - offset.double())


def resolved(name: str, vectors: Floats) -> dict[str, SemanticIds]:
    """What every resolver makes of the codes of one tokenizer."""
    tokenizer, values, _ = fitted(name, vectors)
    codes = Codes(values, tokenizer.config.sizes)
    ids = [f"{n:04}" for n in range(len(vectors))]
    distances = last_level_distances(tokenizer, vectors, values)
    return {
        "suffix": resolve_by_suffix(codes, ids),
        "reassign": resolve_by_reassignment(codes, ids, distances),
        "sinkhorn": resolve_by_spreading(
            codes, ids, distances, lambda d: dealt_codes(torch.from_numpy(d)).numpy()
        ),
    }


CHANGES = {
    "2^-30": lambda vectors: vectors * np.float32(2.0**-30),
    "2^20": lambda vectors: vectors * np.float32(2.0**20),
    "1e-9": lambda vectors: vectors * TINY,
    "1e6": lambda vectors: vectors * HUGE,
    "offset": lambda vectors: vectors + OFFSET,
    "rotation": turned,
}


@pytest.mark.slow
def test_resolved_ids_do_not_depend_on_unit_offset_and_orientation() -> None:
    own = resolved("rq_kmeans", VECTORS)
    for change, changed in CHANGES.items():
        for resolver, ids in resolved("rq_kmeans", changed(VECTORS)).items():
            equal = share_of_equal(ids.parts, own[resolver].parts)
            assert equal == 1 if change.startswith("2^") else equal > 0.97, (change, resolver)


@pytest.mark.parametrize("exponent", [-300, -60, -30, -11, 20])
def test_a_match_is_that_of_its_costs_in_any_unit(exponent: int) -> None:
    extra = np.random.default_rng(0).random((6, 9))
    current = np.array([0, 0, 1, 1, -1, 2])
    extra[np.arange(6), current] = 0
    scaled = np.ldexp(extra, exponent)
    assert np.array_equal(cheapest_match(scaled, current), cheapest_match(extra, current))
