"""What all neural recommenders share: a module, the training loop, and lists batch by batch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn

from sidmint.devices import resolve_device
from sidmint.progress import Track, silent
from sidmint.recommenders.base import Arrays, FitReport, Recommendations, Recommender
from sidmint.recommenders.id_table import IdTable
from sidmint.recommenders.moving import in_shape_of
from sidmint.recommenders.sequences import HeldOut, Sequences
from sidmint.recommenders.training import Judged, TrainingSettings, train
from sidmint.settings import Settings
from sidmint.types import Floats

Best = Callable[[Tensor, int], tuple[Tensor, Tensor]]
"""From states (B, d) and k to item rows and scores (B, k)."""

JUDGED_AT = 10
"""Validation chooses the checkpoint with the highest NDCG at this place, counted by items."""


class NeuralConfig(TrainingSettings):
    """Settings of a causal transformer recommender."""

    width: int = Field(64, ge=4)
    layers: int = Field(2, ge=1)
    heads: int = Field(2, ge=1)
    dropout: float = Field(0.3, ge=0, lt=1)
    validation_users: int = Field(5000, ge=1)
    """At most this many validation cases, seeded, choose the checkpoint."""


class NeuralRecommender(Recommender):
    """A recommender whose knowledge is a torch module. Abstract."""

    Config: ClassVar[type[Settings]] = NeuralConfig
    config: NeuralConfig
    batch_users: int = 512
    """Histories answered at once."""

    def _fit(
        self,
        sequences: Sequences,
        table: IdTable,
        validation: HeldOut | None,
        seed: int,
        device: str,
        track: Track,
    ) -> FitReport:
        self._device = resolve_device(device)
        cuda = [self._device] if self._device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(seed)
            self.module = self.build(table).to(self._device)
            examples = self.examples(sequences)
            curve = train(
                self.module,
                self.add_gradients,
                examples,
                self.num_targets(examples),
                self.config,
                self._judge(validation, seed),
                seed,
                self._device,
                self.name,
                track,
            )
        self.module.eval()
        return FitReport(curve)

    def _judge(self, validation: HeldOut | None, seed: int) -> Callable[[], Judged] | None:
        """NDCG over the validation cases, or a seeded sample of them; None without any."""
        if validation is None or not len(validation):
            return None
        cases = validation.drawn(self.config.validation_users, seed)

        def judge() -> Judged:
            k = min(JUDGED_AT, self.num_items)
            found = self._lists(cases.histories, k, self.quick_best, silent).items
            ndcg = cases.ndcg(found)
            hit_rate = float((found == cases.targets[:, None]).any(axis=1).mean())
            return Judged(ndcg, {"ndcg_at_10": ndcg, "hr_at_10": hit_rate})

        return judge

    def _recommend(self, histories: Sequences, k: int, track: Track) -> Recommendations:
        return self._lists(histories, k, self.best, track)

    def _lists(self, histories: Sequences, k: int, best: Best, track: Track) -> Recommendations:
        """Lists batch by batch, histories of like length together: little padding."""
        items = np.full((len(histories), k), -1, dtype=np.int32)
        scores = np.full((len(histories), k), -np.inf, dtype=np.float32)
        order = np.argsort(histories.lengths, kind="stable")
        starts = range(0, len(histories), self.batch_users)
        with torch.no_grad():
            for at in track(starts, f"{self.name}: lists", len(starts)):
                users = order[at : at + self.batch_users]
                rows, values = best(self.known_after(histories.take(users)), k)
                items[users] = rows.cpu().numpy()
                scores[users] = values.float().cpu().numpy()
        return Recommendations(items, scores)

    def _predictions(self, histories: Sequences) -> Floats:
        parts = []
        with torch.no_grad():
            for at in range(0, len(histories), self.batch_users):
                users = np.arange(at, min(at + self.batch_users, len(histories)))
                known = self.known_after(histories.take(users))
                parts.append(self.log_probabilities(known).float().cpu().numpy())
        return np.concatenate(parts)

    @property
    def num_items(self) -> int:
        """N."""
        return len(self._fitted()[0])

    @abstractmethod
    def build(self, table: IdTable) -> nn.Module:
        """The untrained module for `table`, drawn from torch's seeded generator."""

    def examples(self, sequences: Sequences) -> Sequences:
        """What a training step draws from; whole sequences, cut to their newest events."""
        return sequences.last(self.config.max_length)

    def num_targets(self, examples: Sequences) -> npt.NDArray[np.int64]:
        """How many events of each example `loss` takes its mean over; all of them by default."""
        return examples.lengths

    @abstractmethod
    def loss(self, rows_BT: Tensor) -> Tensor:
        """The loss of a batch of examples, padded on the right by -1."""

    def add_gradients(self, rows_BT: Tensor) -> Tensor:
        """Add the gradients of `loss` to those of the parameters, and give its value back."""
        loss = self.loss(rows_BT)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    @abstractmethod
    def known_after(self, histories: Sequences) -> Any:
        """What `best` and `log_probabilities` are told of each history."""

    @abstractmethod
    def best(self, known: Any, k: int) -> tuple[Tensor, Tensor]:
        """The `k` best item rows (B, k) and their scores, falling; ties to the lower row."""

    def quick_best(self, known: Any, k: int) -> tuple[Tensor, Tensor]:
        """`best`, or something near it that costs less: what checkpoints are chosen by."""
        return self.best(known, k)

    @abstractmethod
    def log_probabilities(self, known: Any) -> Tensor:
        """(B, C) of what comes next."""

    def state(self) -> Arrays:
        """The module's parameters and buffers."""
        return {name: value.cpu().numpy() for name, value in self.module.state_dict().items()}

    def _load_state(self, state: Arrays, table: IdTable, device: str) -> None:
        self._device = resolve_device(device)
        with torch.random.fork_rng(devices=[]):
            self.module = self.build(table)
        self.module.load_state_dict({n: torch.from_numpy(np.array(v)) for n, v in state.items()})
        self.module.to(self._device).eval()

    def _moved_to(self, table: IdTable, carried: Callable[[Self], Mapping[str, Tensor]]) -> Self:
        """`moved_to` for a subclass that can say what each parameter over `table` is.

        `carried` gives those of which it is not the old value in the new shape, by name.
        """
        self._fitted()
        moved = type(self)(self.config)
        order, _ = moved._sort(table)
        moved._device = self._device
        with torch.random.fork_rng(devices=[]):
            moved.module = moved.build(table.sorted(order)).to(self._device)
        known = self.module.state_dict()
        with torch.no_grad():
            special = carried(moved)
            state = {
                name: special[name] if name in special else in_shape_of(like, known.get(name))
                for name, like in moved.module.state_dict().items()
            }
        moved.module.load_state_dict(state)
        moved.module.eval()
        return moved


class StateRecommender(NeuralRecommender):
    """A neural recommender that knows a history as one vector, the state after it. Abstract."""

    def known_after(self, histories: Sequences) -> Tensor:
        """The state (B, d) after each history."""
        longest = int(min(histories.lengths.max(initial=0), self.config.max_length))
        rows = torch.from_numpy(histories.padded(longest).astype(np.int64)).to(self._device)
        states = self.states(rows)
        at = (rows >= 0).sum(dim=1)
        return states[torch.arange(len(rows), device=rows.device), at]

    @abstractmethod
    def states(self, rows_BT: Tensor) -> Tensor:
        """(B, T + 1, d) of item rows (B, T), padded on the right by -1: place t knows t items."""
