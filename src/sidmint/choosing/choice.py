"""From a catalogue and a budget to a recommendation: sizes, tries, finals, comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sidmint.choosing.candidates import Candidate, LeftOut, candidates
from sidmint.choosing.halving import (
    SHARES,
    Budget,
    Finalist,
    Race,
    Tries,
    Watch,
    halve,
    unwatched,
)
from sidmint.choosing.measuring import Attempt, Row
from sidmint.choosing.questions import Catalogue
from sidmint.choosing.recommendation import Recommendation, Scored, recommend
from sidmint.choosing.sizes import USUAL_BITS_SHARE, Proposal, Sizes, propose_sizes
from sidmint.choosing.worth import Ask, Worth, worth
from sidmint.diagnostics.collisions import duplicate_floor
from sidmint.errors import Refused
from sidmint.seeds import generator_for

PILOT = "rq_kmeans"
_FINALS_END = 0.75  # of the budget, where a recommender is trained afterwards

Objections = Callable[[Mapping[str, float], int], tuple[str, ...]]
"""Metrics and the number of levels -> why the gate would refuse; () where it would not."""


@dataclass(frozen=True)
class Sizing:
    """How the sizes came about."""

    num_items: int
    floor: float
    """Collision rate that equal vectors force."""
    used: float
    """Share of its bits that the pilot made use of, or the usual one where there was none."""
    is_measured: bool
    proposals: tuple[Proposal, ...]


@dataclass(frozen=True)
class Downstream:
    """What a recommender makes of the finalists' ids."""

    name: str
    values: tuple[Worth, ...]


@dataclass(frozen=True)
class Choice:
    """The whole answer; `recommendation` is by the recommender where it was asked."""

    quality: str
    """What the score of the recommendation is, in words."""
    sizing: Sizing
    race: Race
    recommendation: Recommendation
    by_retention: Recommendation
    """By the score that every try has."""
    left_out: tuple[LeftOut, ...]
    downstream: Downstream | None = None


@dataclass(frozen=True)
class Judging:
    """The other yardstick: a recommender, and how it is asked."""

    name: str
    settings: Mapping[str, Any]
    ask: Ask
    folder: Path
    tell: Callable[[str], None]


def choose(
    catalogue: Catalogue,
    tries: Tries,
    names: Sequence[str],
    budget: Budget,
    *,
    own: Mapping[str, Mapping[str, Any]],
    own_sizes: Sizes | None = None,
    num_seeds: int = 3,
    root: int = 0,
    objections: Objections = lambda metrics, levels: (),
    judging: Judging | None = None,
    watch: Watch = unwatched,
) -> Choice:
    """Race the tokenizers `names` over `catalogue` and compare the finalists.

    `own` is the tokenizers section of params.yaml, `own_sizes` what it trains today. Raises
    `Refused` where no finalist came through, with reasons, and `BadInput` where the vectors
    answer no better than chance.
    """
    span = catalogue.range
    sizing = _sizing(catalogue, tries, own_sizes, watch, budget)
    listed, cannot = candidates(
        names,
        sizing.proposals,
        own,
        has_pairs=len(catalogue.pairs) > 0,
        has_categories=catalogue.categories is not None,
    )

    def refuses(row: Row) -> bool:
        return bool(objections(row.metrics, len(row.sizes)))

    finals_end = _FINALS_END if judging else 1.0
    race = halve(listed, tries, budget, num_seeds, refuses, watch, finals_end)
    left_out = (*cannot, *race.left_out)
    if not race.finalists:
        reasons = "; ".join(f"{each.label}: {each.reason}" for each in race.left_out[-2:])
        raise Refused(
            f"no tokenizer could be tried on all items ({reasons}); raise --minutes, or name "
            "quicker ones with --tokenizers. What was tried is kept"
        )
    scored = [_scored(each, catalogue, objections) for each in race.finalists]
    generator = generator_for(root, "choose", "intervals")
    by_retention = recommend(scored, catalogue.chance, span, generator)
    quality, chosen, downstream = catalogue.questions.quality, by_retention, None
    if judging is not None:
        values, unasked = worth(
            race.finalists, judging.ask, judging.settings, budget, judging.folder, judging.tell
        )
        left_out = (*left_out, *unasked)
        if values:
            downstream = Downstream(judging.name, values)
            chosen = _by_worth(downstream, scored, root)
            quality = f"NDCG@10 of {judging.name} on held-out events"
    return Choice(quality, sizing, race, chosen, by_retention, left_out, downstream)


def _sizing(
    catalogue: Catalogue, tries: Tries, own: Sizes | None, watch: Watch, budget: Budget
) -> Sizing:
    """Proposals by the bits that a pilot fit uses; the pilot is a try like any other."""
    num_items = len(catalogue.vectors)
    floor = duplicate_floor(catalogue.vectors)
    num_distinct = round((1 - floor) * num_items)
    sizes = own or propose_sizes(num_distinct)[0].sizes
    pilot = tries(Attempt(Candidate(PILOT, {"sizes": list(sizes)}), SHARES[0], 0)).row
    watch("pilot", 1, 1, pilot, budget.left())
    used = pilot.metrics.get("bits_share", 0.0)
    proposals = propose_sizes(num_distinct, own, used or USUAL_BITS_SHARE)
    return Sizing(num_items, floor, used or USUAL_BITS_SHARE, bool(used), proposals)


def _scored(finalist: Finalist, catalogue: Catalogue, objections: Objections) -> Scored:
    hits = np.stack([tried.hits for tried in finalist.tries])
    rows = [tried.row for tried in finalist.tries]
    metrics = _means([row.metrics for row in rows])
    return Scored(
        candidate=finalist.candidate,
        scores=catalogue.by_user(hits)[1],
        metrics=metrics,
        seconds=float(np.mean([row.fit_seconds for row in rows])),
        objections=objections(metrics, len(finalist.candidate.sizes)),
    )


def _by_worth(downstream: Downstream, scored: Sequence[Scored], root: int) -> Recommendation:
    known = {each.candidate.label: each for each in scored}
    again = []
    for each in downstream.values:
        before = known[each.candidate.label]
        again.append(replace(before, scores=each.gains))
    generator = generator_for(root, "choose", "intervals", downstream.name)
    return recommend(again, 0.0, 1.0, generator)


def _means(metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Over seeds, of the figures that every one has."""
    shared = [name for name in metrics[0] if all(name in each for each in metrics)]
    return {name: float(np.mean([each[name] for each in metrics])) for name in shared}
