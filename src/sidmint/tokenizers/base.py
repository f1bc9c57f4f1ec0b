"""What every tokenizer is, and what its training leaves behind.

Shape letters: N items, D embedding size, d latent size, L levels, K codes of a level.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import Field

from sidmint.errors import BadInput
from sidmint.information import (
    DEAD_CODE_SHARE,
    FIRST_PERPLEXITY_SHARE,
    LATER_PERPLEXITY_SHARE,
    LEAST_SHARE,
    effective_children,
    information,
)
from sidmint.progress import Track, silent
from sidmint.quantization.kmeans import TooFewPoints
from sidmint.registry import Registry
from sidmint.settings import Settings, parse_settings
from sidmint.types import Codebooks, Floats, Ints, Pairs

Sizes = Annotated[tuple[Annotated[int, Field(ge=2)], ...], Field(min_length=1)]

Categories = Sequence[str | None]
"""The category path of each item (`contracts.Items.CATEGORIES`)."""


class TokenizerConfig(Settings):
    """Settings that every tokenizer has."""

    sizes: Sizes = (256, 256, 256)
    """Codes a level, first level first; levels may differ."""


@dataclass(frozen=True)
class CurvePoint:
    """One value of a training curve. No clock time: two runs give the same curve."""

    step: int
    metric: str
    value: float


@dataclass(frozen=True)
class TrainingLog:
    """How a fit went: its curve, how long it took in steps, and the codes it ended with."""

    curve: tuple[CurvePoint, ...]
    num_steps: int
    """Lloyd iterations over all levels, or gradient steps."""
    perplexities: tuple[float, ...]
    """exp(entropy of code usage) a level, over the fitted items."""
    num_dead: tuple[int, ...]
    """Codes that no fitted item uses, a level."""
    collapsed: tuple[str, ...] = field(default=())
    """One sentence for each level that collapsed; empty when all is well."""
    notes: tuple[str, ...] = field(default=())
    """What else a reader of the codes must know, a sentence each."""


class Tokenizer(ABC):
    """Turns vectors (N, D) into codes (N, L), and codes back into vectors.

    numpy in, numpy out. `name` is what params.yaml calls it, for messages. A tokenizer is
    made unfitted from its config; `fit` or `from_state` gives it what `encode` needs.
    """

    type_name: ClassVar[str]
    """Its name in `TOKENIZERS`."""
    hierarchical: ClassVar[bool]
    """Whether a common prefix of codes means that two items are alike."""
    walks: ClassVar[bool] = True
    """Whether codes are those of the residual walk over its codebooks; controls choose theirs
    in another way, and their codewords only say what a code stands for."""
    uses_categories: ClassVar[bool] = False
    """Whether `fit` and `encode` read categories; all others ignore them."""
    Config: ClassVar[type[TokenizerConfig]]

    def __init__(self, config: TokenizerConfig, name: str | None = None) -> None:
        self.config = config
        self.name = name or self.type_name

    @property
    def uses_pairs(self) -> bool:
        """Whether `fit` reads pairs."""
        return False

    @property
    def fits_in_passes(self) -> bool:
        """Whether `fit` takes vectors that are read a piece at a time (`rows.Rows`)."""
        return False

    @property
    def uses_collaborative(self) -> bool:
        """Whether `fit` reads collaborative vectors; gradient tokenizers alone can."""
        return False

    @abstractmethod
    def fit(
        self,
        vectors: Floats,
        pairs: Pairs | None = None,
        seed: int = 0,
        device: str = "auto",
        track: Track = silent,
        categories: Categories | None = None,
    ) -> TrainingLog:
        """Learn from `vectors` (N, D); `pairs` are rows of `vectors`. Returns the training log."""

    @abstractmethod
    def latent(self, vectors: Floats, device: str = "cpu") -> Floats:
        """What is quantized, (N, d)."""

    @abstractmethod
    def codebooks(self) -> Codebooks:
        """One table a level; the sum of one codeword a level is the quantized latent."""

    def variances(self) -> tuple[Floats, ...] | None:
        """Of codes that are Gaussians, (K, d) or (K, 1) a level; None where codes have none."""
        return None

    @abstractmethod
    def encode(
        self, vectors: Floats, device: str = "cpu", categories: Categories | None = None
    ) -> Ints:
        """Codes (N, L) int32. A row's codes depend on that row alone."""

    @abstractmethod
    def reconstruct(self, codes: Ints, num_levels: int | None = None) -> Floats:
        """Vectors (N, D) in input space from the first `num_levels` codes (all by default)."""

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """Everything `from_state` needs beside the config, by name."""

    @classmethod
    @abstractmethod
    def from_state(
        cls, config: TokenizerConfig, state: Mapping[str, np.ndarray], name: str | None = None
    ) -> Self:
        """The fitted tokenizer that `state()` came from."""

    @property
    @abstractmethod
    def num_dimensions(self) -> int:
        """D of the vectors it was fitted on."""

    def too_few(self, error: TooFewPoints) -> BadInput:
        """`TooFewPoints` in words that name the setting to change."""
        what = (
            "distinct items to fit"
            if error.level == 0
            else ("distinct residuals are left by the levels before it")
        )
        return BadInput(
            f"level {error.level} has {error.num_codes} codes but only {error.num_distinct} "
            f"{what}; lower tokenizers.{self.name}.sizes[{error.level}]"
            + (" or ingest.min_interactions" if error.level == 0 else "")
        )


TOKENIZERS: Registry[type[Tokenizer]] = Registry("tokenizer")


def make_tokenizer(name: str, settings: Mapping[str, Any]) -> Tokenizer:
    """The unfitted tokenizer that `tokenizers.NAME` of params.yaml describes.

    `type` says which tokenizer it is, NAME itself by default, so that one type can run
    under two names. Raises `BadInput` for an unknown type or setting, naming near ones.
    """
    values = dict(settings)
    tokenizer = TOKENIZERS[str(values.pop("type", name))]
    return tokenizer(parse_settings(tokenizer.Config, values, f"tokenizers.{name}"), name)


def check_vectors(
    vectors: np.ndarray, num_dimensions: int | None = None, item_ids: Sequence[str] | None = None
) -> Floats:
    """`vectors` as contiguous float32 (N, D), if every value is finite and D is as wanted.

    Raises `BadInput` naming the first bad row, by its item where `item_ids` are given.
    """
    if vectors.ndim != 2 or not vectors.shape[1]:
        raise BadInput(f"vectors must be an (items, dimensions) array, got shape {vectors.shape}")
    if num_dimensions is not None and vectors.shape[1] != num_dimensions:
        raise BadInput(
            f"the tokenizer was fitted on vectors of {num_dimensions} dimensions, these have "
            f"{vectors.shape[1]}; embed with the encoder it was fitted on, or train it again"
        )
    values = np.ascontiguousarray(vectors, dtype=np.float32)
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        row = int(bad[0])
        who = f"row {row}" if item_ids is None else f"item {item_ids[row]!r}"
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        raise BadInput(f"the vector of {who}{more} holds NaN or infinity; mend the embeddings")
    return values


def describe_fit(
    codes: Ints, sizes: Sequence[int], curve: Sequence[CurvePoint], num_steps: int
) -> TrainingLog:
    """The log of a fit that gave the fitted items `codes` (N, L); says in words what collapsed.

    By the bounds of `information`, which are those of the default gate.
    """
    perplexities, dead, collapsed = [], [], []
    added = information(effective_children(codes), sizes, len(codes))
    for level, size in enumerate(sizes):
        perplexity, num_dead = code_usage(np.bincount(codes[:, level], minlength=size))
        perplexities.append(perplexity)
        dead.append(num_dead)
        least = LATER_PERPLEXITY_SHARE if level else FIRST_PERPLEXITY_SHARE
        if perplexity < least * size or num_dead > DEAD_CODE_SHARE * size:
            collapsed.append(
                f"level {level + 1} collapsed: {size - num_dead} of {size} codes used, "
                f"perplexity {perplexity:.1f}"
            )
        elif added[level].share < LEAST_SHARE:
            collapsed.append(
                f"level {level + 1} collapsed: it adds {added[level].bits:.2f} of the "
                f"{added[level].possible:.2f} bits that it could"
            )
    return TrainingLog(tuple(curve), num_steps, tuple(perplexities), tuple(dead), tuple(collapsed))


def code_usage(counts: np.ndarray) -> tuple[float, int]:
    """Perplexity exp(H) in codes, and the number of codes never used, from counts (K,)."""
    used = counts[counts > 0]
    shares = used / used.sum()
    return float(np.exp(-(shares * np.log(shares)).sum())), int(len(counts) - len(used))
