"""The words of the report: which tokenizer would be published and why, and what collided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from sidmint.contracts import NO_LOG, STANDINGS, Items, describe_metric
from sidmint.errors import BadInput
from sidmint.gate.rules import Champion
from sidmint.gate.verdict import Verdict
from sidmint.reporting.run import Candidate, Run
from sidmint.reporting.tables import number

_STANDINGS = {
    "warm": "warm, with interactions to learn from and to ask about",
    "withheld": "withheld from all that is learned and asked about, to see what new items get",
    "below_core": "with too few interactions for the k-core, which learns and asks without them",
    "without_events": "without any interaction",
}


@dataclass(frozen=True)
class Headline:
    """The first thing on the page: one sentence, then the sentences that explain it."""

    good: bool
    sentence: str
    details: tuple[str, ...]


def headline(run: Run) -> Headline:
    """What the run means for whoever decides on a release."""
    best = leader(run.candidates, run.select_by)
    against = _against(run.champion)
    if best is not None:
        return Headline(True, f"{best.name} would be published.", (_why(best, run), against))
    count = len(run.candidates)
    all_of_them = "The only tokenizer of this run was" if count == 1 else f"All {count} were"
    refused = f"{all_of_them} refused by the gate, for the reasons below."
    return Headline(False, "Nothing would be published.", (refused, against))


def leader(candidates: Sequence[Candidate], select_by: str) -> Candidate | None:
    """The candidate that a release without a name would publish; None where none passed.

    Among those that passed, the best on the metric `select_by` in the direction that the
    metric calls better; of equals the first by name. `BadInput` if it was not measured.
    """
    passing = sorted(_passing(candidates), key=lambda candidate: candidate.name)
    for candidate in passing:
        if select_by not in candidate.metrics:
            raise BadInput(
                f"gate.select_by is {select_by}, which was not measured for {candidate.name}; "
                "name another metric"
            )
    sign = 1.0 if describe_metric(select_by).better == "lower" else -1.0
    return min(passing, key=lambda c: sign * c.metrics[select_by], default=None)


def tally(verdict: Verdict) -> str:
    """How many rules held, of how many."""
    held = sum(result.passed for result in verdict.rules)
    return f"{held} of {len(verdict.rules)} rules held"


def collision_words(metrics: Mapping[str, float], policy: str) -> str:
    """What collided before resolution, how much of it matters, and what resolution did."""
    said = [
        f"Before resolution {percent(metrics['collided_item_rate'])} of the items shared their "
        "code with another; the collision rate, 1 - distinct codes / items, was "
        f"{percent(metrics['collision_rate'])}."
    ]
    if "conflict_rate" in metrics:
        said.append(
            f"{percent(metrics['conflict_rate'])} of the items collided with an unrelated one: a "
            "conflict. Duplicates and items that people take together collide benignly."
        )
    if "duplicate_floor" in metrics:
        said.append(
            f"Duplicate vectors alone force a collision rate of "
            f"{percent(metrics['duplicate_floor'])} on any tokenizer."
        )
    said.append(f"The policy {policy} then made the ids unique.")
    return " ".join(said)


def catalogue_words(items: pl.DataFrame) -> str:
    """How many items there are, and how many stand in each part, in a sentence."""
    said = f"{number(len(items))} items, each with a Semantic ID"
    standing = items[Items.STANDING]
    counts = {name: int((standing == name).sum()) for name in STANDINGS}
    if counts["without_events"] == len(items):
        return f"{said}; {NO_LOG}, so ids come from content alone and nobody could be asked."
    parts = [
        f"{number(counts[name])} {words}" for name, words in _STANDINGS.items() if counts[name]
    ]
    return f"{said}: {'; '.join(parts)}."


def percent(share: float) -> str:
    """A share as people read it: 0.0407 -> 4.1%."""
    return f"{100 * share:.1f}%"


def _passing(candidates: Sequence[Candidate]) -> list[Candidate]:
    return [candidate for candidate in candidates if candidate.verdict.passed]


def _why(best: Candidate, run: Run) -> str:
    value = number(best.metrics[run.select_by])
    others = [candidate for candidate in _passing(run.candidates) if candidate is not best]
    if others:
        field = ", ".join(f"{c.name} {number(c.metrics[run.select_by])}" for c in others)
        return (
            f"It passed every critical rule of the gate, and of the {len(others) + 1} that did "
            f"it leads on {run.select_by} with {value} ({field})."
        )
    which = (
        f"the only one of {len(run.candidates)} tokenizers that" if len(run.candidates) > 1 else ""
    )
    passed = f"It is {which} passed" if which else "It passed"
    return f"{passed} every critical rule of the gate. Its {run.select_by} is {value}."


def _against(champion: Champion | None) -> str:
    if champion is None:
        return (
            "No version is published yet: there was no champion to compare with, and the "
            "first release is judged by the absolute rules alone."
        )
    return f"The champion, version {champion.version}, stands beside every number."
