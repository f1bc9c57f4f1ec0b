"""Settings of balanced codes in joint training."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated

from pydantic import Field

from sidmint.quantization.residual import Chooser
from sidmint.quantization.sinkhorn import balanced_nearest
from sidmint.settings import Settings


class Sinkhorn(Settings):
    """At these levels a training batch is spread over the codes evenly (LC-Rec section 3.1).

    Companions in the batch influence training alone: inference, held-out checks and what is
    published stay with the nearest codeword.
    """

    levels: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (3,)
    """Counted from 1."""
    epsilon: float = Field(0.003, gt=0, allow_inf_nan=False)
    """Of exp(-d / epsilon), squared distances d being scaled to [-1, 1]."""
    iterations: int = Field(50, ge=1)

    def choosers(self) -> Mapping[int, Chooser]:
        """How each of the levels chooses, by level counted from 0."""
        balanced = partial(balanced_nearest, epsilon=self.epsilon, iterations=self.iterations)
        return {level - 1: balanced for level in self.levels}
