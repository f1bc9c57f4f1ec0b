"""What tokenizers that learn by gradient share: encoder -> quantizer -> decoder, and losses.

Shape letters: N items, B rows of a batch, D embedding size, d latent size, L levels.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, ClassVar, Self, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from sidmint.errors import BadInput
from sidmint.losses import Loss, LossTerm, TokenizerStep, term
from sidmint.progress import Track, silent
from sidmint.quantization.kmeans import TooFewPoints, count_distinct
from sidmint.quantization.quantizer import Quantizer
from sidmint.quantization.residual import residual_codes
from sidmint.seeds import seed_for
from sidmint.tokenizers.base import (
    Tokenizer,
    TokenizerConfig,
    TrainingLog,
    check_vectors,
    describe_fit,
    resolve_device,
)
from sidmint.tokenizers.encoders import Autoencoder, Network
from sidmint.tokenizers.starting import Start, start_codebooks
from sidmint.tokenizers.training import Losses, Schedule, split_rows, train
from sidmint.types import Codebooks, Floats, Ints, Pairs

Width = Annotated[int, Field(ge=1)]


class GradientTokenizer(Tokenizer):
    """Trains an autoencoder through a quantizer. A subclass says which quantizer.

    Where codebooks start decides whether they survive: started on the latents of an
    untrained encoder they look perfect and collapse as the encoder moves. So by default
    encoder and decoder are first trained without a quantizer, then k-means finds the
    codebooks level by level on the latents of all items, then everything trains jointly.
    """

    provides: ClassVar[frozenset[str]] = frozenset(
        {"inputs", "latent", "codes", "residuals", "codewords", "quantized", "reconstruction"}
    )
    """What its steps offer to losses; see `Loss.needs`."""

    class Config(TokenizerConfig):
        """Settings of every gradient tokenizer."""

        hidden: tuple[Width, ...] | None = None
        """Hidden widths of the encoder; the decoder mirrors them. Null: one layer as wide as the
        next power of two from D, at most 512. On Beauty one wide layer reached in the same
        time a lower error than the 512-256-128 of the papers."""
        latent_dim: Width = 32
        start: Start = "autoencoder"
        """Codebooks start by k-means on the latents of an encoder trained without quantizer,
        by k-means on those of an untrained encoder, or at random."""
        start_steps: int = Field(600, ge=1)
        """Most steps without quantizer, for `start: autoencoder`."""
        steps: int = Field(1000, ge=1)
        """Most joint steps."""
        batch_size: int = Field(1024, ge=2)
        learning_rate: float = Field(3e-3, gt=0)
        validation_share: float = Field(0.05, gt=0, lt=1)
        """Share of items, drawn by seed, that no step trains on and that early stopping reads."""
        patience: int = Field(10, ge=1)
        """Checks (40 a schedule) without a better held-out error before training stops."""
        losses: tuple[LossTerm, ...] = (
            term("reconstruction"),
            term("commitment"),
        )

    config: Config

    def __init__(self, config: TokenizerConfig, name: str | None = None) -> None:
        super().__init__(config, name)
        self._losses = self._build_losses()
        self._network: Network | None = None

    @abstractmethod
    def make_quantizer(self) -> Quantizer:
        """The quantizer, its codebooks not yet started."""

    def fit(
        self,
        vectors: Floats,
        pairs: Pairs | None = None,
        seed: int = 0,
        device: str = "auto",
        track: Track = silent,
    ) -> TrainingLog:
        """Train as the config says.

        The curve holds each loss term, the held-out error, and perplexity and dead codes a
        level over the batches since the last point.
        """
        values = check_vectors(vectors)
        target = resolve_device(device)
        vectors_ND = torch.from_numpy(values).to(target)
        num_distinct = count_distinct(vectors_ND, at_least=self.config.sizes[0])
        if num_distinct < self.config.sizes[0]:
            raise self.too_few(TooFewPoints(0, self.config.sizes[0], num_distinct))
        network = self._start_network(values.shape[1], seed).to(target)
        network.autoencoder.learn_units(vectors_ND)
        inputs_ND = network.autoencoder.to_units(vectors_ND)
        generator = torch.Generator().manual_seed(seed_for(seed, self.type_name, "batches"))
        split = split_rows(len(inputs_ND), self.config.validation_share, generator)
        try:
            curve, num_steps = start_codebooks(
                network,
                inputs_ND,
                split,
                self.config.start,
                self._schedule(self.config.start_steps),
                seed_for(seed, self.type_name, "codebooks"),
                generator,
                f"tokenizers.{self.name}",
                track,
            )
        except TooFewPoints as error:
            raise self.too_few(error) from error
        joint, joint_steps = train(
            network,
            lambda rows: self._objective(network, inputs_ND, rows),
            split,
            self._schedule(self.config.steps),
            generator,
            f"tokenizers.{self.name}",
            "training",
            self.config.sizes,
            track,
        )
        self._network = network.cpu()
        codes = self.encode(values, device)
        return describe_fit(codes, self.config.sizes, curve + joint, num_steps + joint_steps)

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

    def encode(self, vectors: Floats, device: str = "cpu") -> Ints:
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
        network = tokenizer._start_network(len(state["autoencoder.mean_D"]), seed=0)
        network.load_state_dict({key: torch.from_numpy(np.array(v)) for key, v in state.items()})
        tokenizer._network = network
        return tokenizer

    @property
    def num_dimensions(self) -> int:
        """D of the vectors it was fitted on."""
        return len(self._fitted().autoencoder.mean_D)

    def step(self, network: Network, inputs_BD: Tensor, rows_B: Tensor) -> TokenizerStep:
        """One forward pass: everything that losses may read."""
        latent_Bd = network.autoencoder.encoder(inputs_BD)
        walk, quantized_Bd = network.quantizer(latent_Bd)
        reconstruction_BD = network.autoencoder.decoder(quantized_Bd)
        return TokenizerStep(rows_B, inputs_BD, latent_Bd, walk, quantized_Bd, reconstruction_BD)

    def _objective(self, network: Network, inputs_ND: Tensor, rows_B: Tensor) -> Losses:
        rows_B = rows_B.to(inputs_ND.device)
        step = self.step(network, inputs_ND[rows_B], rows_B)
        terms = {entry.name: loss(step) for entry, loss in self._losses}
        total = torch.stack([entry.weight * terms[entry.name] for entry, _ in self._losses]).sum()
        judged = [e.weight * terms[e.name] for e, loss in self._losses if loss.judges]
        return Losses(total, torch.stack(judged).sum(), terms, step.walk.codes_NL)

    def _start_network(self, num_dimensions: int, seed: int) -> Network:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_for(seed, self.type_name, "weights"))
            hidden = self.config.hidden
            if hidden is None:
                hidden = (min(512, 1 << (num_dimensions - 1).bit_length()),)
            autoencoder = Autoencoder(num_dimensions, hidden, self.config.latent_dim)
            return Network(autoencoder, self.make_quantizer())

    def _schedule(self, steps: int) -> Schedule:
        config = self.config
        return Schedule(
            steps=steps,
            batch_size=config.batch_size,
            learning_rate=config.learning_rate,
            patience=config.patience,
        )

    def _build_losses(self) -> list[tuple[LossTerm, Loss]]:
        where = f"tokenizers.{self.name}.losses"
        built = [(entry, entry.build(where)) for entry in self.config.losses]
        names = [entry.name for entry, _ in built]
        if len(set(names)) != len(names):
            raise BadInput(f"{where}: a loss is named twice; give it one weight instead")
        if not any(loss.judges for _, loss in built):
            raise BadInput(
                f"{where}: no loss is there to judge checkpoints by; add {{name: reconstruction}}"
            )
        for entry, loss in built:
            missing = sorted(loss.needs - self.provides)
            if missing:
                raise BadInput(
                    f"loss {entry.name!r} needs {', '.join(missing)}, which tokenizer "
                    f"{self.type_name!r} does not provide (it provides "
                    f"{', '.join(sorted(self.provides))}); take it out of {where}"
                )
        return built

    def _fitted(self) -> Network:
        if self._network is None:
            raise BadInput(f"tokenizer {self.name!r} is not fitted; call fit first")
        return self._network
