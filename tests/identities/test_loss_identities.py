"""Losses on steps small enough to work out by hand."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from sidmint.errors import BadInput
from sidmint.losses import Commitment, Hamr, InfoNce, Kl, TokenizerStep, valid_pairs
from sidmint.quantization.residual import ResidualWalk, residual_walk
from sidmint.tokenizers import TOKENIZERS, make_tokenizer


def step_of(
    latent: Tensor, codes: list[list[int]], rows: list[int], num_pairs: int
) -> TokenizerStep:
    """A step that says nothing beyond what repulsion and alignment read."""
    nothing = torch.zeros(len(latent), 1)
    walk = ResidualWalk(torch.tensor(codes), (latent,), (latent,))
    return TokenizerStep(torch.tensor(rows), nothing, latent, nothing, walk, num_pairs)


def directions(*degrees: float) -> Tensor:
    angles = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return torch.stack([angles.cos(), angles.sin()], dim=1).requires_grad_()


# Instances 0, 1 are triggers, 2, 3 their targets: the constructed positives are (0,2) and (1,3).
CODES = [[1, 1, 1], [1, 1, 1], [1, 1, 1], [1, 1, 2]]


def test_hamr_by_hand() -> None:
    latent = directions(
        0, 60, 90, 120
    )  # D: (0,1) .5, (0,3) 1.5, (1,2) 1 - cos 30, (2,3) 1 - cos 30
    loss = Hamr(full_weight=0.2, partial_weight=0.1)(step_of(latent, CODES, [10, 11, 12, 13], 2))
    # Full and valid: (0,1) and (1,2), both orders; (0,2) is a positive.
    near = 1 - math.cos(math.radians(30))
    full = ((0.8 - 0.5) + (0.8 - near)) / 2
    # Partial and valid: (0,3) too far apart to pay, (2,3); (1,3) is a positive.
    partial = (0.0 + (0.5 - near)) / 2
    assert loss.item() == pytest.approx(0.2 * full + 0.1 * partial, rel=1e-6)


def test_hamr_is_zero_once_colliding_pairs_reach_their_margins() -> None:
    latent = directions(0, 90, 180, 270)
    loss = Hamr()(step_of(latent, [[0, 0, 0]] * 4, [1, 2, 3, 4], 0))
    assert loss.item() == 0.0
    just_inside = directions(0, math.degrees(math.acos(0.21)))
    pair = step_of(just_inside, [[0, 0, 0]] * 2, [1, 2], 0)
    assert Hamr(full_weight=1.0)(pair).item() == pytest.approx(0.01, rel=1e-5)


def test_hamr_is_zero_without_collisions_and_its_gradient_is_finite() -> None:
    latent = directions(0, 1, 2)
    loss = Hamr()(step_of(latent, [[0, 0, 0], [1, 1, 1], [2, 2, 2]], [1, 2, 3], 0))
    assert loss.item() == 0.0
    loss.backward()
    assert latent.grad is not None
    assert bool(torch.isfinite(latent.grad).all())


def test_hamr_counts_levels_wherever_they_differ() -> None:
    latent = directions(0, 0.5)
    for codes in ([[1, 2, 3], [9, 2, 3]], [[1, 2, 3], [1, 9, 3]], [[1, 2, 3], [1, 2, 9]]):
        near = step_of(latent, codes, [1, 2], 0)
        assert Hamr(full_weight=0.0, partial_weight=1.0)(near).item() > 0.4
        assert Hamr(full_weight=1.0, partial_weight=0.0)(near).item() == 0.0
    far = step_of(latent, [[1, 2, 3], [9, 9, 3]], [1, 2], 0)
    assert Hamr(full_weight=1.0, partial_weight=1.0)(far).item() == 0.0
    assert Hamr(full_weight=1.0, partial_weight=1.0, radius=2)(far).item() > 0.4


def test_hamr_does_not_depend_on_the_length_of_latents() -> None:
    latent = directions(0, 20, 45, 50)
    stretched = (latent * torch.tensor([[1.0], [7.0], [0.1], [30.0]])).detach()
    steps = [step_of(z, CODES, [1, 2, 3, 4], 2) for z in (latent, stretched)]
    assert Hamr()(steps[0]).item() == pytest.approx(Hamr()(steps[1]).item(), rel=1e-9)


def test_hamr_drives_colliding_items_apart() -> None:
    latent = directions(0, 30)
    Hamr()(step_of(latent, [[0, 0, 0]] * 2, [1, 2], 0)).backward()
    assert latent.grad is not None
    moved = latent.detach() - 0.1 * latent.grad
    cosine = torch.nn.functional.cosine_similarity(moved[0], moved[1], dim=0)
    assert cosine.item() < math.cos(math.radians(30))


def test_valid_pairs_are_those_of_the_paper() -> None:
    """QuaSID eq. 8, written out as the two cases of section 4.2.1."""
    num_pairs, items = 3, [5, 6, 7, 6, 8, 5]
    valid = valid_pairs(torch.tensor(items), num_pairs)
    for i, j in product(range(6), repeat=2):
        positive = (i < num_pairs and j == i + num_pairs) or (j < num_pairs and i == j + num_pairs)
        assert bool(valid[i, j]) == (not positive and items[i] != items[j]), (i, j)


def test_without_cvpm_only_an_instance_with_itself_is_left_out() -> None:
    valid = valid_pairs(torch.tensor([5, 6, 5, 6]), 2, cvpm=False)
    assert torch.equal(valid, ~torch.eye(4, dtype=torch.bool))
    latent = directions(0, 40, 10, 50)
    step = step_of(latent, [[0, 0, 0], [1, 1, 1]] * 2, [1, 2, 3, 4], 2)
    assert Hamr()(step).item() == 0.0  # both collisions are constructed positives
    paid = 0.2 * (0.8 - (1 - math.cos(math.radians(10))))
    assert Hamr(cvpm=False)(step).item() == pytest.approx(paid, rel=1e-6)


def test_a_full_margin_below_the_partial_one_is_refused() -> None:
    losses = [{"name": "reconstruction"}, {"name": "hamr", "full_margin": 0.4}]
    with pytest.raises(BadInput, match=r"full_margin 0\.4 is below partial_margin 0.5"):
        make_tokenizer("rq_vae", {"losses": losses})


def test_info_nce_by_hand() -> None:
    latent = directions(0, 90, 60, 90)  # cos: (0,0) .5, (0,1) 0, (1,0) cos 30, (1,1) 1
    step = step_of(latent, [[0]] * 4, [1, 2, 3, 4], 2)
    rows = [(0.5, (0.5, 0.0)), (1.0, (math.cos(math.radians(30)), 1.0))]
    wanted = [
        -math.log(math.exp(own / 0.2) / sum(math.exp(s / 0.2) for s in all_scores))
        for own, all_scores in rows
    ]
    assert InfoNce(temperature=0.2)(step).item() == pytest.approx(sum(wanted) / 2, rel=1e-9)


def test_info_nce_masks_duplicates_out_of_the_denominator() -> None:
    latent = directions(0, 40, 60, 20, 80, 70)
    items = {  # triggers, then targets
        "the target of another row is this row's trigger": ([1, 2, 3, 4, 1, 6], (0, 1)),
        "the target of another row is this row's target": ([1, 2, 3, 4, 5, 4], (0, 2)),
    }
    units = latent.detach()
    for reason, (rows, (row, masked)) in items.items():
        scores = (units[:3] @ units[3:].T) / 0.1
        scores[row, masked] = -math.inf
        if reason.endswith("row's target"):
            scores[masked, row] = -math.inf  # of two equal targets, each masks the other
        wanted = -torch.log_softmax(scores, dim=1).diagonal().mean()
        loss = InfoNce()(step_of(latent, [[0]] * 6, rows, 3))
        assert loss.item() == pytest.approx(wanted.item(), rel=1e-9), reason


def test_info_nce_leaves_items_out_that_are_their_own_target() -> None:
    latent = directions(0, 50, 30, 50)
    both = InfoNce()(step_of(latent, [[0]] * 4, [1, 2, 3, 2], 2))
    scores = torch.tensor([math.cos(math.radians(30)), math.cos(math.radians(50))]) / 0.1
    assert both.item() == pytest.approx(-torch.log_softmax(scores, 0)[0].item(), rel=1e-6)
    alone = InfoNce()(step_of(latent, [[0]] * 4, [1, 2, 1, 2], 2))
    assert alone.item() == 0.0
    alone.backward()
    assert InfoNce()(step_of(latent, [[0]] * 4, [1, 2, 3, 4], 0)).item() == 0.0


def test_info_nce_of_uniform_scores_is_the_log_of_the_batch() -> None:
    latent = torch.tensor([[1.0, 0.0]] * 8 + [[0.0, 1.0]] * 8)
    loss = InfoNce()(step_of(latent, [[0]] * 16, list(range(16)), 8))
    assert loss.item() == pytest.approx(math.log(8), rel=1e-6)


def test_kl_is_zero_at_a_standard_normal_and_known_elsewhere() -> None:
    nothing = torch.zeros(2, 1)

    def kl(mean: float, variance: float) -> float:
        latent, log_variance = torch.full((2, 3), mean), torch.full((2, 3), math.log(variance))
        step = TokenizerStep(
            torch.arange(2), nothing, latent, nothing, log_variance_Bd=log_variance
        )
        return Kl()(step).item()

    assert kl(0.0, 1.0) == 0.0
    assert kl(2.0, 1.0) == pytest.approx(3 * 4 / 2)
    assert kl(0.0, 4.0) == pytest.approx(3 * (4 - 1 - math.log(4)) / 2, rel=1e-6)


def test_commitment_at_every_level_reaches_the_encoder() -> None:
    """Subtracting the straight-through vector would leave deeper levels without gradient."""
    torch.manual_seed(0)
    latent = torch.randn(64, 4, dtype=torch.float32, requires_grad=True)
    tables = [0.5**level * torch.randn(8, 4) for level in range(3)]
    for level in range(3):
        walk = residual_walk(latent, tables)
        kept = ResidualWalk(
            walk.codes_NL, (walk.residuals[level],), (walk.codewords[level].detach(),)
        )
        nothing = torch.zeros(64, 1)
        loss = Commitment()(TokenizerStep(torch.arange(64), nothing, latent, nothing, kept))
        (gradient,) = torch.autograd.grad(loss, latent)
        residual = walk.residuals[level] - walk.codewords[level]
        torch.testing.assert_close(gradient, 0.25 * 2 * residual.detach() / 64)
        assert float(gradient.norm()) > 0


def test_a_kl_term_makes_the_encoder_stochastic_and_only_there() -> None:
    settings = {"latent_dim": 4, "losses": [{"name": "reconstruction"}, {"name": "kl"}]}
    with_kl = make_tokenizer("drq_vae", settings)
    without = make_tokenizer("drq_vae", {"latent_dim": 4})
    widths = [
        t._make_network(6, 0).autoencoder.encoder[-1].out_features for t in (with_kl, without)
    ]
    assert widths == [8, 4]
    with pytest.raises(BadInput, match=r"'kl' needs log_variance.*'rq_vae' does not provide"):
        make_tokenizer("rq_vae", settings)


@pytest.mark.parametrize("loss", ["hamr", "commitment"])
def test_losses_that_need_codes_are_refused_by_decoupled_tokenizers(loss: str) -> None:
    losses = [{"name": "reconstruction"}, {"name": loss}]
    with pytest.raises(BadInput, match=rf"loss '{loss}' needs .*codes.*'drq_vae'|codewords"):
        make_tokenizer("drq_vae", {"losses": losses})
    assert "drq_vae" in TOKENIZERS


def test_hamr_agrees_with_the_double_loop() -> None:
    rng = np.random.default_rng(3)
    latent = torch.from_numpy(rng.normal(size=(40, 5)))
    codes, rows = rng.integers(0, 2, (40, 3)), rng.integers(0, 25, 40)
    units = (latent / latent.norm(dim=1, keepdim=True)).numpy()
    sums, counts = {"full": 0.0, "partial": 0.0}, {"full": 0, "partial": 0}
    for i, j in product(range(40), repeat=2):
        if rows[i] == rows[j] or abs(i - j) == 20:
            continue
        differing = int((codes[i] != codes[j]).sum())
        if differing > 1:
            continue
        kind, margin = ("full", 0.8) if differing == 0 else ("partial", 0.5)
        sums[kind] += max(0.0, margin - (1 - float(units[i] @ units[j])))
        counts[kind] += 1
    assert min(counts.values()) > 0
    wanted = 0.2 * sums["full"] / counts["full"] + 0.1 * sums["partial"] / counts["partial"]
    loss = Hamr()(step_of(latent, codes.tolist(), rows.tolist(), 20))
    assert loss.item() == pytest.approx(wanted, rel=1e-9)
