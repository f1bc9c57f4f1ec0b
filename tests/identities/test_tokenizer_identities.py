"""Facts of single tokenizers and of the training loop."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import worlds
from sidmint.errors import BadInput
from sidmint.gate.rules import rules_for
from sidmint.gate.thresholds import GateParams
from sidmint.losses import LOSSES, Loss, TokenizerStep
from sidmint.progress import silent
from sidmint.tokenizers import RqVae, make_tokenizer
from sidmint.tokenizers.base import describe_fit
from sidmint.tokenizers.batches import Batch, SingleItems, split_rows
from sidmint.tokenizers.encoders import Autoencoder
from sidmint.tokenizers.gradient import Fit
from sidmint.tokenizers.joint import JointTokenizer
from sidmint.tokenizers.starting import Start, start_codebooks
from sidmint.tokenizers.training import Losses, Schedule, train

FAST = {"sizes": (8, 8), "hidden": (32,), "latent_dim": 8, "batch_size": 128}


def first_value(log: Any, metric: str) -> float:
    return next(point.value for point in log.curve if point.metric == metric)


def test_rq_kmeans_takes_a_nested_grid_apart() -> None:
    world = worlds.nested_grid()
    tokenizer = make_tokenizer("rq_kmeans", {"sizes": world.codebooks.sizes})
    tokenizer.fit(world.vectors, seed=1)
    codes = tokenizer.encode(world.vectors)
    assert np.array_equal(tokenizer.reconstruct(codes), world.vectors)
    assert np.array_equal(tokenizer.encode(tokenizer.reconstruct(codes)), codes)
    assert len(np.unique(codes, axis=0)) == len(world.vectors)


def test_reconstruction_and_quantization_start_in_the_same_order() -> None:
    tokenizer = make_tokenizer("rq_vae", {**FAST, "start_steps": 100, "steps": 40})
    log = tokenizer.fit(worlds.smooth_items(), seed=1)
    ratio = first_value(log, "commitment") / first_value(log, "reconstruction")
    assert 0.1 < ratio < 10


def test_units_of_the_vectors_change_no_code() -> None:
    vectors = worlds.smooth_items()
    codes = []
    for scale in (1.0, 64.0):
        tokenizer = make_tokenizer("rq_vae", {**FAST, "start_steps": 20, "steps": 20})
        tokenizer.fit(vectors * np.float32(scale), seed=1)
        codes.append(tokenizer.encode(vectors * np.float32(scale)))
    assert np.array_equal(*codes)


@pytest.mark.parametrize("start", ["autoencoder", "latents", "random"])
def test_codebooks_start_where_the_config_says(start: str) -> None:
    settings = {**FAST, "start": start, "start_steps": 20, "steps": 10}
    log = make_tokenizer("rq_vae", settings).fit(worlds.smooth_items(), seed=1)
    metrics = {point.metric for point in log.curve}
    assert ("autoencoder_loss" in metrics) == (start == "autoencoder")
    assert {"loss", "reconstruction", "commitment", "perplexity_2", "dead_codes_1"} <= metrics


@pytest.mark.parametrize("start", ["autoencoder", "latents"])
@pytest.mark.parametrize("name", ["rq_vae", "rqp_vae", "rq_vae_rotation"])
def test_starting_codewords_have_not_seen_the_items_held_out(name: str, start: Start) -> None:
    """On noise, k-means lies nearer to the points that it was fitted to than to any others."""
    tokenizer = make_tokenizer(name, {"sizes": (32, 32), "hidden": (32,), "latent_dim": 16})
    assert isinstance(tokenizer, JointTokenizer)
    vectors = torch.randn(400, 16, generator=torch.Generator().manual_seed(0))
    network = tokenizer._make_network(16, seed=0)
    network.autoencoder.learn_units(vectors)
    inputs = network.autoencoder.to_units(vectors)
    seen, held_out = torch.arange(200), torch.arange(200, 400)
    draws = torch.Generator().manual_seed(0)
    start_codebooks(
        Fit(network, inputs, seen, held_out, None, draws, 0, silent), start, tokenizer.type_name
    )
    with torch.no_grad():
        latent = network.autoencoder.latent(inputs)
        _, quantized = network.quantizer(latent)
    error = (latent - quantized).square().sum(dim=1)
    assert error[seen].mean() < 0.8 * error[held_out].mean()


def test_a_started_latent_has_unit_variance_and_the_same_reconstruction() -> None:
    torch.manual_seed(0)
    autoencoder = Autoencoder(6, (5,), 3)
    inputs = torch.randn(50, 6)
    before, latent = autoencoder.decoder(autoencoder.encoder(inputs)), autoencoder.encoder(inputs)
    autoencoder.scale_latent(8.0)
    torch.testing.assert_close(autoencoder.encoder(inputs), 8 * latent)
    torch.testing.assert_close(autoencoder.decoder(autoencoder.encoder(inputs)), before)


def test_a_loss_that_the_tokenizer_cannot_serve_is_refused_naming_both() -> None:
    class Demanding(Loss):
        needs: ClassVar[frozenset[str]] = frozenset({"latent", "pair_targets"})

        def __call__(self, step: TokenizerStep) -> Tensor:
            raise AssertionError

    LOSSES.register("demanding")(Demanding)
    try:
        with pytest.raises(BadInput, match=r"'demanding' needs pair_targets, .*'rq_vae'"):
            make_tokenizer("rq_vae", {"losses": [{"name": "demanding"}]})
    finally:
        del LOSSES._entries["demanding"]


def test_losses_attach_by_configuration() -> None:
    losses = [{"name": "reconstruction", "weight": 2.0}, {"name": "commitment", "beta": 0.5}]
    tokenizer = make_tokenizer("rq_vae", {"losses": losses})
    assert isinstance(tokenizer, RqVae)
    assert [(term.weight, loss.model_dump()) for term, loss in tokenizer._losses] == [
        (2.0, {}),
        (1.0, {"beta": 0.5, "codebook_weight": 1.0}),
    ]


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ([{"name": "hamr2"}], "unknown loss 'hamr2'"),
        ([{"name": "commitment", "bata": 1}], "commitment: unknown key bata; did you mean beta"),
        ([{"name": "commitment"}], "no loss .* judge"),
        ([{"name": "reconstruction"}, {"name": "reconstruction"}], "named twice"),
    ],
)
def test_loss_lists_that_cannot_work_are_refused(losses: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        make_tokenizer("rq_vae", {"losses": losses})


def test_a_collapse_is_said_in_words() -> None:
    codes = np.zeros((100, 2), dtype=np.int32)
    codes[:, 1] = np.arange(100) % 16
    codes[:3, 0] = 5
    log = describe_fit(codes, (16, 16), [], 1)
    assert log.collapsed == ("level 1 collapsed: 2 of 16 codes used, perplexity 1.1",)
    assert log.perplexities[1] == pytest.approx(16, rel=0.01)


class _Line(nn.Module):
    """One parameter that training pulls to 1 and validation wants at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(0.0))


SCHEDULE = Schedule(steps=200, batch_size=2, learning_rate=0.1, patience=3)
SAMPLER, HELD_OUT = SingleItems(torch.arange(4)), torch.arange(4, 6)


def test_training_stops_early_and_puts_the_best_state_back() -> None:
    line = _Line()

    def objective(batch: Batch) -> Losses:
        wanted = 0.0 if batch.rows_B[0] >= 4 else 1.0
        loss = (line.value - wanted) ** 2
        return Losses(loss, loss)

    curve, steps = train(
        line, objective, SAMPLER, HELD_OUT, SCHEDULE, torch.Generator(), "tokenizers.x"
    )
    judged = [point.value for point in curve if point.metric == "validation_judged"]
    assert steps == 20  # a check every 5 steps: the first is the best, then three without
    assert line.value.item() ** 2 == pytest.approx(min(judged)) == pytest.approx(judged[0])


def test_a_diverging_loss_names_step_and_setting() -> None:
    line = _Line()
    seen = []

    def objective(batch: Batch) -> Losses:
        seen.append(batch)
        loss = line.value * (float("nan") if len(seen) == 4 else 1.0)
        return Losses(loss, loss, {"hamr": loss, "fine": line.value * 0})

    message = r"loss hamr is not a finite number at step 4; lower tokenizers\.x\.learning_rate"
    with pytest.raises(BadInput, match=message):
        train(line, objective, SAMPLER, HELD_OUT, SCHEDULE, torch.Generator(), "tokenizers.x")


@pytest.mark.parametrize("num_rows", [2, 3, 40, 1000])
def test_a_split_has_every_row_once(num_rows: int) -> None:
    split = split_rows(num_rows, 0.05, torch.Generator().manual_seed(1))
    both = torch.cat([split.training, split.validation])
    assert sorted(both.tolist()) == list(range(num_rows))
    assert len(split.validation) == max(1, round(0.05 * num_rows))


@pytest.mark.slow
def test_beauty_rq_vae_reaches_its_entropy(beauty: Any) -> None:
    """METHODS: entropy 9.284 nats for a warm-started RQ-VAE on these vectors, 3 x 256."""
    vectors = np.load(beauty / "minilm_l6_v2.npy").astype(np.float32)
    tokenizer = make_tokenizer("rq_vae", {})
    log = tokenizer.fit(vectors, seed=7)
    counts = np.unique(tokenizer.encode(vectors), axis=0, return_counts=True)[1]
    shares = counts / counts.sum()
    assert -(shares * np.log(shares)).sum() >= 9.28
    assert not log.collapsed


@pytest.mark.parametrize(("level", "num_used"), [(0, 20), (1, 40), (2, 5)])
def test_what_training_calls_collapsed_the_default_gate_refuses(level: int, num_used: int) -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 64, (5000, 3)).astype(np.int32)
    codes[:, level] %= num_used
    log = describe_fit(codes, (64, 64, 64), [], 1)
    assert len(log.collapsed) == 1
    assert log.collapsed[0].startswith(f"level {level + 1} collapsed: {num_used} of 64 codes used")
    shares = {
        **{f"perplexity_share_{at}": log.perplexities[at - 1] / 64 for at in range(1, 4)},
        **{f"dead_code_share_{at}": log.num_dead[at - 1] / 64 for at in range(1, 4)},
    }
    refused = {
        rule.metric.rpartition("_")[2]
        for rule in rules_for(GateParams(), 3, None)
        if rule.metric in shares and rule.severity == "critical" and not rule.holds(shares)
    }
    assert refused == {str(level + 1)}


def test_an_uneven_deeper_level_has_collapsed_once_most_items_share_a_code() -> None:
    """Half of them may; with four items of five in one code most of its codes are spent on few."""
    codes = np.zeros((5000, 2), dtype=np.int32)
    codes[:, 0] = np.arange(5000) % 64
    codes[:2500, 1] = np.random.default_rng(0).integers(0, 64, 2500)
    assert describe_fit(codes, (64, 64), [], 1).collapsed == ()
    codes[1000:, 1] = 0
    log = describe_fit(codes, (64, 64), [], 1)
    assert log.collapsed[0].startswith("level 2 collapsed: ")
    assert "perplexity" in log.collapsed[0]
