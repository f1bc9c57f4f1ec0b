"""Facts of the gradient estimators, of averaged codebooks, and of each joint quantizer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import worlds
from sidmint.errors import BadInput
from sidmint.quantization.assignment import nearest
from sidmint.quantization.estimators import rotation, straight_through
from sidmint.quantization.kmeans import TooFewPoints
from sidmint.quantization.quantizer import ResidualQuantizer
from sidmint.quantization.residual import residual_walk
from sidmint.quantization.updates import moving_averages, revive, smoothed_means
from sidmint.tokenizers import TOKENIZERS, GradientTokenizer, make_tokenizer
from sidmint.tokenizers.grvq import GroupedQuantizer
from sidmint.tokenizers.improved_vqgan import SphereQuantizer
from sidmint.tokenizers.joint import JointTokenizer
from sidmint.tokenizers.rqp_vae import EmaQuantizer
from sidmint.tokenizers.sim_rq import LinearMapQuantizer
from tokenizer_settings import also_given

SIZES = (12, 9, 7)
FAST = {"hidden": (32,), "latent_dim": 9, "start_steps": 30, "steps": 20, "batch_size": 128}
SETTINGS: dict[str, dict[str, Any]] = {
    "fsq": {"latent_dim": 0},  # follows from the sizes
    "rq_opq": {"encoder": "mlp"},
}
JOINT = sorted(name for name in TOKENIZERS if issubclass(TOKENIZERS[name], JointTokenizer))


def points(num_rows: int, num_dimensions: int, seed: int = 0) -> Tensor:
    return torch.randn(
        num_rows, num_dimensions, generator=torch.Generator().manual_seed(seed)
    ).contiguous()


def seeded(make: Callable[[], Any], seed: int = 0) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def passed_back(estimator: Any, quantized: Tensor, source: Tensor, upstream: Tensor) -> Tensor:
    """The gradient that reaches `source` when `upstream` arrives at the estimator's output."""
    source = source.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(estimator(quantized, source), source, upstream)
    return gradient


def cosines(left: Tensor, right: Tensor) -> Tensor:
    return torch.nn.functional.cosine_similarity(left, right, dim=1)


# The rotation trick


def test_a_rotation_goes_forward_as_the_quantized_vector_itself() -> None:
    assert torch.equal(rotation(points(50, 6), points(50, 6, 1)), points(50, 6))


def test_a_rotation_keeps_the_angle_of_the_gradient_and_scales_its_length() -> None:
    quantized, source, upstream = (points(50, 6, seed).double() for seed in range(3))
    gradient = passed_back(rotation, quantized, source, upstream)
    torch.testing.assert_close(cosines(gradient, source), cosines(upstream, quantized))
    lengths = upstream.norm(dim=1) * quantized.norm(dim=1) / source.norm(dim=1)
    torch.testing.assert_close(gradient.norm(dim=1), lengths)


def test_the_jacobian_of_a_rotation_is_the_closed_form() -> None:
    quantized, source = points(1, 5).double(), points(1, 5, 1).double()
    jacobian = torch.autograd.functional.jacobian(lambda e: rotation(quantized, e)[0], source)
    q_unit, e_unit = quantized[0] / quantized.norm(), source[0] / source.norm()
    r = (q_unit + e_unit) / (q_unit + e_unit).norm()
    turn = torch.eye(5).double() - 2 * torch.outer(r, r) + 2 * torch.outer(q_unit, e_unit)
    torch.testing.assert_close(jacobian[:, 0], quantized.norm() / source.norm() * turn)
    torch.testing.assert_close(turn @ turn.T, torch.eye(5).double())
    torch.testing.assert_close(turn @ e_unit, q_unit)


def test_a_rotation_onto_the_same_vector_is_the_identity() -> None:
    source, upstream = points(20, 6), points(20, 6, 1)
    torch.testing.assert_close(passed_back(rotation, source, source, upstream), upstream)


def test_where_no_rotation_can_be_had_the_gradient_passes_straight_through() -> None:
    direction = points(1, 6)[0]
    zero = torch.zeros(6)
    quantized = torch.stack([-direction, -3 * direction, direction, zero, zero, direction])
    source = torch.stack([direction, direction, zero, direction, zero, 1e-9 * direction])
    upstream = points(6, 6, 1)
    assert torch.equal(passed_back(rotation, quantized, source, upstream), upstream)
    assert torch.equal(rotation(quantized, source), quantized)


def test_nearly_opposite_vectors_still_turn_the_gradient_by_an_orthogonal_map() -> None:
    source = points(20, 6)
    quantized = -source + 1e-2 * points(20, 6, 2)
    upstream = points(20, 6, 1)
    gradient = passed_back(rotation, quantized, source, upstream)
    scale = quantized.norm(dim=1) / source.norm(dim=1)
    torch.testing.assert_close(
        gradient.norm(dim=1), scale * upstream.norm(dim=1), rtol=1e-3, atol=0
    )


@pytest.mark.parametrize("estimator", [straight_through, rotation])
def test_no_estimator_has_a_gradient_to_the_codebook(estimator: Any) -> None:
    quantized = points(5, 3).requires_grad_()
    source = points(5, 3, 1).requires_grad_()
    estimator(quantized, source).sum().backward()
    assert quantized.grad is None
    assert source.grad is not None


# Averaged codebooks


def batch_of(num_codes: int, num_rows: int = 200) -> tuple[Tensor, Tensor]:
    codes = torch.randint(num_codes, (num_rows,), generator=torch.Generator().manual_seed(1))
    return codes, points(num_rows, 4)


def test_without_memory_codewords_are_the_means_of_the_batch() -> None:
    codes, residuals = batch_of(6)
    codes[codes == 4] = 5  # nothing for code 4
    before = points(6, 4, 2)
    counts, sums = moving_averages(torch.rand(6), points(6, 4, 3), codes, residuals, decay=0.0)
    means = smoothed_means(counts, sums, before, epsilon=0.0)
    for code in (0, 1, 2, 3, 5):
        torch.testing.assert_close(means[code], residuals[codes == code].mean(dim=0))
    assert torch.equal(means[4], before[4])
    assert torch.equal(counts, torch.bincount(codes, minlength=6).float())


def test_batches_that_stay_the_same_lead_to_their_own_means() -> None:
    codes, residuals = batch_of(6)
    counts, sums = torch.ones(6), points(6, 4, 3)
    for _ in range(300):
        counts, sums = moving_averages(counts, sums, codes, residuals, decay=0.9)
    wanted = torch.stack([residuals[codes == code].mean(dim=0) for code in range(6)])
    torch.testing.assert_close(smoothed_means(counts, sums, points(6, 4), 0.0), wanted)
    torch.testing.assert_close(counts, torch.bincount(codes).float())


def test_one_step_moves_averages_by_one_minus_the_decay() -> None:
    counts, sums = moving_averages(
        torch.tensor([4.0, 2.0]),
        torch.tensor([[8.0], [2.0]]),
        torch.tensor([0, 0, 1]),
        torch.tensor([[1.0], [2.0], [4.0]]),
        decay=0.75,
    )
    assert counts.tolist() == [3.5, 1.75]
    assert sums.tolist() == [[6.75], [2.5]]


def test_smoothing_keeps_the_total_and_pulls_counts_together() -> None:
    counts, sums = torch.tensor([1.0, 3.0]), torch.ones(2, 1)
    smoothed = 1 / smoothed_means(counts, sums, torch.zeros(2, 1), epsilon=1.0)[:, 0]
    torch.testing.assert_close(smoothed, torch.tensor([2 / 6 * 4, 4 / 6 * 4]))


def test_only_dead_codes_come_back_each_at_its_own_residual() -> None:
    counts, sums = torch.tensor([0.2, 5.0, 0.0, 1.0]), points(4, 3, 1)
    residuals = points(10, 3)
    new_counts, new_sums = revive(counts, sums, residuals, 1.0, torch.Generator().manual_seed(0))
    assert new_counts.tolist() == [1.0, 5.0, 1.0, 1.0]
    assert torch.equal(new_sums[[1, 3]], sums[[1, 3]])
    rows = [(residuals == new_sums[code]).all(dim=1).nonzero().item() for code in (0, 2)]
    assert rows[0] != rows[1]


def test_more_dead_codes_than_rows_all_come_back() -> None:
    counts, sums = revive(
        torch.zeros(20), torch.zeros(20, 3), points(5, 3), 0.5, torch.Generator().manual_seed(0)
    )
    assert (counts == 1).all()
    assert torch.isin(sums, points(5, 3)).all()


def ema(threshold: float = 1.0, decay: float = 0.99) -> EmaQuantizer:
    quantizer: EmaQuantizer = seeded(lambda: EmaQuantizer((8, 8), 4, 100, decay, threshold))
    return quantizer


def test_a_revived_codeword_is_a_residual_of_its_own_level() -> None:
    quantizer = ema()
    quantizer.start_on(points(300, 4), torch.Generator().manual_seed(0), 5, 1e-3)
    for level in (0, 1):
        quantizer.get_buffer(f"counts_{level}")[3] = 0.0
    walk, _ = quantizer(points(100, 4, 5))
    used = [(walk.codes_NL[:, level] == 3).sum() for level in (0, 1)]
    quantizer.update(walk)
    for level in (0, 1):
        assert used[level] < 100  # (1 - g) times that many is below the threshold
        gaps = (walk.residuals[level] - quantizer.tables()[level][3]).norm(dim=1)
        assert gaps.min() < 1e-4


def test_a_kmeans_start_counts_each_cluster_as_a_batch_would() -> None:
    latent = points(300, 4)
    quantizer = ema(threshold=0.0)
    quantizer.start_on(latent, torch.Generator().manual_seed(0), iterations=200, tolerance=0.0)
    walk, _ = quantizer(latent)
    for level in (0, 1):
        shares = torch.bincount(walk.codes_NL[:, level], minlength=8) / 300
        torch.testing.assert_close(quantizer.get_buffer(f"counts_{level}"), 100 * shares)
    before = [table.clone() for table in quantizer.tables()]
    quantizer.update(walk)  # each codeword is the mean of what it is given: nothing moves
    for table, old in zip(quantizer.tables(), before, strict=True):
        torch.testing.assert_close(table, old)


@pytest.mark.parametrize("threshold", [0.0, 1.0])
@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_averaged_codebooks_stay_finite_when_codes_die(threshold: float, decay: float) -> None:
    quantizer = ema(threshold, decay)
    quantizer.start_from([points(8, 4), points(8, 4, 1)])
    for _ in range(300):
        walk, _ = quantizer(points(1, 4, 2).expand(100, 4) + 0.0)  # one point, over and over
        quantizer.update(walk)
    assert all(bool(torch.isfinite(value).all()) for value in quantizer.state_dict().values())


def test_a_restored_quantizer_draws_what_the_first_would_have_drawn() -> None:
    first = ema()
    first.start_from([points(8, 4), points(8, 4, 1)])
    for step in range(3):
        first.update(first(points(100, 4, step))[0])
    second: EmaQuantizer = seeded(lambda: EmaQuantizer((8, 8), 4, 100, 0.99, 1.0), seed=9)
    second.load_state_dict(first.state_dict())
    for quantizer in (first, second):
        quantizer.get_buffer("counts_0").zero_()
        quantizer.update(quantizer(points(100, 4, 7))[0])
    for key, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[key]), key


def test_a_threshold_that_no_code_could_reach_is_refused() -> None:
    with pytest.raises(BadInput, match=r"revival_threshold 1 is not below 0.5.*raise batch_size"):
        make_tokenizer("rqp_vae", {"sizes": [256, 256], "batch_size": 128})


# SimVQ


def test_a_step_moves_codewords_that_no_item_used_and_never_the_table() -> None:
    quantizer: LinearMapQuantizer = seeded(lambda: LinearMapQuantizer((16, 16), 5))
    quantizer.start_from([points(16, 5), points(16, 5, 1) / 4])
    bases = [quantizer.base(level).clone() for level in (0, 1)]
    before = [table.detach().clone() for table in quantizer.tables()]
    walk, _ = quantizer(points(3, 5, 2))
    loss = sum((r - c).square().sum() for r, c in zip(walk.residuals, walk.codewords, strict=True))
    assert isinstance(loss, Tensor)
    loss.backward()
    torch.optim.SGD(quantizer.parameters(), lr=0.01).step()
    quantizer.update(walk)
    for level in (0, 1):
        assert torch.equal(quantizer.base(level), bases[level])
        unused = torch.bincount(walk.codes_NL[:, level], minlength=16) == 0
        moved = (quantizer.tables()[level] - before[level]).abs().amax(dim=1)
        assert int(unused.sum()) >= 13
        assert (moved[unused] > 0).all()


def test_a_linear_map_starts_with_mean_and_covariance_of_the_codewords() -> None:
    quantizer: LinearMapQuantizer = seeded(lambda: LinearMapQuantizer((50_000,), 4))
    table = points(30, 4) * torch.tensor([3.0, 1.0, 0.5, 0.1]) + 1.0
    quantizer.start_from([table])
    (codewords,) = [table.detach() for table in quantizer.tables()]
    wanted = torch.cov(table.T, correction=0)
    torch.testing.assert_close(codewords.mean(dim=0), table.mean(dim=0), rtol=0.03, atol=0.03)
    torch.testing.assert_close(torch.cov(codewords.T), wanted, rtol=0.03, atol=0.03)
    weight = quantizer.maps[0].detach()
    torch.testing.assert_close(weight @ weight.T / 4, wanted)
    torch.testing.assert_close(weight, weight.T)


# Groups


def grouped(latent: Tensor) -> GroupedQuantizer:
    quantizer = GroupedQuantizer((6, 5, 4, 3), 8, 2)
    quantizer.start_on(latent, torch.Generator().manual_seed(0), 10, 1e-4)
    return quantizer


def test_the_walk_over_padded_codebooks_is_the_walk_of_each_group() -> None:
    latent = points(300, 8)
    quantizer = grouped(latent)
    walk, _ = quantizer(latent)
    for group, columns in enumerate((slice(0, 4), slice(4, 8))):
        alone = residual_walk(latent[:, columns], list(quantizer.blocks)[group::2])
        assert torch.equal(walk.codes_NL[:, group::2], alone.codes_NL)
        torch.testing.assert_close(walk.quantized[:, columns], alone.quantized)


def test_codewords_are_zero_outside_their_group_and_codes_go_level_by_level() -> None:
    tables = grouped(points(300, 8)).tables()
    assert [len(table) for table in tables] == [6, 5, 4, 3]
    for level, table in enumerate(tables):
        inside = slice(0, 4) if level % 2 == 0 else slice(4, 8)
        outside = slice(4, 8) if level % 2 == 0 else slice(0, 4)
        assert bool(table[:, inside].any(dim=1).all())
        assert not table[:, outside].any()


def test_commitment_of_a_level_pulls_at_its_own_group_alone() -> None:
    latent = points(300, 8).requires_grad_()
    walk, _ = grouped(latent.detach())(latent)
    for level, columns in enumerate((slice(0, 4), slice(4, 8)) * 2):
        term = (walk.residuals[level] - walk.codewords[level].detach()).square().sum()
        (gradient,) = torch.autograd.grad(term, latent, retain_graph=True)
        assert gradient[:, columns].any()
        gradient[:, columns] = 0.0
        assert not gradient.any()


def test_one_group_is_the_ordinary_residual_walk() -> None:
    latent = points(300, 8)
    one, plain = GroupedQuantizer((6, 5), 8, 1), ResidualQuantizer((6, 5), 8, straight_through)
    for quantizer in (one, plain):
        quantizer.start_on(latent, torch.Generator().manual_seed(0), 10, 1e-4)
    for table, other in zip(one.tables(), plain.tables(), strict=True):
        assert torch.equal(table, other)
    assert torch.equal(one(latent)[0].codes_NL, plain(latent)[0].codes_NL)


def test_a_group_with_too_few_points_names_the_level_of_the_item() -> None:
    latent = torch.cat([points(50, 4), points(4, 4, 1).repeat(13, 1)[:50]], dim=1)
    with pytest.raises(TooFewPoints) as caught:
        grouped(latent)
    assert (caught.value.level, caught.value.num_codes, caught.value.num_distinct) == (1, 5, 4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sizes": [8, 8, 8], "num_groups": 2}, r"does not divide the 3 levels.* \[1, 3\]"),
        ({"latent_dim": 32}, r"latent_dim 32 cannot be cut into 3 groups .*choose 33"),
    ],
)
def test_groups_that_do_not_fit_are_refused(settings: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        make_tokenizer("grvq", settings)


# The sphere


def sphere(latent: Tensor) -> SphereQuantizer:
    quantizer = SphereQuantizer((12, 10, 8), latent.shape[1])
    quantizer.start_on(latent, torch.Generator().manual_seed(0), 10, 1e-4)
    return quantizer


def test_the_nearest_codeword_is_the_one_of_largest_cosine_at_every_level() -> None:
    latent = torch.nn.functional.normalize(points(400, 6), dim=1)
    quantizer = sphere(latent)
    walk, _ = quantizer(latent)
    for level, (residuals, table) in enumerate(
        zip(walk.residuals, quantizer.tables(), strict=True)
    ):
        codewords = table.detach().double()
        similar = torch.nn.functional.normalize(codewords, dim=1) @ residuals.double().T
        assert torch.equal(walk.codes_NL[:, level], similar.argmax(dim=0))
        torch.testing.assert_close(
            codewords.norm(dim=1), quantizer.radii[level].double().expand(len(table))
        )


def test_radii_start_at_one_and_then_at_the_least_squared_error() -> None:
    latent = torch.nn.functional.normalize(points(400, 6), dim=1)
    quantizer = sphere(latent)
    assert float(quantizer.radii[0]) == 1.0
    walk, _ = quantizer(latent)
    for level in (1, 2):
        units = torch.nn.functional.normalize(walk.codewords[level], dim=1)
        best = (walk.residuals[level] * units).sum(dim=1).mean().detach()
        assert float(quantizer.radii[level]) == pytest.approx(float(best), rel=0.05)


def test_a_codeword_at_the_origin_still_lies_on_its_sphere() -> None:
    quantizer = SphereQuantizer((3, 3), 4)
    table = points(3, 4)
    table[1] = 0.0
    quantizer.start_from([table, 0.5 * table])
    for radius, codewords in zip(quantizer.radii, quantizer.tables(), strict=True):
        torch.testing.assert_close(codewords.norm(dim=1), radius.expand(3))


@pytest.mark.parametrize("name", ["improved_vqgan", "rq_vae_rotation"])
def test_latents_on_the_sphere_are_unit_vectors(name: str) -> None:
    vectors = worlds.smooth_items()
    tokenizer = make_tokenizer(name, {**FAST, "sizes": SIZES})
    tokenizer.fit(vectors, seed=1)
    norms = np.linalg.norm(tokenizer.latent(vectors).astype(np.float64), axis=1)
    assert norms == pytest.approx(np.ones(len(vectors)), abs=1e-6)


def test_the_straight_through_step_lengthens_latents_and_the_rotated_one_shortens_them() -> None:
    """Why `rq_vae_rotation` keeps its latents on the sphere."""
    source = points(200, 6).double()
    quantized = source + 0.2 * points(200, 6, 1).double()
    quantized *= source.norm(dim=1, keepdim=True) / quantized.norm(dim=1, keepdim=True)
    away = source - quantized  # where the loss wants a latent to go
    lengthened = (passed_back(straight_through, quantized, source, away) * source).sum(dim=1)
    shortened = (passed_back(rotation, quantized, source, away) * source).sum(dim=1)
    torch.testing.assert_close(lengthened, away.square().sum(dim=1) / 2)
    torch.testing.assert_close(shortened, -lengthened)


# Every joint tokenizer


@pytest.mark.parametrize("name", JOINT)
def test_commitment_of_every_level_reaches_the_encoder(name: str) -> None:
    tokenizer = make_tokenizer(name, {**FAST, **SETTINGS.get(name, {}), "sizes": SIZES})
    assert isinstance(tokenizer, GradientTokenizer)
    quantizer = seeded(tokenizer.make_quantizer)
    latent = torch.nn.functional.normalize(points(200, tokenizer.latent_dim), dim=1)
    quantizer.start_on(latent, torch.Generator().manual_seed(0), 5, 1e-3)
    latent.requires_grad_()
    walk, _ = quantizer(latent)
    for residuals, codewords in zip(walk.residuals, walk.codewords, strict=True):
        term = (residuals - codewords.detach()).square().sum()
        (gradient,) = torch.autograd.grad(term, latent, retain_graph=True)
        assert float(gradient.norm()) > 0.1 * math.sqrt(float(term.detach()))


@pytest.mark.parametrize("name", JOINT)
def test_hamr_attaches_by_one_line(name: str) -> None:
    losses = [{"name": "reconstruction"}, {"name": "commitment"}, {"name": "hamr"}]
    tokenizer = make_tokenizer(
        name, {**FAST, **SETTINGS.get(name, {}), "sizes": SIZES, "losses": losses}
    )
    assert tokenizer.uses_pairs
    vectors = worlds.smooth_items()
    log = tokenizer.fit(vectors, worlds.neighbour_pairs(vectors), seed=1)
    values = [point.value for point in log.curve if point.metric == "hamr"]
    assert values
    assert max(values) > 0
    assert tokenizer.encode(vectors).shape == (len(vectors), len(SIZES))


@pytest.mark.parametrize("name", JOINT)
def test_exported_codebooks_are_what_the_last_step_walked(name: str) -> None:
    tokenizer = make_tokenizer(name, {**FAST, **SETTINGS.get(name, {}), "sizes": SIZES})
    assert isinstance(tokenizer, GradientTokenizer)
    vectors = worlds.smooth_items()
    given = also_given(tokenizer, vectors)
    tokenizer.fit(vectors, worlds.neighbour_pairs(vectors), seed=1, **given)
    tables = tokenizer._fitted().quantizer.tables()
    for table, level in zip(tables, tokenizer.codebooks().levels, strict=True):
        assert np.array_equal(table.detach().numpy(), level)
        assert np.isfinite(level).all()
    latent = torch.from_numpy(tokenizer.latent(vectors))
    assert torch.equal(
        nearest(latent, tables[0]).int(), torch.from_numpy(tokenizer.encode(vectors)[:, 0])
    )
