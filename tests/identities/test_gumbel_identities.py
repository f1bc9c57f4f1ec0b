"""The modes of rq_vae: codes that are drawn, and codes that are asked to be used alike."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
from torch import Tensor

import worlds
from sidmint.errors import BadInput
from sidmint.losses import Entropy, TokenizerStep
from sidmint.quantization.assignment import nearest
from sidmint.quantization.gumbel import gumbel, gumbel_walk, soft_choice
from sidmint.quantization.residual import ResidualWalk, residual_walk
from sidmint.tokenizers import make_tokenizer
from sidmint.tokenizers.batches import Batch, Share
from sidmint.tokenizers.rq_vae import Gumbel
from tokenizer_settings import FAST, SIZES


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def noise(*shape: int, seed: int = 9) -> Tensor:
    return gumbel(torch.rand(shape, generator=torch.Generator().manual_seed(seed)))


def test_gumbel_numbers_have_the_mean_and_the_variance_of_their_law() -> None:
    drawn = noise(200_000).double()
    assert float(drawn.mean()) == pytest.approx(0.5772, abs=0.01)
    assert float(drawn.var()) == pytest.approx(math.pi**2 / 6, abs=0.03)
    assert bool(torch.isfinite(gumbel(torch.tensor([0.0, 1.0]))).all())


def test_a_draw_comes_as_often_as_its_probability_says() -> None:
    point, table = torch.zeros(1, 2), torch.tensor([[1.0, 0.0], [0.0, 1.1], [-1.3, 0.0]])
    points = point.expand(100_000, 2)
    weights = soft_choice(points, table, noise(100_000, 3), heat=0.8)
    assert torch.allclose(weights.sum(dim=1), torch.ones(100_000))
    shares = torch.bincount(weights.argmax(dim=1), minlength=3) / 100_000
    wanted = (-table.square().sum(dim=1) / 0.8).softmax(dim=0)  # the nearest lies at 1
    assert shares.tolist() == pytest.approx(wanted.tolist(), abs=0.006)


def test_without_heat_it_is_the_ordinary_walk() -> None:
    latent, tables = draw(60, 4), [draw(9, 4, seed=1), 0.5 * draw(7, 4, seed=2)]
    wanted = residual_walk(latent, tables)
    walk, soft = gumbel_walk(latent, tables, [noise(60, 9), noise(60, 7)], heat=1e-6)
    assert torch.equal(walk.codes_NL, wanted.codes_NL)
    assert torch.allclose(soft, wanted.quantized, atol=1e-5)
    for level in range(2):
        assert torch.equal(walk.residuals[level], wanted.residuals[level])
        assert torch.equal(walk.codewords[level], wanted.codewords[level])
    hot, _ = gumbel_walk(latent, tables, [noise(60, 9), noise(60, 7)], heat=5.0)
    assert not torch.equal(hot.codes_NL, wanted.codes_NL)


def test_the_gradient_is_that_of_the_weighted_sum_and_reaches_both_sides() -> None:
    latent = draw(5, 3).double().requires_grad_()
    table = draw(4, 3, seed=1).double().requires_grad_()
    fixed = noise(5, 4).double()
    unit = float(torch.cdist(latent, table).detach().square().amin(dim=1).mean())

    def written_out(rows: Tensor, words: Tensor) -> Tensor:
        squares = (rows[:, None] - words[None]).square().sum(dim=2)
        return (fixed - squares / (0.7 * unit)).softmax(dim=1) @ words

    found = torch.autograd.grad(
        gumbel_walk(latent, [table], [fixed], 0.7)[1].sum(), (latent, table)
    )
    wanted = torch.autograd.grad(written_out(latent, table).sum(), (latent, table))
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one, other)
        assert float(one.abs().max()) > 0


def test_temperatures_fall_by_the_same_factor_from_first_to_last() -> None:
    schedule = Gumbel(first=0.8, last=0.05)
    assert schedule.at(0) == 0.8
    assert schedule.at(1) == pytest.approx(0.05)
    assert schedule.at(0.5) == pytest.approx(math.sqrt(0.8 * 0.05))
    assert schedule.at(7.0) == schedule.at(1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gumbel": {"first": 0.1, "last": 0.2}}, "temperatures fall"),
        ({"gumbel": {}, "sinkhorn": {"levels": [1]}}, "gumbel and sinkhorn both"),
        ({"gumbel": {"first": 0}}, "gumbel.first"),
    ],
)
def test_schedules_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        make_tokenizer("rq_vae", {**changes, "sizes": SIZES})


def test_a_second_fit_begins_with_the_first_temperature_again() -> None:
    vectors = worlds.smooth_items()
    settings = {"sizes": SIZES, **FAST, "start_steps": 5, "steps": 10, "gumbel": {}}
    tokenizer = make_tokenizer("rq_vae", settings)
    logs = [tokenizer.fit(vectors, seed=3, device="cpu") for _ in range(2)]
    assert logs[0] == logs[1]


def test_a_setting_that_is_off_is_not_written_down() -> None:
    """What was fitted and recorded before there were such settings keeps its bytes."""
    plain = make_tokenizer("rq_vae", {"sizes": SIZES}).config
    for name in ("rq_vae", "rq_kmeans", "drq_vae", "rqp_vae", "rq_opq"):
        written = make_tokenizer(name, {"sizes": SIZES}).config.model_dump_json()
        assert "balance" not in json.loads(written), name
    bounded = make_tokenizer("rq_kmeans", {"sizes": SIZES, "balance": 1.5}).config
    assert bounded.model_dump()["balance"] == 1.5
    drawn = make_tokenizer("rq_vae", {"sizes": SIZES, "gumbel": {}}).config
    assert "gumbel" not in json.loads(plain.model_dump_json())
    assert drawn.model_dump()["gumbel"] == {"first": 0.5, "last": 0.02}


def test_each_process_draws_the_numbers_of_its_own_rows() -> None:
    places = torch.tensor([1, 4])
    whole = Batch(torch.arange(6)).draw_uniform(3, torch.Generator().manual_seed(0))
    part = Batch(torch.arange(6)[places], share=Share(places, 6))
    assert torch.equal(part.draw_uniform(3, torch.Generator().manual_seed(0)), whole[places])
    assert float(whole.min()) >= 0
    assert float(whole.max()) < 1


def entropy(rows: Tensor, table: Tensor, **settings: Any) -> Tensor:
    codes = nearest(rows, table)[:, None]
    walk = ResidualWalk(codes, (rows,), (table[codes[:, 0]],))
    items = torch.arange(len(rows))
    return Entropy(**settings)(TokenizerStep(items, rows, rows, rows, walk, tables=(table,)))


def test_the_entropy_term_is_what_it_says() -> None:
    rows, table = draw(30, 4), draw(6, 4, seed=1)
    squares = (rows[:, None] - table[None]).square().sum(dim=2)
    shares = (-squares / (0.3 * squares.amin(dim=1).mean())).softmax(dim=1)
    own = -(shares * shares.log()).sum(dim=1).mean()
    mean = shares.mean(dim=0)
    wanted = 0.5 * own + (mean * mean.log()).sum()
    found = entropy(rows, table, temperature=0.3, certainty=0.5)
    assert float(found) == pytest.approx(float(wanted), rel=1e-4)


def test_it_is_least_where_all_codes_are_used_alike_and_each_row_is_sure() -> None:
    table = 10 * torch.eye(5)
    even = table.repeat(4, 1) + 0.01 * draw(20, 5)
    skewed = table[torch.tensor([0] * 16 + [1, 2, 3, 4])] + 0.01 * draw(20, 5)
    unsure = table.mean(dim=0).expand(20, 5) + 0.01 * draw(20, 5)
    assert float(entropy(even, table)) == pytest.approx(-math.log(5), rel=1e-4)
    assert float(entropy(skewed, table)) > float(entropy(even, table)) + 0.3
    assert float(entropy(unsure, table)) > float(entropy(even, table)) + 0.3


def test_its_gradient_is_finite_where_codes_are_unused_or_met_exactly() -> None:
    table = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1e4, 0.0]], requires_grad=True)
    rows = torch.zeros(4, 2, requires_grad=True)
    entropy(rows, table).backward()
    assert bool(torch.isfinite(rows.grad).all())
    assert bool(torch.isfinite(table.grad).all())
