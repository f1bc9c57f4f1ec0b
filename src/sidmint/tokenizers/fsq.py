"""Finite scalar quantization: every latent dimension is rounded, and codes are what that spells.

Mentzer et al. 2024 (QuaSID's reference [20]): no codebook, no commitment, no collapse to guard
against. A level owns a few latent dimensions; each is bounded and rounded to a few values, and the
digits together are the level's code. Levels are independent of each other: a prefix is no coarse
picture of the item, hence `hierarchical` is false.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator
from torch import nn

from sidmint.losses import LossTerm, term
from sidmint.quantization.quantizer import Quantizer
from sidmint.quantization.scalar import Bound, ScalarQuantizer, factors
from sidmint.tokenizers.base import TOKENIZERS, CurvePoint
from sidmint.tokenizers.gradient import Fit
from sidmint.tokenizers.joint import JointTokenizer

Radices = Annotated[tuple[Annotated[int, Field(ge=2)], ...], Field(min_length=1)]


@TOKENIZERS.register("fsq")
class Fsq(JointTokenizer):
    """MLP encoder, each dimension of the latent bounded and rounded, MLP decoder.

    Code = sum_i digit_i prod_{j<i} b_j over the dimensions of a level, digit_i of b_i values; see
    `quantization.scalar` for the bound and the rounding.
    """

    type_name: ClassVar[str] = "fsq"
    provides: ClassVar[frozenset[str]] = JointTokenizer.provides - {"learned_tables"}
    """Its grids are no codebooks that a gradient could move."""
    hierarchical: ClassVar[bool] = False

    class Config(JointTokenizer.Config):
        """Settings under `tokenizers.fsq`."""

        radices: Annotated[tuple[Radices, ...], Field(min_length=1)] | None = None
        """Values of each latent dimension, a list a level, whose product is the level's size:
        [[8, 8, 4], ...] for 256. Null: `quantization.scalar.factors`, [4, 4, 4, 4] for 256. The
        paper advises 5 values and more. On Beauty, started from an autoencoder, 4 x 4 x 4 x 4 had
        a relative error of .528 at a collision rate of .094, 8 x 8 x 4 .541 at .101."""
        latent_dim: int = Field(0, ge=0)
        """As many as there are radices; 0 says so."""
        start: Literal["none", "autoencoder"] = "none"  # type: ignore[assignment]
        """Whether encoder and decoder, bound included, first train without rounding. There are no
        codebooks to put in place, and latents that grew without rounding use the outer values
        little: on Beauty perplexities of 172, 206 and 212 after 600 such steps and 1,000 with
        rounding (relative error .528, collision rate .094), of 228, 228 and 232 after the 1,000
        alone (.520, .071)."""
        steps: int = Field(1600, ge=1)
        """Most steps: as many as other tokenizers take in both their parts."""
        losses: tuple[LossTerm, ...] = (term("reconstruction"),)

        @model_validator(mode="after")
        def _radices_give_the_sizes(self) -> Self:
            products = tuple(math.prod(own) for own in self.radices_of_levels())
            if products != self.sizes:
                raise ValueError(
                    f"radices {[list(own) for own in self.radices or ()]} multiply to "
                    f"{list(products)}, but sizes are {list(self.sizes)}; set sizes to the "
                    "products, or radices to null"
                )
            wanted = sum(map(len, self.radices_of_levels()))
            if self.latent_dim not in (0, wanted):
                raise ValueError(
                    f"latent_dim {self.latent_dim} is not the number of radices, {wanted}; take it "
                    "out: it follows from sizes and radices"
                )
            if self.balance is not None:
                raise ValueError(
                    "balance is of the k-means that codebooks start by, and fsq has neither; take "
                    "it out"
                )
            return self

        def radices_of_levels(self) -> tuple[tuple[int, ...], ...]:
            """Values of each dimension, a tuple a level."""
            return self.radices or tuple(map(factors, self.sizes))

    config: Config

    @property
    def latent_dim(self) -> int:
        """One dimension a radix."""
        return sum(map(len, self.config.radices_of_levels()))

    def make_bound(self) -> nn.Module:
        """The squashing of each dimension to its values."""
        return Bound([radix for own in self.config.radices_of_levels() for radix in own])

    def make_quantizer(self) -> Quantizer:
        """Grids that nobody learns; one straight-through step on their sum."""
        return ScalarQuantizer(self.config.radices_of_levels())

    def begin(self, fit: Fit) -> tuple[list[CurvePoint], int]:
        """Train without rounding first, as `start` says; there are no codebooks to put in place."""
        if self.config.start == "none":
            return [], 0
        return self.train_autoencoder(fit, self.config.start_steps)
