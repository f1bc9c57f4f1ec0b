"""Catalogues with a known answer, tries that cost fake seconds, for the tests of `choose`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np

from sidmint.choosing.candidates import Candidate
from sidmint.choosing.measuring import Attempt, Row, Tried
from sidmint.choosing.questions import Catalogue, Questions, neighbour_cases
from worlds import category_paths, neighbour_pairs, smooth_items

NUM_USERS = 300


def catalogue(num_items: int = 400, seed: int = 0) -> Catalogue:
    """Smooth items, each asked for its nearest neighbour; all may be learned from."""
    vectors = smooth_items(num_items, seed=seed)
    cases = neighbour_cases(vectors, np.random.default_rng(1))
    return Catalogue(
        vectors=vectors,
        fitted=np.ones(num_items, dtype=bool),
        pairs=neighbour_pairs(vectors),
        categories=tuple(category_paths(vectors)),
        questions=Questions(cases, 10, by_content=True),
        device="cpu",
    )


@dataclass
class FakeClock:
    """Stands still until it is told to move."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class FakeTries:
    """Tries of known quality that move the clock: `seconds` by name of a fit on everything.

    Fitting takes its share of them, measuring one second.
    """

    clock: FakeClock
    seconds: dict[str, float]
    quality: dict[str, float]
    kept: set[tuple[str, float, int]] = field(default_factory=set)
    failing: frozenset[str] = frozenset()
    made: list[Attempt] = field(default_factory=list)

    def knows(self, attempt: Attempt) -> bool:
        return _place(attempt) in self.kept

    def num_fitted(self, attempt: Attempt) -> int:
        return round(8000 * attempt.share)

    def __call__(self, attempt: Attempt) -> Tried:
        name = attempt.candidate.name
        fit = self.seconds[name] * attempt.share
        if not self.knows(attempt):
            self.clock.now += fit + 1.0
            self.made.append(attempt)
            self.kept.add(_place(attempt))
        failed = "it does not fit" if name in self.failing else None
        quality = None if failed else self.quality[name]
        row = Row(
            key=hashlib.sha256(repr(_place(attempt)).encode()).hexdigest()[:32],
            name=name,
            sizes=attempt.candidate.sizes,
            settings=dict(attempt.candidate.settings),
            share=attempt.share,
            seed=attempt.seed,
            num_fitted=self.num_fitted(attempt),
            fit_seconds=fit,
            measure_seconds=1.0,
            quality=quality,
            metrics={} if failed else {"collision_rate": 0.1, "id_bits": 24.0},
            failed=failed,
        )
        codes = np.zeros((NUM_USERS, len(row.sizes)), dtype=np.int32)
        return Tried(row, np.full(NUM_USERS, quality or 0.0), codes)


def _place(attempt: Attempt) -> tuple[str, float, int]:
    return attempt.candidate.label, attempt.share, attempt.seed


def candidate(name: str, size: int = 16) -> Candidate:
    """Of type rq_kmeans, whatever its name."""
    return Candidate(name, {"type": "rq_kmeans", "sizes": [size] * 3})
