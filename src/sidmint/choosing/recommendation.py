"""Which finalist to take: differences with their intervals, in plain words.

Shape letters: S seeds, U users.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidmint.choosing.candidates import Candidate
from sidmint.evaluation.arms import FEWEST_USERS, compare_arms
from sidmint.evaluation.outcomes import Outcome, outcome_of

CONFIDENCE = 0.95

Floats64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scored:
    """A finalist: scores (S, U) a seed and user, and its figures, means over seeds."""

    candidate: Candidate
    scores: Floats64
    metrics: Mapping[str, float]
    seconds: float
    """Of one fit on all items."""
    objections: tuple[str, ...] = ()
    """Of the gate: it would refuse the table for them."""


@dataclass(frozen=True)
class Standing:
    """A finalist beside the leader. Differences are shares of the leader's score."""

    scored: Scored
    quality: float
    difference: float
    low: float
    high: float
    outcome: Outcome
    """Of (this - leader) with no allowance: worse, or cannot tell. The leader's is `within`."""

    @property
    def label(self) -> str:
        """Of the candidate."""
        return self.scored.candidate.label

    @property
    def is_told_apart(self) -> bool:
        """Whether the data show a difference to the leader."""
        return self.outcome in ("worse", "better")

    @property
    def words(self) -> str:
        """As in: loses 4.1% (3.0 to 5.2); with signs where the interval holds 0."""
        if self.low <= 0 <= self.high:
            return f"{signed(self.difference)}% ({signed(self.low)} to {signed(self.high)})"
        verb = "loses" if self.difference <= 0 else "gains"
        least, most = sorted((abs(self.low), abs(self.high)))
        return f"{verb} {abs(self.difference):.1%} ({100 * least:.1f} to {100 * most:.1f})"


@dataclass(frozen=True)
class Recommendation:
    """The answer. `chosen` is None where the gate would refuse every finalist."""

    chosen: Standing | None
    leader: Standing
    standings: tuple[Standing, ...]
    """Best score first."""
    sentence: str
    reason: str
    uncertainty: str


def recommend(
    finalists: Sequence[Scored], chance: float, span: float, generator: np.random.Generator
) -> Recommendation:
    """The finalist to take among `finalists`, at least one, all over the same users.

    The leader has the best score of those that the gate would not refuse. Each other one is
    compared with it user by user (`compare_arms`: users and, from two seeds on, the luck of
    training); the intervals hold together at 95 % (Bonferroni). Taken is, of the leader and those
    that cannot be told apart from it, the one with the shortest ids, then the fewest
    collisions, then the quickest fit. One with fewer seeds than others of these is not taken:
    that less is known of it is no merit.

    A quality is (score - chance) / span. `chance` and `span` are taken for known: they are the
    same for all. Differences are shares of the leader's quality, or of span where it has none.
    """
    allowed = [one for one in finalists if not one.objections] or list(finalists)
    leader = max(allowed, key=lambda one: float(one.scores.mean()))
    own = (float(leader.scores.mean()) - chance) / span
    unit = span * (own if own > 0 else 1.0)
    confidence = 1 - (1 - CONFIDENCE) / max(1, len(finalists) - 1)
    standings = [
        _standing(one, leader, chance, span, unit, confidence, generator) for one in finalists
    ]
    standings.sort(key=lambda one: -one.quality)
    first = next(one for one in standings if one.scored is leader)
    alike = [one for one in standings if not one.is_told_apart and (not one.scored.objections)]
    most = max((len(one.scored.scores) for one in alike), default=0)
    sure = [one for one in alike if len(one.scored.scores) == most]
    chosen = min(sure, key=_preference) if sure else None
    return Recommendation(
        chosen,
        first,
        tuple(standings),
        _sentence(chosen, first),
        _reason(chosen, first, standings, alike),
        _uncertainty(first, standings),
    )


def signed(share: float) -> str:
    """A share in per cent with its sign: +0.4, a true minus, 0.0."""
    text = f"{abs(100 * share):.1f}"
    if text == "0.0":
        return text
    return ("+" if share > 0 else "\N{MINUS SIGN}") + text


def _standing(
    one: Scored,
    leader: Scored,
    chance: float,
    span: float,
    unit: float,
    confidence: float,
    generator: np.random.Generator,
) -> Standing:
    quality = (float(one.scores.mean()) - chance) / span
    if one is leader:
        return Standing(one, quality, 0.0, 0.0, 0.0, "within")
    found = compare_arms(one.scores, leader.scores, generator, confidence=confidence)
    low, high = found.low / unit, found.high / unit
    believed = found.num_users >= FEWEST_USERS
    outcome = outcome_of(low, high, 0.0) if believed else "cannot tell"
    return Standing(one, quality, found.estimate / unit, low, high, outcome)


def _preference(one: Standing) -> tuple[float, float, float]:
    metrics = one.scored.metrics
    rate = round(metrics.get("collision_rate", 0.0), 3)
    return metrics.get("id_bits", 0.0), rate, one.scored.seconds


def _sentence(chosen: Standing | None, leader: Standing) -> str:
    if chosen is None:
        return f"None: the gate would refuse every finalist, {leader.label} among them"
    return f"Take {chosen.label}"


def _reason(
    chosen: Standing | None,
    leader: Standing,
    standings: Sequence[Standing],
    alike: Sequence[Standing],
) -> str:
    if chosen is None:
        return "; ".join(f"{one.label}: {one.scored.objections[0]}" for one in standings)
    if len(standings) == 1:
        return "nothing else came as far on this budget"
    if len(alike) == 1:
        refused = any(one.scored.objections for one in standings)
        ends = "is worse, or would be refused by the gate" if refused else "is worse"
        return f"it has the best score, and the data show that every other finalist {ends}"
    rest = [one for one in alike if one is not chosen]
    seeds = len(chosen.scored.scores)
    equals = [one for one in rest if len(one.scored.scores) == seeds]
    because = _because(chosen, equals)
    if 0 < len(equals) < len(rest):
        because += ", of those with as many seeds"
    if chosen is leader:
        named = _listed([one.label for one in rest])
        return f"it leads, {named} cannot be told apart from it, and {because}"
    also = [one.label for one in rest if one is not leader]
    nor = f", nor can {_listed(also)}" if also else ""
    return f"it cannot be told apart from the leader, {leader.label}{nor}; {because}"


def _because(chosen: Standing, others: Sequence[Standing]) -> str:
    """Which of the preferences decided."""
    if not others:
        return "nothing else of them was fitted as often"
    words = ("it has the shortest ids", "it collides least", "it is fitted fastest")
    own = _preference(chosen)
    for place, text in enumerate(words):
        if all(own[: place + 1] < _preference(one)[: place + 1] for one in others):
            if place == 0:
                return f"{text} ({own[0]:.0f} bits)"
            and_least = " that collide least" if place == 2 else ""
            return f"{text} among those with the shortest ids{and_least}"
    return "nothing speaks for another one"


def _uncertainty(leader: Standing, standings: Sequence[Standing]) -> str:
    others = [one for one in standings if one is not leader]
    if not others:
        return "it was the only finalist: nothing was compared"
    said = [
        f"{one.label} {one.words}"
        + ("" if one.is_told_apart else ", which the data cannot tell from none")
        for one in others
    ]
    alone = [one.label for one in standings if len(one.scored.scores) == 1]
    if len(leader.scored.scores) == 1 or len(alone) == len(standings):
        holds = "users alone: one seed tells nothing of the luck of training"
    else:
        holds = "users and the luck of training"
        holds += f" (users alone of {_listed(alone)}, with one seed)" if alone else ""
    num_users = leader.scored.scores.shape[1]
    few = "" if num_users >= FEWEST_USERS else f"; {num_users} users are too few to believe any"
    return (
        f"Beside {leader.label}: {'; '.join(said)}. Intervals hold together at "
        f"{CONFIDENCE:.0%} and take in {holds}{few}"
    )


def _listed(labels: Sequence[str]) -> str:
    return f"{', '.join(labels[:-1])} and {labels[-1]}" if len(labels) > 1 else labels[0]
