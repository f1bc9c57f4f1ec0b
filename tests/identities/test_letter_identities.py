"""LETTER's two losses, and the collaborative vectors that one of them reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor
from torch.nn.functional import log_softmax, normalize

import worlds
from embed_world import catalogue, embed_params, put, random_vectors
from sidmint.errors import BadInput
from sidmint.losses import Collaborative, Diversity, TokenizerStep
from sidmint.losses.diversity import group_codewords
from sidmint.params import parse_params
from sidmint.quantization.estimators import straight_through
from sidmint.quantization.residual import residual_walk
from sidmint.stages.embed import embed
from sidmint.stages.train import check_settings
from sidmint.tokenizers import make_tokenizer
from sidmint.tokenizers.collaborative import collaborative_vectors
from tokenizer_settings import FAST, SIZES


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def step(latent: Tensor, known: Tensor, rows: list[int] | None = None) -> TokenizerStep:
    tables = (draw(5, latent.shape[1], seed=1).requires_grad_(),)
    walk = residual_walk(latent, tables)
    items = torch.tensor(rows or range(len(latent)))
    quantized = straight_through(walk.quantized, latent)
    return TokenizerStep(
        items, latent, latent, latent, walk,
        quantized_Bd=quantized, tables=tables, collaborative_Bc=known,
    )  # fmt: skip


def test_the_collaborative_loss_is_info_nce_against_the_vectors_of_the_same_items() -> None:
    latent, known = draw(9, 4), draw(9, 4, seed=2)
    made = step(latent, known)
    scores = normalize(made.quantized_Bd) @ normalize(known).T / 0.2
    wanted = -log_softmax(scores, dim=1).diagonal().mean()
    assert float(Collaborative(temperature=0.2)(made)) == pytest.approx(float(wanted), rel=1e-5)


def test_it_falls_as_quantized_latents_turn_to_the_vectors() -> None:
    latent, known = draw(40, 4), draw(40, 4, seed=2)
    made = [step(latent, known)]
    for share in (0.0, 0.5, 1.0):
        quantized = (1 - share) * draw(40, 4, seed=3) + share * known
        made.append(
            TokenizerStep(
                made[0].rows_B,
                latent,
                latent,
                latent,
                made[0].walk,
                quantized_Bd=quantized,
                collaborative_Bc=known,
            )
        )
    worst, middle, best = (float(Collaborative()(each)) for each in made[1:])
    assert best < middle < worst
    turned = Collaborative()(step(latent, torch.roll(known, 1, dims=0)))
    assert float(turned) > best


def test_items_without_a_vector_count_for_nothing() -> None:
    latent, known = draw(9, 4), draw(9, 4, seed=2)
    known[[2, 7]] = torch.nan
    kept = [n for n in range(9) if n not in (2, 7)]
    whole, part = step(latent, known), step(latent[kept], known[kept])
    assert torch.allclose(Collaborative()(whole), Collaborative()(part))
    nobody = Collaborative()(step(latent.requires_grad_(), torch.full((9, 4), torch.nan)))
    nobody.backward()
    assert float(nobody.detach()) == 0
    assert bool(torch.isfinite(latent.grad).all())


def test_narrow_vectors_leave_the_other_latent_dimensions_free() -> None:
    latent, known = draw(9, 4).requires_grad_(), draw(9, 2, seed=2)
    made = step(latent, known)
    made.quantized_Bd.retain_grad()
    Collaborative()(made).backward()
    assert float(made.quantized_Bd.grad[:, :2].abs().min()) > 0
    assert float(made.quantized_Bd.grad[:, 2:].abs().max()) == 0


def test_an_item_that_a_batch_has_twice_is_not_its_own_negative() -> None:
    latent, known = draw(6, 4), draw(6, 4, seed=2)
    latent[5], known[5] = latent[0], known[0]
    alone = Collaborative()(step(latent[:5], known[:5]))
    twice = Collaborative()(step(latent, known, [0, 1, 2, 3, 4, 0]))
    assert float(twice) != pytest.approx(float(alone))  # others see it as a negative twice
    made = step(latent, known, [0, 1, 2, 3, 4, 0])
    scores = normalize(made.quantized_Bd) @ normalize(known).T / 0.1
    first = -log_softmax(scores[0, :5], dim=0)[0]
    rows = [-log_softmax(scores[n], dim=0)[n] for n in range(1, 5)]
    assert float(twice) == pytest.approx(float((2 * first + sum(rows)) / 6), rel=1e-4)


def test_its_gradient_reaches_the_encoder_and_no_codebook() -> None:
    latent, known = draw(9, 4).requires_grad_(), draw(9, 4, seed=2)
    made = step(latent, known)
    Collaborative()(made).backward()
    assert float(latent.grad.abs().max()) > 0
    assert made.tables[0].grad is None


def diversity(table: Tensor, codes: list[int], **settings: Any) -> float:
    walk = residual_walk(table[codes], (table,))
    nothing = torch.zeros(len(codes), 1)
    rows = torch.arange(len(codes))
    made = TokenizerStep(rows, nothing, table[codes], nothing, walk, tables=(table,))
    return float(Diversity(**settings)(made))


def test_the_diversity_loss_is_the_mean_over_the_group_as_written_out() -> None:
    table = torch.tensor([[4.0, 0.0], [4.1, 0.2], [3.9, -0.3], [-4.0, 0.0], [-4.2, 0.1]])
    assert group_codewords(table, 2, None).tolist() in ([0, 0, 0, 1, 1], [1, 1, 1, 0, 0])
    costs = []
    for own, like in ((0, (1, 2)), (3, (4,))):
        scores = (table @ table[own]).numpy()
        others = np.exp(np.delete(scores, own)).sum()
        costs.append(np.mean([np.log(others) - scores[n] for n in like]))
    found = diversity(table, [0, 3, 3], groups=2)
    assert found == pytest.approx((costs[0] + 2 * costs[1]) / 3, rel=1e-5)


def test_no_group_is_larger_than_its_bound_and_who_loses_least_moves() -> None:
    """Nine codewords near one mean and one far off: of two groups none may take more than six."""
    near = torch.stack([torch.arange(9.0) / 10, torch.zeros(9)], dim=1)
    table = torch.cat([near, torch.tensor([[9.0, 0.0]])])
    free, bounded = group_codewords(table, 2, None), group_codewords(table, 2, 1.2)
    assert sorted(torch.bincount(free, minlength=2).tolist()) == [1, 9]
    assert torch.bincount(bounded, minlength=2).max() == 6
    moved = (bounded == bounded[-1]).nonzero()[:, 0].tolist()
    assert moved == [6, 7, 8, 9]  # the nearest to the other mean


def test_it_falls_as_groups_of_codewords_move_apart() -> None:
    """From log(K - 1), where all are one, to log of the others in a group, where groups are far."""
    corners = torch.eye(5, 8).repeat_interleave(6, dim=0)
    noise, codes = 0.01 * draw(30, 8, seed=4), list(range(30))
    found = [diversity(apart * corners + noise, codes, groups=5) for apart in (0, 0.5, 1, 2, 4)]
    assert found == sorted(found, reverse=True)
    assert found[0] == pytest.approx(np.log(29), rel=1e-3)
    assert found[-1] == pytest.approx(np.log(5), rel=1e-3)


@pytest.mark.parametrize("name", ["fsq", "rqp_vae"])
def test_codebooks_that_no_gradient_moves_are_refused(name: str) -> None:
    losses = [{"name": "reconstruction"}, {"name": "diversity"}]
    with pytest.raises(BadInput, match="'diversity' needs learned_tables, which"):
        make_tokenizer(name, {"losses": losses})


def test_a_codeword_alone_in_its_group_costs_nothing() -> None:
    table = torch.tensor([[9.0, 0.0], [0.0, 9.0], [-9.0, 0.0]])
    assert diversity(table, [0, 1, 2], groups=3) == 0


def test_wide_vectors_keep_their_products_and_narrow_ones_stay() -> None:
    rng = np.random.default_rng(0)
    low = rng.normal(size=(50, 3)) @ rng.normal(size=(3, 20)) + 7
    low[4] = np.nan
    wide = collaborative_vectors(low.astype(np.float32), 50, 3, "letter")
    centred = low - np.nanmean(low, axis=0)
    kept = np.arange(50) != 4
    assert np.allclose((wide @ wide.T).numpy()[kept][:, kept], (centred @ centred.T)[kept][:, kept],
                       rtol=1e-3, atol=1e-3)  # fmt: skip
    assert bool(wide[4].isnan().all())
    narrow = collaborative_vectors(low[:, :2].astype(np.float32), 50, 5, "letter")
    assert np.allclose(narrow.numpy()[kept], centred[kept][:, :2], atol=1e-4)


@pytest.mark.parametrize(
    ("known", "message"),
    [
        (None, "embed.collaborative"),
        (np.ones((399, 4), dtype=np.float32), r"shape \(399, 4\) for 400 items"),
        (np.full((400, 4), np.nan, dtype=np.float32), "0 of 400 items to fit have"),
        (np.array([[np.inf, 0.0]] * 400, dtype=np.float32), "holds NaN or infinity"),
    ],
)
def test_vectors_that_are_missing_or_do_not_fit_are_refused(known: Any, message: str) -> None:
    tokenizer = make_tokenizer("letter", {"sizes": SIZES, **FAST})
    with pytest.raises(BadInput, match=message):
        tokenizer.fit(worlds.smooth_items(), device="cpu", collaborative=known)


def test_letter_turns_codes_to_the_collaborative_vectors() -> None:
    """Two views of the items; the ids follow the second one more closely with the loss on it."""
    vectors = worlds.smooth_items()
    directions = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)[2]
    known = vectors @ directions[3:6].T  # what a reconstruction cares little about
    agreement = {}
    for weight in (1e-6, 0.5):
        losses = [
            {"name": "reconstruction"},
            {"name": "commitment"},
            {"name": "collaborative", "weight": weight},
        ]
        settings = {"sizes": SIZES, **FAST, "steps": 80, "losses": losses}
        tokenizer = make_tokenizer("letter", settings)
        tokenizer.fit(vectors, seed=3, device="cpu", collaborative=known)
        quantized = tokenizer.codebooks().decode(tokenizer.encode(vectors))
        agreement[weight] = _cosines_agree(quantized, known)
    assert agreement[0.5] > agreement[1e-6] + 0.2


def _cosines_agree(left: np.ndarray, right: np.ndarray) -> float:
    """Correlation of the cosines between items in one view and in the other."""
    views = []
    for rows in (left, right):
        units = rows - rows.mean(axis=0)
        units /= np.linalg.norm(units, axis=1, keepdims=True)
        views.append((units @ units.T)[np.triu_indices(len(rows), 1)])
    return float(np.corrcoef(views)[0, 1])


def test_embed_keeps_the_vectors_by_item_and_nothing_for_others(tmp_path: Path) -> None:
    artifacts = catalogue(tmp_path)
    vectors = random_vectors(3, 5)
    frame = pl.DataFrame({"item_id": ["d", "a", "zz"], "vector": vectors.tolist()})
    frame.write_parquet(put(tmp_path, "sasrec.parquet"))
    outcome = embed(embed_params(collaborative="data/raw/sasrec.parquet"), artifacts)
    known = artifacts.collaborative()
    assert np.array_equal(known[[3, 0]], vectors[:2])
    assert np.isnan(known[[1, 2]]).all()
    assert "collaborative vectors for 2 of them" in outcome.headline
    with_them = artifacts.array("embed", "embeddings").copy()
    embed(embed_params(), artifacts)
    assert np.array_equal(artifacts.array("embed", "embeddings"), with_them)
    assert artifacts.collaborative() is None


def test_a_file_of_other_items_is_refused(tmp_path: Path) -> None:
    artifacts = catalogue(tmp_path)
    frame = pl.DataFrame({"item_id": ["x", "y"], "vector": random_vectors(2, 5).tolist()})
    frame.write_parquet(put(tmp_path, "sasrec.parquet"))
    with pytest.raises(BadInput, match="no vector for any of 4 items; its ids are like x"):
        embed(embed_params(collaborative="data/raw/sasrec.parquet"), artifacts)


def test_a_run_without_the_file_is_refused_before_it_starts() -> None:
    params = {"train": {"tokenizers": ["letter"]}, "tokenizers": {"letter": {}}}
    with pytest.raises(BadInput, match=r"embed\.collaborative names none"):
        check_settings(parse_params(params, "params.yaml"))
    check_settings(parse_params({**params, "embed": {"collaborative": "data/raw/v.npy"}}, "p"))
