"""What a loss is: a callable on one typed step that says what it needs of the tokenizer.

Shape letters: B rows of a batch, D input size, d latent size, L levels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from sidmint.quantization.residual import ResidualWalk
from sidmint.registry import Registry
from sidmint.settings import Settings, parse_settings


@dataclass(frozen=True)
class TokenizerStep:
    """All that one forward pass of a gradient tokenizer made; what losses read."""

    rows_B: Tensor
    """Which item each row is: row numbers into the fitted vectors."""
    inputs_BD: Tensor
    latent_Bd: Tensor
    """What is quantized; of a stochastic encoder the mean."""
    reconstruction_BD: Tensor
    walk: ResidualWalk | None = None
    """Codes, residuals and codewords; none while the autoencoder trains without a quantizer."""
    num_pairs: int = 0
    """The first `num_pairs` rows are triggers, the next `num_pairs` their targets, in order."""
    log_variance_Bd: Tensor | None = None
    """Of a stochastic encoder: log of the variance that each latent was drawn with."""
    quantized_Bd: Tensor | None = None
    """What the decoder read, with the estimator's gradient to the encoder; of a quantized step."""
    tables: tuple[Tensor, ...] = ()
    """The codebooks (K_l, d) where a loss needs them; of a quantized step. With gradient where the
    tokenizer provides "learned_tables", which others move in their own way or not at all."""
    collaborative_Bc: Tensor | None = None
    """What a recommender knows of the items, where the fit was given it; NaN where nothing is."""

    def the_walk(self) -> ResidualWalk:
        """`walk`, for losses that need codes; the tokenizer calls them on quantized steps alone."""
        if self.walk is None:
            raise ValueError("this step was not quantized")
        return self.walk


_OF_CODES = {"codes", "residuals", "codewords", "quantized", "tables", "learned_tables"}
"""What only a quantized step has."""


class Loss(Settings, ABC):
    """A scalar to minimise; its fields are its settings.

    `needs` are words from the tokenizer's `provides`; a loss that needs what a tokenizer
    does not provide is refused when the tokenizer is built.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    judges: ClassVar[bool] = True
    """Whether its held-out value says that one checkpoint is better than another."""

    opposes: ClassVar[bool] = False
    """Whether it buys its aim with reconstruction. Held-out error then falls behind while the
    codes get better, so training runs its whole schedule and keeps the last state."""

    @property
    def gathers(self) -> bool:
        """Whether it asks for batches in which items that collide now come together."""
        return False

    @classmethod
    def needs_codes(cls) -> bool:
        """Whether it reads what only a quantized step has."""
        return bool(cls.needs & _OF_CODES)

    @abstractmethod
    def __call__(self, step: TokenizerStep) -> Tensor:
        """The loss of one batch: summed over dimensions and levels, averaged over rows."""


LOSSES: Registry[type[Loss]] = Registry("loss")


class LossTerm(BaseModel):
    """One entry of `losses:`; keys other than `name` and `weight` are the loss's own settings."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str
    weight: float = Field(1.0, gt=0)

    def build(self, where: str) -> Loss:
        """The loss itself; `BadInput` names `where` for an unknown loss or setting."""
        settings: dict[str, Any] = self.model_extra or {}
        return parse_settings(LOSSES[self.name], settings, f"{where}.{self.name}")


def term(name: str, weight: float = 1.0, **settings: Any) -> LossTerm:
    """A `LossTerm` for defaults written in code: `term("commitment", beta=0.25)`."""
    return LossTerm.model_validate({"name": name, "weight": weight, **settings})
