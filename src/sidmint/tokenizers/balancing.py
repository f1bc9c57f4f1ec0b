"""Settings of balanced codes: in the k-means of codebooks, and over batches of joint training."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated

from pydantic import Field

from sidmint.quantization.residual import Chooser
from sidmint.quantization.sinkhorn import balanced_nearest
from sidmint.settings import Settings

Balance = Annotated[float, Field(ge=1, allow_inf_nan=False)]
"""While k-means runs, no code keeps more than this multiple of items / codes: 1 asks for equal
sizes, 1.5 lets codes differ by what clusters want. It shapes the codewords alone. What is
published, and what the next level is fitted on, is the nearest codeword of each item, and so is
the code of a new item: sizes then differ more. On Office (2,420 items, 3 x 256) 1.5 bounds codes
to 15 items, and the fullest of the three levels have 19, 42 and 94; of plain k-means they have
29, 216 and 1,137. See decisions/0021."""


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
