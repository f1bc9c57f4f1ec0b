"""Encoder and decoder of gradient tokenizers.

Shape letters: N items, B rows of a batch, D input size, d latent size.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from sidmint.quantization.quantizer import Quantizer

ROWS_AT_ONCE = 1 << 14
"""Rows a piece of exact inference: bounds its float64 activations."""


class Mlp(nn.Sequential):
    """Linear layers of the given widths with ReLU between them; torch's default start."""

    def __init__(self, widths: Sequence[int]) -> None:
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(widths):
            layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
        super().__init__(*layers[:-1])


class Autoencoder(nn.Module):
    """An MLP down to the latent and its mirror image back, on centred and scaled inputs.

    Without `hidden` (None, not empty) there is no layer at all: the latent is the input.

    Inputs are shifted by the catalogue's mean and divided by one number such that their
    total variance is one: whatever the unit of the vectors, the squared error of a row
    reads as a share of variance, and losses are in that unit.
    """

    mean_D: Tensor
    scale: Tensor

    def __init__(
        self,
        num_dimensions: int,
        hidden: Sequence[int] | None,
        latent_dim: int,
        on_sphere: bool = False,
        stochastic: bool = False,
        bound: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.latent_dim, self.on_sphere, self.stochastic = latent_dim, on_sphere, stochastic
        self.bound = bound
        if hidden is None:
            self.encoder, self.decoder = Mlp((num_dimensions,)), Mlp((num_dimensions,))
        else:
            self.encoder = Mlp((num_dimensions, *hidden, latent_dim * (2 if stochastic else 1)))
            self.decoder = Mlp((latent_dim, *reversed(hidden), num_dimensions))
        self.register_buffer("mean_D", torch.zeros(num_dimensions))
        self.register_buffer("scale", torch.ones(()))

    def learn_units(self, vectors_ND: Tensor) -> None:
        """Take mean and scale from the vectors to fit."""
        mean_D = vectors_ND.mean(dim=0, dtype=torch.float64)
        variance = vectors_ND.var(dim=0, correction=0).sum(dtype=torch.float64)
        self.mean_D.copy_(mean_D)
        self.scale.copy_(variance.sqrt().clamp_min(torch.finfo(torch.float32).tiny))

    def to_units(self, vectors_ND: Tensor) -> Tensor:
        """Vectors as the encoder reads them."""
        return (vectors_ND - self.mean_D) / self.scale

    def latent(self, inputs_BD: Tensor) -> Tensor:
        """What is quantized, (B, d), of inputs in units.

        Unit vectors where `on_sphere`, and between the bounds where it has some.
        """
        return self.latent_and_log_variance(inputs_BD)[0]

    def latent_and_log_variance(self, inputs_BD: Tensor) -> tuple[Tensor, Tensor | None]:
        """The latent, and of a stochastic encoder the log of its variance, (B, d) each."""
        output = _widened(self.encoder(inputs_BD))
        latent_Bd, log_variance_Bd = output[:, : self.latent_dim], output[:, self.latent_dim :]
        if self.on_sphere:
            latent_Bd = normalize(latent_Bd, dim=1)
        if self.bound is not None:
            latent_Bd = self.bound(latent_Bd)
        return latent_Bd, log_variance_Bd if self.stochastic else None

    def reconstruction(self, quantized_Bd: Tensor) -> Tensor:
        """The decoder's output, (B, D), in units."""
        return _widened(self.decoder(quantized_Bd))

    def scale_latent(self, factor: float) -> None:
        """Multiply every latent by `factor` and leave every reconstruction as it is.

        Latents on the sphere and between bounds stay, and so does a stochastic encoder's variance.
        """
        if self.on_sphere or self.bound is not None:
            return
        with torch.no_grad():
            for parameter in self.encoder[-1].parameters():
                parameter[: self.latent_dim].mul_(factor)
            next(self.decoder[0].parameters()).div_(factor)  # its weight; its bias stays

    def encode(self, vectors_ND: Tensor) -> Tensor:
        """Latents (N, d) float32 that do not depend on the rows beside them; see `_inferred`."""
        exact = copy.deepcopy(self).double()
        return _inferred(lambda rows: exact.latent(exact.to_units(rows.double())), vectors_ND)

    def decode(self, latent_Nd: Tensor) -> Tensor:
        """Vectors (N, D) float32 in input space, equal for equal latents; see `_inferred`."""
        exact = copy.deepcopy(self).double()
        return _inferred(
            lambda rows: exact.decoder(rows.double()) * exact.scale + exact.mean_D, latent_Nd
        )


class Network(nn.Module):
    """All that a gradient tokenizer trains, in one module, so that one state holds it."""

    def __init__(self, autoencoder: Autoencoder, quantizer: Quantizer) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.quantizer = quantizer


def _widened(values: Tensor) -> Tensor:
    """Values of a bfloat16 product as float32, so that nothing after it is coarse; others as is."""
    return values.float() if values.dtype == torch.bfloat16 else values


def _inferred(function: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """`function` in float64, piece by piece, rounded to float32.

    Matrix products add in another order when the number of rows changes. In float64 that
    moves a value by some 1e-16 of its size, which the rounding to float32 hides: the chance
    that it does not is about 1e-8 a value.
    """
    with torch.no_grad():
        return torch.cat([function(piece).float() for piece in torch.split(rows, ROWS_AT_ONCE)])
