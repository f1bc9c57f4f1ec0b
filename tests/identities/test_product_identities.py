"""Blocks, their rotation, and the quantizer that joins residual levels with them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

import worlds
from sidmint.errors import BadInput
from sidmint.quantization.blocks import block_codes, block_kmeans, block_ranges, padded
from sidmint.quantization.opq import best_rotation, opq, residual_opq
from sidmint.quantization.residual import residual_codes
from sidmint.quantization.rq_opq import RqOpqQuantizer
from sidmint.tokenizers import make_tokenizer


def draws(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def two_grids(num_items: int = 600, angle: Tensor | None = None) -> Tensor:
    """Points whose two halves are independent draws of 8 far-apart corners each, then rotated."""
    rng = np.random.default_rng(0)
    corners = rng.normal(size=(2, 8, 4))
    picked = [corners[half][rng.integers(8, size=num_items)] for half in range(2)]
    points = torch.from_numpy(np.concatenate(picked, axis=1)).float()
    points += 0.01 * torch.randn(points.shape, generator=draws())
    return points if angle is None else points @ angle.T


def some_rotation(size: int) -> Tensor:
    return torch.linalg.qr(torch.randn(size, size, generator=draws(3)))[0]


@pytest.mark.parametrize(("width", "blocks"), [(10, 3), (9, 3), (3, 3), (384, 5)])
def test_blocks_cover_every_dimension_once_and_first_ones_are_wider(
    width: int, blocks: int
) -> None:
    ranges = block_ranges(width, blocks)
    assert [i for dims in ranges for i in range(dims.start, dims.stop)] == list(range(width))
    widths = [dims.stop - dims.start for dims in ranges]
    assert widths == sorted(widths, reverse=True)
    assert max(widths) - min(widths) <= 1


def test_the_walk_over_padded_tables_gives_the_codes_of_the_blocks() -> None:
    points = torch.from_numpy(worlds.smooth_items(300, 11))
    blocks = block_kmeans(points, (9, 7, 5), draws())
    tables = [block.codewords_Kd for block in blocks]
    codes = block_codes(points, tables)
    assert torch.equal(codes, torch.stack([block.codes_N for block in blocks], dim=1))
    assert torch.equal(residual_codes(points, padded(tables, 11)), codes)


def test_product_quantization_finds_independent_blocks() -> None:
    points = two_grids()
    blocks = block_kmeans(points, (8, 8), draws())
    assert sum(block.inertia[-1] for block in blocks) < 0.01 * float(points.square().sum())


def test_the_best_rotation_undoes_a_rotation() -> None:
    points, turned = torch.randn(200, 6, generator=draws()), some_rotation(6)
    assert torch.allclose(best_rotation(points, points @ turned.T), turned, atol=1e-5)


@pytest.mark.parametrize("world", ["smooth", "rotated"])
def test_opq_is_orthogonal_never_rises_and_is_not_worse_than_blocks(world: str) -> None:
    rotated = two_grids(angle=some_rotation(8))
    points = torch.from_numpy(worlds.smooth_items(400, 24)) if world == "smooth" else rotated
    found = opq(points, (8, 8), draws(), rounds=30)
    identity = torch.eye(points.shape[1])
    assert float((found.rotation_dd @ found.rotation_dd.T - identity).abs().max()) < 1e-5
    assert all(b <= a for a, b in zip(found.inertia, found.inertia[1:], strict=False))
    plain = sum(block.inertia[-1] for block in block_kmeans(points, (8, 8), draws(), 80, 0.0))
    assert found.inertia[-1] <= plain
    decoded = torch.cat([t[c] for t, c in zip(found.tables, found.codes_NG.T, strict=True)], dim=1)
    error = float((points @ found.rotation_dd.T - decoded).square().sum(dtype=torch.float64))
    assert error == pytest.approx(found.inertia[-1], rel=1e-5)


def test_opq_finds_blocks_that_a_rotation_has_hidden() -> None:
    points = two_grids(angle=some_rotation(8))
    found = opq(points, (8, 8), draws(), rounds=200, tolerance=1e-6)
    plain = sum(block.inertia[-1] for block in block_kmeans(points, (8, 8), draws(), 200, 0.0))
    assert found.inertia[-1] < 0.5 * plain


def test_no_round_leaves_plain_blocks() -> None:
    points = torch.from_numpy(worlds.smooth_items(200, 8))
    found = opq(points, (6, 6), draws(), rounds=0)
    assert torch.equal(found.rotation_dd, torch.eye(8))
    blocks = block_kmeans(points, (6, 6), draws())
    assert all(torch.equal(a, b.codewords_Kd) for a, b in zip(found.tables, blocks, strict=True))


def test_the_walk_over_codebooks_turned_back_gives_the_codes_of_the_blocks() -> None:
    points = torch.from_numpy(worlds.smooth_items(400, 24))
    quantizer = RqOpqQuantizer((8, 6, 5), 24, num_blocks=2, rounds=20)
    levels, last = quantizer.learn_from(points, draws(), 50, 1e-4)
    codes = residual_codes(points, quantizer.tables())
    expected = torch.cat([levels[0].codes_N[:, None], last.codes_NG], dim=1)
    assert torch.equal(codes, expected)
    start = [table.detach().clone() for table in quantizer.tables()]
    quantizer.start_from(start)
    for table, other in zip(quantizer.tables(), start, strict=True):
        assert torch.allclose(table, other, atol=1e-6)


def test_residual_opq_has_one_residual_level_before_two_blocks() -> None:
    points = torch.from_numpy(worlds.smooth_items(300, 12))
    levels, last = residual_opq(points, (7, 6, 5), 2, draws())
    assert [len(level.codewords_Kd) for level in levels] == [7]
    assert [table.shape for table in last.tables] == [(6, 6), (5, 6)]


def test_only_tables_of_rq_opq_learn() -> None:
    quantizer = RqOpqQuantizer((8, 6, 5), 24, num_blocks=2, rounds=0)
    names = [name for name, value in quantizer.named_parameters() if value.requires_grad]
    assert names == ["levels.0", "blocks.0", "blocks.1"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"losses": [{"name": "reconstruction"}, {"name": "hamr"}]}, "makes no use of losses"),
        ({"latent_dim": 8, "steps": 10}, r"makes no use of latent_dim, steps.*encoder: mlp"),
        ({"encoder": "mlp", "iterations": 9}, "makes no use of iterations"),
        ({"encoder": "mlp", "start": "random", "rounds": 9}, "makes no use of rounds"),
        ({"sizes": [8, 8]}, "leaves no residual level"),
        ({"opq_blocks": 1}, "opq_blocks"),
    ],
)
def test_rq_opq_refuses_a_setting_without_effect(settings: dict, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        make_tokenizer("rq_opq", settings)


def test_hamr_attaches_to_rq_opq_with_an_encoder() -> None:
    losses = [{"name": name} for name in ("reconstruction", "commitment", "hamr")]
    assert make_tokenizer("rq_opq", {"encoder": "mlp", "losses": losses}).uses_pairs


@pytest.mark.parametrize(
    ("name", "width", "message"),
    [("pq", 2, "3 blocks want at least"), ("rq_opq", 1, "2 blocks want at least")],
)
def test_fewer_dimensions_than_blocks_are_refused(name: str, width: int, message: str) -> None:
    vectors = np.random.default_rng(0).normal(size=(50, width)).astype(np.float32)
    with pytest.raises(BadInput, match=message):
        make_tokenizer(name, {"sizes": [4, 4, 4]}).fit(vectors)


def test_a_block_with_too_few_values_names_its_size() -> None:
    vectors = worlds.smooth_items(60, 6)
    vectors[:, 2:4] = 0.0
    message = r"level 1 has 8 codes but only 1 .*in its block.*tokenizers\.pq\.sizes\[1\]"
    with pytest.raises(BadInput, match=message):
        make_tokenizer("pq", {"sizes": [8, 8, 8]}).fit(vectors)


def test_opq_finds_blocks_that_a_rotation_hid_and_pq_does_not() -> None:
    plain, hidden = (two_grids(angle=turn).numpy() for turn in (None, some_rotation(8)))
    errors = {}
    for name in ("pq", "opq"):
        for world, points in (("plain", plain), ("hidden", hidden)):
            tokenizer = make_tokenizer(name, {"sizes": [8, 8]})
            tokenizer.fit(points, device="cpu")
            error = tokenizer.reconstruct(tokenizer.encode(points)) - points
            errors[name, world] = np.square(error).sum() / np.square(points).sum()
    assert errors["opq", "hidden"] < 0.6 * errors["pq", "hidden"], errors
    assert errors["opq", "plain"] <= errors["pq", "plain"] * 1.0001 < 0.01


@pytest.mark.parametrize("num_blocks", [8, 64])
def test_long_ids_of_256_codes_a_block_tell_nearly_all_items_apart(num_blocks: int) -> None:
    """RPG's ids are 16 to 64 codes of 256: blocks of two dimensions here, at the most."""
    vectors = worlds.smooth_items(300, 128)
    settings = {"sizes": [256] * num_blocks, "rounds": 1, "iterations": 3}
    tokenizer = make_tokenizer("opq", settings)
    assert not tokenizer.hierarchical
    tokenizer.fit(vectors, seed=1, device="cpu")
    codes = tokenizer.encode(vectors)
    assert codes.shape == (300, num_blocks)
    assert codes.max() > 200
    assert len(np.unique(codes, axis=0)) > 0.97 * len(vectors)
    tables = [torch.from_numpy(level) for level in tokenizer.codebooks().levels]
    walked = residual_codes(torch.from_numpy(vectors), tables).numpy()
    assert (walked == codes).mean() > 0.999  # save where float32 cannot tell: see `Opq`
    error = np.square(tokenizer.reconstruct(codes) - vectors).sum()
    assert error < 0.1 * np.square(vectors - vectors.mean(axis=0)).sum()
