"""The losses of one tokenizer: built from its config, checked against what it provides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import torch

from sidmint.errors import BadInput
from sidmint.losses import Loss, LossTerm, TokenizerStep
from sidmint.tokenizers.training import Losses


@dataclass(frozen=True)
class AttachedLosses:
    """Loss terms with the losses they name, in the order of the config."""

    entries: tuple[tuple[LossTerm, Loss], ...]

    @classmethod
    def build(
        cls, terms: Sequence[LossTerm], provides: frozenset[str], type_name: str, where: str
    ) -> Self:
        """The losses that `terms` name, or `BadInput` naming `where` (the key in params.yaml).

        Each is named once, one of them judges checkpoints, and none needs what a tokenizer
        of type `type_name` does not provide.
        """
        built = tuple((entry, entry.build(where)) for entry in terms)
        names = [entry.name for entry, _ in built]
        if len(set(names)) != len(names):
            raise BadInput(f"{where}: a loss is named twice; give it one weight instead")
        if not any(loss.judges for _, loss in built):
            raise BadInput(
                f"{where}: no loss is there to judge checkpoints by; add {{name: reconstruction}}"
            )
        for entry, loss in built:
            missing = sorted(loss.needs - provides)
            if missing:
                raise BadInput(
                    f"loss {entry.name!r} needs {', '.join(missing)}, which tokenizer "
                    f"{type_name!r} does not provide (it provides {', '.join(sorted(provides))}); "
                    f"take it out of {where}"
                )
        return cls(built)

    def __iter__(self) -> Iterator[tuple[LossTerm, Loss]]:
        return iter(self.entries)

    def need(self, word: str) -> bool:
        """Whether one of them needs `word` of a step; see `Loss.needs`."""
        return any(word in loss.needs for _, loss in self.entries)

    @property
    def oppose(self) -> bool:
        """Whether one of them works against reconstruction; see `Loss.opposes`."""
        return any(loss.opposes for _, loss in self.entries)

    @property
    def gather(self) -> bool:
        """Whether one of them wants colliding items in one batch; see `Loss.gathers`."""
        return any(loss.gathers for _, loss in self.entries)

    def without_codes(self) -> AttachedLosses:
        """Those that a step without a quantizer can serve."""
        return AttachedLosses(tuple(e for e in self.entries if not e[1].needs_codes()))

    def of(self, step: TokenizerStep) -> Losses:
        """Each loss of one step, and their weighted sums."""
        terms = {entry.name: loss(step) for entry, loss in self.entries}
        weighted = {entry.name: entry.weight * terms[entry.name] for entry, _ in self.entries}
        judged = [weighted[entry.name] for entry, loss in self.entries if loss.judges]
        total = torch.stack(list(weighted.values())).sum()
        return Losses(total, torch.stack(judged).sum(), terms, step.walk)
