"""RQ-GMM: a Gaussian mixture a level, on what the levels before left over.

Tong et al. 2026, arXiv 2602.12593 (DRQ's reference [11]). A level's code is the component of the
largest posterior, which weighs how common and how wide a component is, not only how near. What
the next level gets is the vector less the mean of that component: codes alone then say what an
item's quantized vector is (**our reading**; responsibilities are there for who wants them soft).

Shape letters: N items, D embedding size, K components of a level.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Self, cast

import numpy as np
import torch
from pydantic import Field

from sidmint.devices import resolve_device
from sidmint.progress import Track, silent
from sidmint.quantization.kmeans import TooFewPoints
from sidmint.quantization.mixture import Mixture, mixture_walk, residual_mixtures
from sidmint.seeds import seed_for
from sidmint.tokenizers.base import (
    TOKENIZERS,
    Categories,
    CurvePoint,
    TokenizerConfig,
    TrainingLog,
    check_vectors,
    describe_fit,
)
from sidmint.tokenizers.plain import PlainTokenizer
from sidmint.types import Codebooks, Floats, Ints, Pairs


@TOKENIZERS.register("rq_gmm")
class RqGmm(PlainTokenizer):
    """Residual Gaussian mixtures over all items, EM from k-means; codewords are the means.

    Codes are not those of the plain residual walk over its codebooks, since the nearest mean is
    not always the likeliest component: `walks` is false, and readers ask `encode`. Where processes
    share a fit, each does all of EM; the k-means that it starts from is shared.
    """

    type_name: ClassVar[str] = "rq_gmm"
    hierarchical: ClassVar[bool] = True
    walks: ClassVar[bool] = False

    class Config(TokenizerConfig):
        """Settings under `tokenizers.rq_gmm`."""

        covariance: Literal["spherical", "diagonal"] = "spherical"
        """One variance a component, or one a dimension. On Beauty, 47 items a code: collision rate
        .147 and relative error .374 with one, .161 and .378 with 384; `rq_kmeans` .125, .370."""
        variance_floor: float = Field(0.001, gt=0, lt=1)
        """Least variance of a component, as a share of the variance a dimension of what its level
        is given."""
        iterations: int = Field(50, ge=1)
        """Most EM steps a level."""
        tolerance: float = Field(1e-4, ge=0)
        """Ends a level when a step raises the log-likelihood by less, in nats a dimension."""

    config: Config

    def __init__(self, config: TokenizerConfig, name: str | None = None) -> None:
        super().__init__(config, name)
        self._mixtures: tuple[Mixture, ...] = ()

    def fit(
        self,
        vectors: Floats,
        pairs: Pairs | None = None,
        seed: int = 0,
        device: str = "auto",
        track: Track = silent,
        categories: Categories | None = None,
    ) -> TrainingLog:
        """Learn the mixtures. The curve holds log_likelihood_1.. (nats a dimension) by step."""
        config = self.config
        points_ND = torch.from_numpy(check_vectors(vectors)).to(resolve_device(device))
        generator = torch.Generator().manual_seed(seed_for(seed, self.type_name, "mixtures"))
        try:
            levels = residual_mixtures(
                points_ND,
                config.sizes,
                generator,
                config.covariance == "spherical",
                config.variance_floor,
                config.iterations,
                config.tolerance,
                track,
            )
        except TooFewPoints as error:
            raise self.too_few(error) from error
        self._hold([level.mixture for level in levels])
        curve = [
            CurvePoint(step, f"log_likelihood_{number}", value)
            for number, level in enumerate(levels, start=1)
            for step, value in enumerate(level.log_likelihoods)
        ]
        codes = self.encode(vectors, device)
        return describe_fit(codes, config.sizes, curve, len(curve))

    def encode(
        self, vectors: Floats, device: str = "cpu", categories: Categories | None = None
    ) -> Ints:
        """Codes (N, L) int32 by the largest posterior, level by level, in float64."""
        target = resolve_device(device)
        points_ND = torch.from_numpy(self.latent(vectors)).to(target)
        codes_NL, _ = mixture_walk(points_ND, self._on(target))
        return cast(Ints, codes_NL.int().cpu().numpy())

    def responsibilities(self, vectors: Floats) -> tuple[Floats, ...]:
        """Posteriors p(k | residual), one (N, K_l) float64 a level; the code is their argmax."""
        given = mixture_walk(torch.from_numpy(self.latent(vectors)), self._mixtures)[1]
        pairs = zip(self._mixtures, given, strict=True)
        return tuple(
            cast(Floats, mixture.responsibilities(rows).numpy()) for mixture, rows in pairs
        )

    def variances(self) -> tuple[Floats, ...]:
        """Of the components, one (K_l, D) a level, or (K_l, 1) where they are spherical."""
        return tuple(cast(Floats, mixture.variances_Kd.numpy()) for mixture in self._mixtures)

    def state(self) -> dict[str, np.ndarray]:
        """The codebooks; of each level variances_L (K, D) or (K, 1), and log_weights_L (K,)."""
        state = super().state()
        for level, mixture in enumerate(self._mixtures, start=1):
            state[f"variances_{level}"] = mixture.variances_Kd.numpy()
            state[f"log_weights_{level}"] = mixture.log_weights_K.numpy()
        return state

    @classmethod
    def from_state(
        cls, config: TokenizerConfig, state: Mapping[str, np.ndarray], name: str | None = None
    ) -> Self:
        """The fitted tokenizer that `state()` came from."""
        tokenizer = cls(config, name)
        tokenizer._hold(
            [
                Mixture(
                    *(
                        torch.from_numpy(np.array(state[f"{part}_{level}"]))
                        for part in ("log_weights", "codebook", "variances")
                    )
                )
                for level in range(1, len(config.sizes) + 1)
            ]
        )
        return tokenizer

    def _hold(self, mixtures: list[Mixture]) -> None:
        self._mixtures = tuple(
            Mixture(each.log_weights_K.cpu(), each.means_Kd.cpu(), each.variances_Kd.cpu())
            for each in mixtures
        )
        self._codebooks = Codebooks(tuple(each.means_Kd.numpy() for each in self._mixtures))

    def _on(self, device: torch.device) -> list[Mixture]:
        self.codebooks()  # refuses where nothing was fitted
        return [
            Mixture(
                each.log_weights_K.to(device),
                each.means_Kd.to(device),
                each.variances_Kd.to(device),
            )
            for each in self._mixtures
        ]
