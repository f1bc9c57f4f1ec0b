"""What tokenizers that learn by gradient share: encoder -> quantizer -> decoder, and losses.

Shape letters: N items, B rows of a batch, D embedding size, d latent size, L levels.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self, cast

import numpy as np
import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from sidmint.devices import resolve_device
from sidmint.errors import BadInput
from sidmint.losses import LossTerm, TokenizerStep, term
from sidmint.progress import Track, silent
from sidmint.quantization.collective import gathered, own_rows
from sidmint.quantization.kmeans import TooFewPoints, count_distinct
from sidmint.quantization.quantizer import Quantizer
from sidmint.quantization.residual import ResidualWalk, residual_codes
from sidmint.seeds import seed_for
from sidmint.tokenizers.attached import AttachedLosses
from sidmint.tokenizers.base import (
    Categories,
    CurvePoint,
    Tokenizer,
    TokenizerConfig,
    TrainingLog,
    check_vectors,
    describe_fit,
)
from sidmint.tokenizers.batches import (
    Batch,
    PairedItems,
    Sampler,
    SingleItems,
    check_pairs,
    split_rows,
)
from sidmint.tokenizers.collaborative import collaborative_vectors
from sidmint.tokenizers.encoders import Autoencoder, Network
from sidmint.tokenizers.precision import Precision, matrix_products
from sidmint.tokenizers.training import Losses, Schedule, train
from sidmint.types import Codebooks, Floats, Ints, Pairs

Width = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class Fit:
    """One fit under way: what is trained, on what, and with whose random numbers."""

    network: Network
    inputs_ND: Tensor
    """All vectors to fit, in the units of the autoencoder."""
    training: Tensor
    """Rows that steps train on."""
    validation: Tensor
    """Rows held out, that checkpoints are judged by."""
    pairs: Pairs | None
    generator: Generator
    """Draws the batches."""
    seed: int
    """For whatever else is drawn; derive by name."""
    track: Track
    collaborative_Nc: Tensor | None = None
    """What a recommender knows of the items; NaN for those it does not know."""

    def sampler(self, groups: Callable[[Tensor], Tensor] | None = None) -> Sampler:
        """Batches of pairs where there are pairs, else of single items; see `SingleItems`."""
        if self.pairs is None:
            return SingleItems(self.training, groups)
        return PairedItems(self.training, self.pairs, len(self.inputs_ND), groups)


class GradientTokenizer(Tokenizer):
    """An autoencoder and codebooks in its latent. A subclass says how they learn."""

    provides: ClassVar[frozenset[str]] = frozenset(
        {
            "inputs",
            "latent",
            "codes",
            "residuals",
            "codewords",
            "tables",
            "learned_tables",
            "quantized",
            "reconstruction",
            "pairs",
            "collaborative",
        }
    )
    """What its steps offer to losses; see `Loss.needs`."""
    on_sphere: ClassVar[bool] = False
    """Whether latents are unit vectors."""

    class Config(TokenizerConfig):
        """Settings of every gradient tokenizer."""

        hidden: tuple[Width, ...] | None = None
        """Hidden widths of the encoder; the decoder mirrors them. Null: one layer as wide as the
        next power of two from D, at most 512. On Beauty one wide layer reached in the same
        time a lower error than the 512-256-128 of the papers."""
        latent_dim: Width = 32
        steps: int = Field(1000, ge=1)
        """Most steps, of joint training where there is one."""
        batch_size: int = Field(1024, ge=2)
        """Items a step. With losses that need pairs, half of them are triggers and half targets."""
        learning_rate: float = Field(3e-3, gt=0)
        validation_share: float = Field(0.05, gt=0, lt=1)
        """Share of items, drawn by seed, that no step trains on and that early stopping reads."""
        patience: int = Field(10, ge=1)
        """Checks (40 a schedule) without a better held-out error before training stops. The rate
        rises before it falls, and with thousands of codes so does the error: 40 runs through."""
        precision: Precision = "auto"
        """Of the matrix products of training: bfloat16 where the processor is fast at it."""
        losses: tuple[LossTerm, ...] = (term("reconstruction"),)

    config: Config

    def __init__(self, config: TokenizerConfig, name: str | None = None) -> None:
        super().__init__(config, name)
        self._losses = AttachedLosses.build(
            self.config.losses, self.provides, self.type_name, f"tokenizers.{self.name}.losses"
        )
        self._network: Network | None = None

    @property
    def uses_pairs(self) -> bool:
        """Whether one of its losses reads pairs; batches then join triggers and targets."""
        return self._losses.need("pairs")

    @property
    def uses_collaborative(self) -> bool:
        """Whether one of its losses reads collaborative vectors."""
        return self._losses.need("collaborative")

    @property
    def latent_dim(self) -> int:
        """The latent size d, of what is quantized."""
        return self.config.latent_dim

    def make_bound(self) -> nn.Module | None:
        """What every latent goes through last, if anything; no weights."""
        return None

    @abstractmethod
    def make_quantizer(self) -> Quantizer:
        """The quantizer, its codebooks not yet started."""

    @abstractmethod
    def learn(self, fit: Fit) -> tuple[list[CurvePoint], int]:
        """Train the network; the curve, and the number of steps taken."""

    @abstractmethod
    def objective(self, fit: Fit, batch: Batch) -> Losses:
        """What the last part of `learn` minimises."""

    def fit(
        self,
        vectors: Floats,
        pairs: Pairs | None = None,
        seed: int = 0,
        device: str = "auto",
        track: Track = silent,
        categories: Categories | None = None,
        collaborative: Floats | None = None,
    ) -> TrainingLog:
        """Train as the config says.

        `collaborative` (N, c) are item vectors of a recommender, rows as `vectors`, NaN for items
        without one; read where `uses_collaborative`, see `collaborative_vectors`. The curve holds
        each loss term, the held-out error, and perplexity and dead codes a level over the batches
        since the last point.
        """
        values = check_vectors(vectors)
        target = resolve_device(device)
        vectors_ND = torch.from_numpy(values).to(target)
        num_distinct = count_distinct(vectors_ND, at_least=self.config.sizes[0])
        if num_distinct < self.config.sizes[0]:
            raise self.too_few(TooFewPoints(0, self.config.sizes[0], num_distinct))
        generator = torch.Generator().manual_seed(seed_for(seed, self.type_name, "batches"))
        split = split_rows(len(values), self.config.validation_share, generator)
        if self.uses_pairs:
            pairs = check_pairs(pairs, len(values), self.name)
        known_Nc = None
        if self.uses_collaborative:
            known_Nc = collaborative_vectors(
                collaborative, len(values), self.latent_dim, self.name
            ).to(target)
        network = self._make_network(values.shape[1], seed).to(target)
        network.autoencoder.learn_units(vectors_ND)
        inputs_ND = network.autoencoder.to_units(vectors_ND)
        try:
            curve, num_steps = self.learn(
                Fit(
                    network,
                    inputs_ND,
                    split.training,
                    split.validation,
                    pairs if self.uses_pairs else None,
                    generator,
                    seed,
                    track,
                    known_Nc,
                )
            )
        except TooFewPoints as error:
            raise self.too_few(error) from error
        self._network = network.cpu()
        own_codes = torch.from_numpy(self.encode(values[own_rows(len(values))], device))
        codes = cast(Ints, gathered(own_codes, len(values)).numpy())
        return describe_fit(codes, self.config.sizes, curve, num_steps)

    def train_autoencoder(self, fit: Fit, steps: int) -> tuple[list[CurvePoint], int]:
        """Train encoder and decoder without a quantizer, on the losses that need no codes."""
        curve, num_steps = train(
            fit.network.autoencoder,
            lambda batch: self.unquantized_objective(fit, batch),
            fit.sampler(),
            fit.validation,
            self.schedule(steps),
            fit.generator,
            f"tokenizers.{self.name}",
            "autoencoder",
            judged=not self._losses.oppose,
            track=fit.track,
        )
        return [CurvePoint(p.step, f"autoencoder_{p.metric}", p.value) for p in curve], num_steps

    def unquantized_objective(self, fit: Fit, batch: Batch) -> Losses:
        """The losses that need no codes, where the decoder reads the latent itself."""
        return self._losses.without_codes().of(self.unquantized_step(fit, batch))

    def quantized_objective(self, fit: Fit, batch: Batch) -> Losses:
        """All losses, where the decoder reads the quantized latent."""
        return self._losses.of(self.quantized_step(fit, batch))

    def unquantized_step(self, fit: Fit, batch: Batch) -> TokenizerStep:
        """A forward pass in which the decoder reads the latent itself.

        A stochastic encoder hands it a draw, while it trains (Kingma and Welling 2014).
        """
        autoencoder = fit.network.autoencoder
        rows_B = batch.rows_B.to(fit.inputs_ND.device)
        inputs_BD = fit.inputs_ND[rows_B]
        with self._products(inputs_BD):
            latent_Bd, log_variance_Bd = autoencoder.latent_and_log_variance(inputs_BD)
        decoded_Bd = latent_Bd
        if log_variance_Bd is not None and torch.is_grad_enabled():
            noise_Bd = batch.draw_normal(latent_Bd.shape[1], fit.generator).to(latent_Bd.device)
            decoded_Bd = latent_Bd + noise_Bd * (log_variance_Bd / 2).exp()
        with self._products(inputs_BD):
            reconstruction_BD = autoencoder.reconstruction(decoded_Bd)
        return TokenizerStep(
            rows_B,
            inputs_BD,
            latent_Bd,
            reconstruction_BD,
            num_pairs=batch.num_pairs,
            log_variance_Bd=log_variance_Bd,
        )

    def quantized_step(self, fit: Fit, batch: Batch) -> TokenizerStep:
        """A forward pass through the quantizer: everything that losses may read."""
        network = fit.network
        rows_B = batch.rows_B.to(fit.inputs_ND.device)
        inputs_BD = fit.inputs_ND[rows_B]
        with self._products(inputs_BD):
            latent_Bd = network.autoencoder.latent(inputs_BD)
        walk, quantized_Bd = self.quantize(fit, batch, latent_Bd)
        with self._products(inputs_BD):
            reconstruction_BD = network.autoencoder.reconstruction(quantized_Bd)
        tables = tuple(network.quantizer.tables()) if self._losses.need("tables") else ()
        known_Nc = fit.collaborative_Nc
        return TokenizerStep(
            rows_B,
            inputs_BD,
            latent_Bd,
            reconstruction_BD,
            walk,
            batch.num_pairs,
            quantized_Bd=quantized_Bd,
            tables=tables,
            collaborative_Bc=None if known_Nc is None else known_Nc[rows_B],
        )

    def quantize(self, fit: Fit, batch: Batch, latent_Bd: Tensor) -> tuple[ResidualWalk, Tensor]:
        """The walk of a batch, and what the decoder reads (B, d)."""
        walk, quantized_Bd = fit.network.quantizer(latent_Bd)
        return walk, quantized_Bd

    def latent(self, vectors: Floats, device: str = "cpu") -> Floats:
        """The encoder's output (N, d); a row depends on that row alone."""
        target = resolve_device(device)
        values = torch.from_numpy(check_vectors(vectors, self.num_dimensions)).to(target)
        autoencoder = self._fitted().autoencoder.to(target)
        latent = autoencoder.encode(values).cpu().numpy()
        autoencoder.cpu()
        return cast(Floats, latent)

    def codebooks(self) -> Codebooks:
        """The learned tables, in latent space."""
        tables = self._fitted().quantizer.tables()
        return Codebooks(tuple(table.detach().cpu().numpy() for table in tables))

    def encode(
        self, vectors: Floats, device: str = "cpu", categories: Categories | None = None
    ) -> Ints:
        """Codes (N, L) int32 by the residual walk from the latent."""
        target = resolve_device(device)
        latent_Nd = torch.from_numpy(self.latent(vectors, device)).to(target)
        tables = [torch.from_numpy(level).to(target) for level in self.codebooks().levels]
        return cast(Ints, residual_codes(latent_Nd, tables).int().cpu().numpy())

    def reconstruct(self, codes: Ints, num_levels: int | None = None) -> Floats:
        """The decoder's output for the sum of the chosen codewords; equal codes, equal rows."""
        quantized = torch.from_numpy(self.codebooks().decode(codes, num_levels))
        return cast(Floats, self._fitted().autoencoder.decode(quantized).numpy())

    def state(self) -> dict[str, np.ndarray]:
        """Every weight, codebook and buffer by its name."""
        entries = self._fitted().state_dict().items()
        return {name: value.detach().cpu().numpy() for name, value in entries}

    @classmethod
    def from_state(
        cls, config: TokenizerConfig, state: Mapping[str, np.ndarray], name: str | None = None
    ) -> Self:
        """The fitted tokenizer that `state()` came from."""
        tokenizer = cls(config, name)
        network = tokenizer._make_network(len(state["autoencoder.mean_D"]), seed=0)
        network.load_state_dict({key: torch.from_numpy(np.array(v)) for key, v in state.items()})
        tokenizer._network = network
        return tokenizer

    @property
    def num_dimensions(self) -> int:
        """D of the vectors it was fitted on."""
        return len(self._fitted().autoencoder.mean_D)

    def schedule(self, steps: int) -> Schedule:
        """At most `steps` steps, the rest as configured."""
        config = self.config
        return Schedule(
            steps=steps,
            batch_size=config.batch_size,
            learning_rate=config.learning_rate,
            patience=config.patience,
        )

    def _products(self, inputs_BD: Tensor) -> AbstractContextManager[Any]:
        return matrix_products(self.config.precision, inputs_BD.device)

    def _make_network(self, num_dimensions: int, seed: int) -> Network:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_for(seed, self.type_name, "weights"))
            hidden = self.config.hidden
            if hidden is None:
                hidden = (min(512, 1 << (num_dimensions - 1).bit_length()),)
            stochastic = self._losses.need("log_variance")
            autoencoder = Autoencoder(
                num_dimensions,
                hidden,
                self.latent_dim,
                self.on_sphere,
                stochastic,
                self.make_bound(),
            )
            return Network(autoencoder, self.make_quantizer())

    def _fitted(self) -> Network:
        if self._network is None:
            raise BadInput(f"tokenizer {self.name!r} is not fitted; call fit first")
        return self._network
