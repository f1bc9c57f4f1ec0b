"""Bounded codes: small cases whose answer is known, and what is left of them in k-means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

import worlds
from sidmint.errors import BadInput
from sidmint.information import effective_children, information
from sidmint.quantization import balance as balance_module
from sidmint.quantization import kmeans as kmeans_module
from sidmint.quantization.assignment import nearest
from sidmint.quantization.balance import bounded_nearest, largest_size
from sidmint.quantization.kmeans import kmeans, residual_kmeans
from sidmint.tokenizers import make_tokenizer
from tokenizer_settings import SETTINGS

STARTED = ("rq_vae", "rqp_vae", "sim_rq", "improved_vqgan", "grvq", "quasid")
DECOUPLED = ("drq_vae", "drq_vae_cl")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cloud(num_points: int = 600, size: int = 48, seed: int = 0) -> torch.Tensor:
    return torch.randn(num_points, size, generator=generator(seed))


def spread(codes: torch.Tensor, num_codes: int) -> int:
    return int(torch.bincount(codes, minlength=num_codes).max())


def test_who_has_least_to_lose_goes_elsewhere() -> None:
    # All three lie nearest to 0; at 4 the next codeword, at 10, is hardly farther.
    points, codewords = torch.tensor([[-1.0], [1.0], [4.0]]), torch.tensor([[0.0], [10.0]])
    assert nearest(points, codewords).tolist() == [0, 0, 0]
    assert bounded_nearest(points, codewords, 2).tolist() == [0, 0, 1]


def test_of_two_codes_the_bounded_assignment_is_the_best_there_is() -> None:
    for seed in range(5):
        points, codewords = cloud(40, 3, seed), cloud(2, 3, 100 + seed) + 2.0
        codes = bounded_nearest(points, codewords, 20)
        costs = (points[:, None] - codewords).double().square().sum(dim=2).numpy()
        rows, seats = linear_sum_assignment(costs.repeat(20, axis=1))
        least = costs[rows, seats // 20].sum()
        assert costs[np.arange(40), codes.numpy()].sum() == pytest.approx(least, rel=1e-9)


def test_a_bound_that_binds_nobody_is_the_nearest_codeword() -> None:
    points, codewords = cloud(), cloud(16)
    assert torch.equal(bounded_nearest(points, codewords, 600), nearest(points, codewords))
    plain, bounded = (kmeans(points, 16, generator(), balance=b) for b in (None, 16.0))
    assert torch.equal(plain.codewords_Kd, bounded.codewords_Kd)
    assert torch.equal(plain.codes_N, bounded.codes_N)
    assert bounded.inertia == (*plain.inertia, plain.inertia[-1])


def test_equal_points_fill_one_code_after_another_in_a_bounded_number_of_rounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rounds = []
    propose = balance_module._nearest_open

    def counted(*arguments: Any) -> torch.Tensor:
        rounds.append(len(arguments[2]))
        return propose(*arguments)

    monkeypatch.setattr(balance_module, "_nearest_open", counted)
    codewords = torch.arange(1.0, 101.0)[:, None]
    codes = bounded_nearest(torch.zeros(1000, 1), codewords, 12)
    assert len(rounds) == balance_module.ROUNDS
    # The nearest 83 codewords, each as full as it may be.
    assert torch.bincount(codes, minlength=100).tolist() == [12] * 83 + [4] + [0] * 16


def test_no_room_for_all_is_an_error() -> None:
    with pytest.raises(ValueError, match="3 codes of 2 have no room for 7 points"):
        bounded_nearest(cloud(7, 2), cloud(3, 2), 2)


def test_no_code_is_larger_than_its_bound_in_any_iteration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes = []
    means = kmeans_module.cluster_means

    def seen(points: torch.Tensor, codes: torch.Tensor, codewords: torch.Tensor) -> torch.Tensor:
        sizes.append(spread(codes, len(codewords)))
        return means(points, codes, codewords)

    monkeypatch.setattr(kmeans_module, "cluster_means", seen)
    points = torch.cat([cloud(300, 8) * 0.01, cloud(60, 8)])  # plain k-means keeps 200 in one
    kmeans(points, 24, generator(), balance=1.2)
    assert len(sizes) > 2
    assert max(sizes) <= largest_size(360, 24, 1.2) == 18
    sizes.clear()
    kmeans(points, 24, generator())
    assert max(sizes) > 100


def test_codes_of_a_balanced_fit_are_those_of_the_nearest_codeword() -> None:
    levels = residual_kmeans(cloud(), (16, 12), generator(), balance=1.5)
    residual = cloud()
    for fitted in levels:
        assert torch.equal(nearest(residual, fitted.codewords_Kd), fitted.codes_N)
        residual = residual - fitted.codewords_Kd[fitted.codes_N]
        left = float(residual.double().square().sum())
        assert left == pytest.approx(fitted.inertia[-1], rel=1e-5)


def test_a_level_of_outliers_carries_more_when_codes_are_bounded() -> None:
    """Most residuals are short and a few are long: k-means spends its codes on these."""
    vectors, sizes = worlds.long_tails(1200, 32, spread=1.0), (32, 64, 64)

    def shares(balance: float | None) -> tuple[list[float], float]:
        model = make_tokenizer("rq_kmeans", {"sizes": sizes, "balance": balance})
        model.fit(vectors, device="cpu")
        codes = model.encode(vectors)
        added = information(effective_children(codes), sizes, len(codes))
        return [each.share for each in added], len(np.unique(codes, axis=0)) / len(codes)

    (plain, distinct), (bounded, more_distinct) = shares(None), shares(1.5)
    assert bounded[1] > 2 * plain[1]
    assert more_distinct > 1.5 * distinct


@pytest.mark.parametrize("name", [*STARTED, *DECOUPLED, "rq_opq", "rq_opq_mlp"])
def test_every_tokenizer_with_k_means_inside_can_bound_its_codes(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds = []
    monkeypatch.setattr(
        kmeans_module,
        "bounded_nearest",
        lambda points, codewords, largest: (
            bounds.append((len(points), len(codewords), largest))
            or bounded_nearest(points, codewords, largest)
        ),
    )
    steps = {"steps": 2} | ({} if name in DECOUPLED else {"start_steps": 2})
    fast = steps if name != "rq_opq" else {}
    settings = {**SETTINGS[name], **fast, "balance": 1.25}
    vectors = worlds.smooth_items()
    pairs = worlds.neighbour_pairs(vectors)
    make_tokenizer(name, settings).fit(vectors, pairs, device="cpu")
    assert {largest_size(n, k, 1.25) - largest for n, k, largest in bounds} == {0}
    assert {k for _, k, _ in bounds} <= {12, 9, 7}


def test_balance_without_effect_or_against_another_setting_is_refused() -> None:
    with pytest.raises(BadInput, match=r"swap_rounds"):
        make_tokenizer("rq_kmeans", {"balance": 1.5, "swap_rounds": 2})
    with pytest.raises(BadInput, match="start: random"):
        make_tokenizer("rq_vae", {"balance": 1.5, "start": "random"})
    with pytest.raises(BadInput, match="balance"):
        make_tokenizer("rq_kmeans", {"balance": 0.9})
