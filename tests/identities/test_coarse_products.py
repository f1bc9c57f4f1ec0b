"""A coarse product proposes, the code is that of float64: for every product, whatever the data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from sidmint.quantization import assignment, groups, products
from sidmint.quantization.assignment import Assigner, all_distances, nearest
from sidmint.quantization.products import BFloat16Product, Int8Product, Kind
from sidmint.quantization.residual import residual_codes

KINDS = [
    pytest.param(Int8Product, id="int8"),
    pytest.param(BFloat16Product, id="bfloat16"),
    pytest.param(None, id="float32"),
]


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def clustered() -> tuple[torch.Tensor, torch.Tensor]:
    codewords = normal(300, 40)
    return codewords.repeat(3, 1)[:700] + 0.4 * normal(700, 40, seed=1), codewords


def duplicates() -> tuple[torch.Tensor, torch.Tensor]:
    points, codewords = clustered()
    return points, codewords[:37].repeat(9, 1)


def near_ties() -> tuple[torch.Tensor, torch.Tensor]:
    codewords = normal(1, 64) + 1e-7 * normal(130, 64, seed=1)
    return (codewords.repeat(3, 1) + codewords.roll(1, 0).repeat(3, 1)) / 2, codewords


def one_dimension() -> tuple[torch.Tensor, torch.Tensor]:
    return normal(500, 1), normal(77, 1, seed=1)


def two_codewords() -> tuple[torch.Tensor, torch.Tensor]:
    return normal(200, 17), normal(2, 17, seed=1)


def rows_of_zeros() -> tuple[torch.Tensor, torch.Tensor]:
    points, codewords = clustered()
    points[::3] = 0.0
    codewords[5:8] = 0.0
    return points, codewords


def constant_columns() -> tuple[torch.Tensor, torch.Tensor]:
    points, codewords = clustered()
    points[:, :30], codewords[:, :30] = 1000.0, 1000.0
    return points, codewords


def range_within_a_row() -> tuple[torch.Tensor, torch.Tensor]:
    scales = torch.logspace(-30, 6, 40)
    points, codewords = clustered()
    return points * scales, codewords * scales


def norms_of_all_sizes() -> tuple[torch.Tensor, torch.Tensor]:
    points, codewords = clustered()
    return points * torch.logspace(-8, 8, 700)[:, None], codewords * torch.logspace(-8, 8, 300)[
        :, None
    ]


def an_outlier() -> tuple[torch.Tensor, torch.Tensor]:
    points, codewords = clustered()
    points[7], codewords[11] = 1e6, 1e9
    return points, codewords


def far_from_every_codeword() -> tuple[torch.Tensor, torch.Tensor]:
    points, codewords = clustered()
    return 1e25 * points, 1e-10 * codewords


def codewords_that_centring_makes_equal() -> tuple[torch.Tensor, torch.Tensor]:
    codewords = torch.cat([torch.full((1, 5), 1e4), 1e-9 * normal(60, 5)])
    return 1e-9 * normal(300, 5, seed=1), codewords


CASES = [
    codewords_that_centring_makes_equal,
    clustered,
    duplicates,
    near_ties,
    one_dimension,
    two_codewords,
    rows_of_zeros,
    constant_columns,
    range_within_a_row,
    norms_of_all_sizes,
    an_outlier,
    far_from_every_codeword,
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [1.0, 1e-18, 1e-30, 1e12], ids=str)
@pytest.mark.parametrize("case", CASES)
def test_the_code_is_the_first_of_the_nearest_in_float64(
    case: Callable[[], tuple[torch.Tensor, torch.Tensor]],
    scale: float,
    kind: Kind | None,
) -> None:
    points, codewords = (rows * scale for rows in case())
    exact = all_distances(points, codewords).argmin(dim=1)
    assert torch.equal(Assigner(codewords, kind)(points), exact)


@pytest.mark.parametrize("kind", [Int8Product, BFloat16Product])
def test_no_product_errs_by_more_than_it_says(kind: Kind) -> None:
    points, codewords = (
        normal(200, 96) * torch.logspace(-9, 9, 200)[:, None],
        normal(64, 96, seed=1),
    )
    product = kind(codewords, 16)
    proposal = product(points)
    said = (proposal.left_B2 @ product.right_2G).repeat(1, 4).double()
    scales = (proposal.scales_B1 * product.scales_G).repeat(1, 4).double()
    erred = (points.double() @ codewords.double().T - scales * proposal.products_BK.double()).abs()
    assert bool((erred <= said).all())
    assert bool((said < 0.1 * points.norm(dim=1)[:, None] * codewords.norm(dim=1)).all())


@pytest.mark.parametrize("kind", [Int8Product, BFloat16Product])
def test_a_product_too_coarse_for_the_data_gives_way_to_float32(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    points, codewords = clustered()
    monkeypatch.setattr(groups, "OPEN_GROUPS", 0)
    coarse = Assigner(codewords, kind)
    assert coarse.groups is not None
    assert coarse.groups.possible(points, points[:, 0].abs()) is None
    assert torch.equal(coarse(points), nearest(points, codewords))


@pytest.mark.parametrize("kind", [Int8Product, BFloat16Product])
def test_the_block_changes_no_code(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    points, codewords = clustered()
    expected = Assigner(codewords, kind)(points)
    for scores in (1, 300 * 91, 1 << 22):
        monkeypatch.setattr(assignment, "SCORES_IN_CACHE", scores)
        assert torch.equal(Assigner(codewords, kind)(points), expected)
    assert Assigner(codewords, kind)(points[:0]).shape == (0,)


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_float32_products_that_may_lose_more_still_give_the_exact_code(precision: str) -> None:
    points, codewords = clustered()
    exact = all_distances(points, codewords).argmin(dim=1)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(precision)
        assert torch.equal(nearest(points, codewords), exact)
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("kind", [Int8Product, BFloat16Product])
def test_equal_codewords_are_multiplied_once(kind: Kind) -> None:
    _, codewords = duplicates()
    repeated = Assigner(codewords, kind).groups
    assert repeated is not None
    assert sorted(set(repeated.codes_GM.view(-1).tolist())) == list(range(37))


def test_the_processor_chooses_the_product(monkeypatch: pytest.MonkeyPatch) -> None:
    many, few = torch.zeros(4096, 384), torch.zeros(256, 32)
    for amx, vnni, kind in ((True, True, BFloat16Product), (False, True, Int8Product)):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: amx)
        monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda vnni=vnni: vnni)
        assert products.fast_product(many) is kind
        assert products.fast_product(few) is None
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False)
    assert products.fast_product(many) is None


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_vectors_in_a_file_get_the_codes_they_get_in_memory(tmp_path, dtype: str) -> None:
    rows = normal(40_000, 12).numpy().astype(dtype)
    np.save(tmp_path / "rows.npy", rows)
    tables = [normal(32, 12, seed=level) / 2**level for level in range(3)]
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    expected = residual_codes(torch.from_numpy(rows.astype(np.float32)), tables)
    assert torch.equal(residual_codes(mapped, tables), expected)
