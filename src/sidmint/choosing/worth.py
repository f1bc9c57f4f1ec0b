"""What finalists are worth to a recommender: their ids are learned from, within the budget."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sidmint.choosing.candidates import Candidate, LeftOut
from sidmint.choosing.halving import Budget, Finalist
from sidmint.choosing.tries import read_array, write_array
from sidmint.types import Codes

Floats64 = npt.NDArray[np.float64]

Ask = Callable[[Codes, int], Floats64]
"""Codes and the number of a seed -> mean gain (U,) of each user, from one training; the users are
the same and in one order whatever the codes."""

GAINS = "gains"
_ROOM = 0.95


@dataclass(frozen=True)
class Worth:
    """Gains (S, U) of one finalist, one row a seed of tokenizer and recommender."""

    candidate: Candidate
    gains: Floats64


def worth(
    finalists: Sequence[Finalist],
    ask: Ask,
    settings: Mapping[str, Any],
    budget: Budget,
    folder: Path,
    tell: Callable[[str], None] = lambda text: None,
) -> tuple[tuple[Worth, ...], tuple[LeftOut, ...]]:
    """`ask` on the codes of every finalist, seed by seed, as far as the budget goes.

    Seed s trains the recommender so seeded on the table of the tokenizer's seed s: the spread
    over seeds holds both. Answers are kept in `folder`, keyed by the try and `settings`. All
    finalists have as many seeds as the one that has fewest; one without any is left out.
    """
    found: dict[int, list[Floats64]] = {place: [] for place in range(len(finalists))}
    longest = 0.0
    most = max((len(each.tries) for each in finalists), default=0)
    for seed in range(most):
        for place, finalist in enumerate(finalists):
            if seed >= len(finalist.tries) or len(found[place]) < seed:
                continue
            key = _key(finalist.tries[seed].row.key, settings, seed)
            gains = _kept(folder, key)
            if gains is None:
                if longest > _ROOM * budget.left() or budget.left() <= 0:
                    continue
                started = budget.spent
                tried = finalist.tries[seed]
                gains = ask(Codes(tried.codes, finalist.candidate.sizes), seed)
                write_array(folder, GAINS, key, gains)
                longest = max(longest, budget.spent - started)
            found[place].append(gains)
            tell(
                f"recommender on {finalist.candidate.label}, seed {seed + 1}: "
                f"NDCG@10 {gains.mean():.4f}"
            )
    asked = [each for each in found.values() if each]
    fewest = min(map(len, asked), default=0)
    values = tuple(
        Worth(finalists[place].candidate, np.stack(each[:fewest]))
        for place, each in found.items()
        if each
    )
    out = tuple(
        LeftOut(finalists[place].candidate.label, "recommender: no time was left to train one")
        for place, each in found.items()
        if not each
    )
    return values, out


def _key(try_key: str, settings: Mapping[str, Any], seed: int) -> str:
    text = json.dumps([try_key, settings, seed], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _kept(folder: Path, key: str) -> Floats64 | None:
    try:
        return read_array(folder, GAINS, key)
    except (OSError, ValueError):
        return None
