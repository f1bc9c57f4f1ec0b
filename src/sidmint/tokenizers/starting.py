"""Where the codebooks of a gradient tokenizer start, which decides whether they survive.

Measured on Beauty, 3 x 256: started by k-means on the latents of an untrained encoder they
look perfect and collapse as the encoder moves (perplexities 29, 81, 171); started after the
autoencoder was trained without quantizer they stay (229, 217, 227).

Shape letters: N items, d latent size.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from sidmint.seeds import seed_for
from sidmint.tokenizers.gradient import Fit

Start = Literal["autoencoder", "latents", "random"]

ITERATIONS, TOLERANCE = 20, 1e-3
"""Of the k-means: coarser than that of `rq_kmeans`, since joint training goes on from it."""


def start_codebooks(fit: Fit, start: Start, type_name: str, balance: float | None = None) -> None:
    """Put the codebooks of the network in place; the autoencoder is left as it is.

    `autoencoder`, `latents`: fitted by k-means level by level on the latents, as they are now, of
    the items that steps train on. Codewords that had seen the held-out items too would lie
    nearer to them than to any new item (by 16 % of the held-out error on 200,000 items at 3 x
    4,096), and early stopping would prefer the start to whatever training made of it.
    `random`: normal codewords of unit length on average. `balance` is that of `kmeans`. Raises
    `TooFewPoints`.
    """
    quantizer = fit.network.quantizer
    draws = torch.Generator().manual_seed(seed_for(fit.seed, type_name, "codebooks"))
    if start == "random":
        shapes = [table.shape for table in quantizer.tables()]
        quantizer.start_from(
            [torch.randn(shape, generator=draws) / shape[1] ** 0.5 for shape in shapes]
        )
        return
    latent_Nd = unit_latent(fit)
    trained_Nd = latent_Nd[fit.training.to(latent_Nd.device)]
    quantizer.start_on(trained_Nd, draws, ITERATIONS, TOLERANCE, fit.track, balance)


def unit_latent(fit: Fit) -> Tensor:
    """Latents (N, d), after scaling them to a total variance of one.

    The decoder can undo any scale, so training leaves it to chance; fixed to that of the
    inputs, quantization and reconstruction errors start in the same unit. Latents on the
    sphere stay there.
    """
    autoencoder = fit.network.autoencoder
    with torch.no_grad():
        latent_Nd = autoencoder.latent(fit.inputs_ND)
        spread = latent_Nd.var(dim=0, correction=0).sum().sqrt()
        autoencoder.scale_latent(float(1 / spread.clamp_min(1e-12)))
        return autoencoder.latent(fit.inputs_ND)
