"""Entropy-regularised transport, and what it may and may not influence."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import worlds
from sidmint.errors import BadInput
from sidmint.quantization.assignment import nearest
from sidmint.quantization.sinkhorn import (
    balanced_codes,
    balanced_nearest,
    transport,
    unit_costs,
)
from sidmint.semantic_ids import resolve_by_spreading
from sidmint.tokenizers import TOKENIZERS, make_tokenizer
from sidmint.tokenizers.base import code_usage
from sidmint.tokenizers.joint import JointTokenizer
from sidmint.types import Codes
from tokenizer_settings import also_given

JOINT = [name for name in TOKENIZERS if issubclass(TOKENIZERS[name], JointTokenizer)]


def costs(num_points: int = 40, num_codes: int = 8, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return unit_costs(torch.rand(num_points, num_codes, generator=generator))


def test_costs_run_from_minus_one_to_one() -> None:
    values = costs()
    assert (float(values.min()), float(values.max())) == (-1.0, 1.0)
    assert torch.equal(unit_costs(torch.full((3, 2), 7.0)), torch.zeros(3, 2, dtype=torch.float64))


def test_costs_do_not_depend_on_the_unit_of_the_vectors() -> None:
    distances = torch.rand(20, 5, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(unit_costs(distances), unit_costs(distances * 64 + 3), atol=1e-6)


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 50.0])
def test_marginals_are_even(epsilon: float) -> None:
    plan = transport(costs(), epsilon, 500).exp()
    assert torch.allclose(plan.sum(dim=0), torch.full((8,), 1 / 8, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(
        plan.sum(dim=1), torch.full((40,), 1 / 40, dtype=torch.float64), rtol=1e-6
    )


@pytest.mark.parametrize("epsilon", [1e-4, 0.003, 1.0])
@pytest.mark.parametrize("iterations", [1, 2, 11, 53])
def test_absorbed_scaling_equals_plain_logarithms(epsilon: float, iterations: int) -> None:
    log_kernel = costs() / -epsilon
    log_u, log_v = torch.zeros(40, 1), torch.zeros(1, 8)
    for _ in range(iterations):
        log_u = -np.log(40) - torch.logsumexp(log_kernel + log_v, dim=1, keepdim=True)
        log_v = -np.log(8) - torch.logsumexp(log_kernel + log_u, dim=0, keepdim=True)
    found = transport(costs(), epsilon, iterations)
    assert torch.allclose(found, log_kernel + log_u + log_v, rtol=1e-9, atol=1e-9)


def test_no_epsilon_overflows() -> None:
    for epsilon in (1e-12, 1e-6, 1e12):
        assert bool(torch.isfinite(transport(costs(), epsilon, 60)).all())


def test_a_large_epsilon_spreads_every_point_over_all_codes() -> None:
    plan = transport(costs(), 1e6, 50).exp()
    assert torch.allclose(plan, torch.full_like(plan, 1 / 320), rtol=1e-5)


def test_a_small_epsilon_keeps_nearest_codes_that_are_balanced_already() -> None:
    vectors, members = worlds.clusters_far_apart(num_clusters=8, items_each=20)
    points = torch.from_numpy(vectors)
    centres = torch.stack([points[torch.from_numpy(members) == k].mean(dim=0) for k in range(8)])
    assert torch.equal(balanced_nearest(points, centres), nearest(points, centres))


def test_codes_of_a_collapsed_example_are_used_evenly() -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(160, 4, generator=generator)
    codewords = torch.randn(16, 4, generator=generator) * 20
    codewords[0] = 0.0  # the nearest of every point
    assert len(nearest(points, codewords).unique()) == 1
    counts = torch.bincount(balanced_nearest(points, codewords), minlength=16)
    assert code_usage(counts.numpy())[0] > 15.5  # a plan is even; the largest shares nearly so


def test_permuted_points_and_codes_get_a_permuted_plan() -> None:
    values = costs()
    rows, columns = torch.randperm(40), torch.randperm(8)
    plan = transport(values, 0.05, 50)
    assert torch.allclose(transport(values[rows][:, columns], 0.05, 50), plan[rows][:, columns])


def test_equal_points_get_equal_codes() -> None:
    distances = costs().repeat(2, 1)
    codes = balanced_codes(distances)
    assert torch.equal(codes[:40], codes[40:])


def test_spreading_tells_items_of_a_bucket_apart_and_leaves_single_ones() -> None:
    codes = Codes(np.array([[0, 1], [0, 1], [0, 1], [1, 2]], dtype=np.int32), (2, 4))
    table = np.array([[0.0, 1.0, 2.0, 3.0], [1.0, 0.0, 2.0, 3.0], [3.0, 1.0, 2.0, 0.0], [0.0] * 4])

    def spread(distances: np.ndarray) -> np.ndarray:
        return balanced_codes(torch.from_numpy(distances)).numpy()

    ids = resolve_by_spreading(codes, list("abcd"), lambda rows: table[rows], spread)
    assert ids.codes.values[3].tolist() == [1, 2]
    assert len(np.unique(ids.codes.values, axis=0)) == 4
    assert not ids.has_suffix
    place = np.arange(4)
    added = table[place, ids.codes.values[:, 1]] - table[place, codes.values[:, 1]]
    assert np.array_equal(ids.added_distances, np.where(ids.moved, added, 0.0))


def test_equal_items_still_collide_after_spreading_and_get_suffixes() -> None:
    codes = Codes(np.zeros((2, 2), dtype=np.int32), (2, 4))
    ids = resolve_by_spreading(
        codes,
        ["b", "a"],
        lambda rows: np.ones((len(rows), 4)),
        lambda distances: np.zeros(len(distances), dtype=np.int64),
    )
    assert ids.has_suffix
    assert ids.strings() == ["0-0-1", "0-0-0"]


@pytest.mark.parametrize("name", JOINT)
def test_every_joint_tokenizer_balances_training_batches_alone(name: str) -> None:
    """The setting changes what is learned; codes stay those of the nearest codeword."""
    vectors = worlds.smooth_items()
    settings = {"sizes": (12, 9, 7), "hidden": (16,), "start_steps": 5, "steps": 10}
    settings |= {"latent_dim": 0 if name == "fsq" else 9, "batch_size": 128}
    if name == "rq_opq":
        settings["encoder"] = "mlp"
    codes = []
    for sinkhorn in (None, {"levels": [3]}):
        tokenizer = make_tokenizer(name, {**settings, "sinkhorn": sinkhorn})
        pairs = worlds.neighbour_pairs(vectors) if tokenizer.uses_pairs else None
        given = also_given(tokenizer, vectors)
        tokenizer.fit(vectors, pairs, seed=1, device="cpu", **given)
        residual = tokenizer.latent(vectors)
        for table in tokenizer.codebooks().levels:
            code = nearest(torch.from_numpy(residual), torch.from_numpy(table)).numpy()
            residual = residual - table[code]
        codes.append(tokenizer.state())
        assert np.array_equal(code, tokenizer.encode(vectors)[:, -1])
    assert any(not np.array_equal(codes[0][key], codes[1][key]) for key in codes[0])


def test_a_balanced_level_must_be_there() -> None:
    with pytest.raises(BadInput, match=r"sinkhorn\.levels names level 3, but sizes \[8, 8\]"):
        make_tokenizer("rq_vae", {"sizes": [8, 8], "sinkhorn": {"levels": [3]}})
    with pytest.raises(BadInput, match="levels"):
        make_tokenizer("rq_vae", {"sinkhorn": {"levels": [0]}})
