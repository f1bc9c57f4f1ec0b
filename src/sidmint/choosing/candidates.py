"""What is tried: tokenizers by name, each at every proposed size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sidmint.choosing.sizes import Proposal, Sizes, in_words
from sidmint.errors import BadInput, did_you_mean
from sidmint.tokenizers import TOKENIZERS, Tokenizer, make_tokenizer

CONTROLS = ("category", "lsh", "random")
"""Made to be beaten; tried where they are named."""

_STEPS = ("steps", "start_steps")
_FEWEST_STEPS = 40  # training looks at the held-out error 40 times a schedule


@dataclass(frozen=True)
class Candidate:
    """One tokenizer at one size: what could be written into params.yaml."""

    name: str
    """Of `tokenizers.NAME`."""
    settings: Mapping[str, Any]
    """As under that key, `sizes` included."""

    @property
    def sizes(self) -> Sizes:
        """Codes a level."""
        return tuple(self.settings["sizes"])

    @property
    def label(self) -> str:
        """As people read it: rq_vae 3 x 256."""
        return f"{self.name} {in_words(self.sizes)}"

    @property
    def num_steps(self) -> int:
        """Most steps of training by gradient; 0 where there are none."""
        config, shorter = self.build().config, self.build(0.5).config
        trains = config != shorter
        return sum(getattr(config, key, 0) for key in _STEPS) if trains else 0

    def build(self, share: float = 1.0) -> Tokenizer:
        """The unfitted tokenizer, its steps of training cut to `share` of what is configured."""
        tokenizer = make_tokenizer(self.name, self.settings)
        if share >= 1:
            return tokenizer
        cut = {
            key: max(_FEWEST_STEPS, round(share * getattr(tokenizer.config, key)))
            for key in _STEPS
            if key in type(tokenizer.config).model_fields
        }
        shorter = {
            key: steps for key, steps in cut.items() if steps < getattr(tokenizer.config, key)
        }
        try:
            return make_tokenizer(self.name, {**self.settings, **shorter})
        except BadInput:  # rq_opq without an encoder takes no steps, and refuses a number of them
            return tokenizer


@dataclass(frozen=True)
class LeftOut:
    """What was not tried, and why."""

    label: str
    reason: str


def named_tokenizers(
    asked: Sequence[str] | None, own: Mapping[str, Mapping[str, Any]]
) -> tuple[str, ...]:
    """The names to try: those asked for, else every tokenizer but the controls.

    A name is a registered tokenizer or one of `own`, the tokenizers section of params.yaml.
    Raises `BadInput` for others, naming a near one, and for a name given twice.
    """
    if asked is None:
        return tuple(name for name in TOKENIZERS if name not in CONTROLS)
    known = sorted({*TOKENIZERS, *own})
    for name in asked:
        if name not in known:
            raise BadInput(
                f"unknown tokenizer {name!r}; choose among: {', '.join(known)}"
                f"{did_you_mean(name, known)}"
            )
    if not asked or len(set(asked)) != len(asked):
        raise BadInput("--tokenizers wants at least one name, each once, as in rq_kmeans,rq_vae")
    return tuple(asked)


def candidates(
    names: Sequence[str],
    proposals: Sequence[Proposal],
    own: Mapping[str, Mapping[str, Any]],
    has_pairs: bool = True,
    has_categories: bool = True,
) -> tuple[tuple[Candidate, ...], tuple[LeftOut, ...]]:
    """Every name at every size, and what cannot be tried on this catalogue.

    The first size of every tokenizer comes before the second of any, those that train fewest
    steps before the others, so that an early end has seen as many as it could. Settings other
    than sizes are those of `own`, else the defaults.
    """
    found: list[Candidate] = []
    out: dict[str, LeftOut] = {}
    for proposal in proposals:
        at_this_size: list[tuple[int, Candidate]] = []
        for name in names:
            candidate = Candidate(name, {**own.get(name, {}), "sizes": list(proposal.sizes)})
            try:
                reason = _unfit(candidate.build(), has_pairs, has_categories)
            except BadInput as error:
                out[candidate.label] = LeftOut(candidate.label, str(error))
                continue
            if reason:
                out[name] = LeftOut(name, reason)
            else:
                at_this_size.append((candidate.num_steps, candidate))
        found += [each for _, each in sorted(at_this_size, key=lambda one: one[0])]
    return tuple(found), tuple(out.values())


def _unfit(tokenizer: Tokenizer, has_pairs: bool, has_categories: bool) -> str:
    if tokenizer.uses_pairs and not has_pairs:
        return "it learns from item pairs, and there are none"
    if tokenizer.uses_collaborative:
        return "it aligns with a recommender's vectors, which `choose` does not read"
    if tokenizer.uses_categories and not has_categories:
        return "it reads categories, and the items have none"
    return ""
