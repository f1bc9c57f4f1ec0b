"""Where the codebooks of a gradient tokenizer start, which decides whether they survive.

Measured on Beauty, 3 x 256: started by k-means on the latents of an untrained encoder they
look perfect and collapse as the encoder moves (perplexities 29, 81, 171); started after the
autoencoder was trained without quantizer they stay (229, 217, 227).

Shape letters: N items, B rows of a batch, D embedding size, d latent size, K codes of a level.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Generator, Tensor

from sidmint.progress import Track
from sidmint.quantization.kmeans import residual_kmeans
from sidmint.tokenizers.base import CurvePoint
from sidmint.tokenizers.encoders import Autoencoder, Network
from sidmint.tokenizers.training import Losses, Schedule, Split, train

Start = Literal["autoencoder", "latents", "random"]

ITERATIONS, TOLERANCE = 20, 1e-3
"""Of the k-means: coarser than that of `rq_kmeans`, since joint training goes on from it."""


def start_codebooks(
    network: Network,
    inputs_ND: Tensor,
    split: Split,
    start: Start,
    schedule: Schedule,
    seed: int,
    generator: Generator,
    where: str,
    track: Track,
) -> tuple[list[CurvePoint], int]:
    """Put the codebooks of `network` in place; the curve and number of steps that took.

    `autoencoder`: train encoder and decoder without a quantizer by `schedule`, then k-means
    level by level on the latents of all items. `latents`: the same k-means at once.
    `random`: normal codewords of unit length on average. Raises `TooFewPoints`.
    """
    draws = torch.Generator().manual_seed(seed)
    tables = network.quantizer.tables()
    if start == "random":
        network.quantizer.start_from(
            [torch.randn(table.shape, generator=draws) / table.shape[1] ** 0.5 for table in tables]
        )
        return [], 0
    curve, num_steps = list[CurvePoint](), 0
    if start == "autoencoder":
        curve, num_steps = _train_unquantized(
            network.autoencoder, inputs_ND, split, schedule, generator, where, track
        )
    latent_Nd = _unit_latent(network.autoencoder, inputs_ND)
    sizes = [len(table) for table in tables]
    levels = residual_kmeans(latent_Nd, sizes, draws, ITERATIONS, TOLERANCE, track=track)
    network.quantizer.start_from([level.codewords_Kd for level in levels])
    return curve, num_steps


def _train_unquantized(
    autoencoder: Autoencoder,
    inputs_ND: Tensor,
    split: Split,
    schedule: Schedule,
    generator: Generator,
    where: str,
    track: Track,
) -> tuple[list[CurvePoint], int]:
    def objective(rows_B: Tensor) -> Losses:
        inputs_BD = inputs_ND[rows_B.to(inputs_ND.device)]
        output_BD = autoencoder.decoder(autoencoder.encoder(inputs_BD))
        error = (inputs_BD - output_BD).square().sum(dim=1).mean()
        return Losses(error, error)

    curve, num_steps = train(
        autoencoder, objective, split, schedule, generator, where, "autoencoder", (), track
    )
    return [CurvePoint(p.step, f"autoencoder_{p.metric}", p.value) for p in curve], num_steps


def _unit_latent(autoencoder: Autoencoder, inputs_ND: Tensor) -> Tensor:
    """Latents (N, d), after scaling them to a total variance of one.

    The decoder can undo any scale, so training leaves it to chance; fixed to that of the
    inputs, quantization and reconstruction errors start in the same unit.
    """
    with torch.no_grad():
        latent_Nd = autoencoder.encoder(inputs_ND)
        spread = latent_Nd.var(dim=0, correction=0).sum().sqrt()
        autoencoder.scale_latent(float(1 / spread.clamp_min(1e-12)))
        scaled_Nd: Tensor = autoencoder.encoder(inputs_ND)
        return scaled_Nd
