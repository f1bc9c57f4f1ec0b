"""Successive halving on a budget of wall time (Jamieson & Talwalkar 2016).

Every candidate on a small share of items and steps, the better half of each size on a larger
one, and the best on all items with several seeds. What does not fit the time is left out, and
said so. Candidates are halved within their size: larger codes answer better by their length
alone, and a race between sizes would end with the longest ids.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sidmint.choosing.candidates import Candidate, LeftOut
from sidmint.choosing.measuring import Attempt, Clock, Row, Tried
from sidmint.choosing.sizes import Sizes

SHARES = (1 / 8, 1 / 3)
"""Of items and steps, a rung each; then all of them."""
_ENDS = (0.3, 0.5)
"""Share of the budget at which a rung ends, what is left being the finals'."""
MOST_FINALISTS = 6
_FEWEST = 2  # of a size stay in: a winner is worth as much as what it was compared with
_ROOM = 0.95  # of what is left: a forecast is no promise


class Tries(Protocol):
    """Makes or finds tries; see `KeptTries`."""

    def knows(self, attempt: Attempt) -> bool:
        """Whether the attempt costs nothing."""
        ...

    def num_fitted(self, attempt: Attempt) -> int:
        """Items that the attempt fits."""
        ...

    def __call__(self, attempt: Attempt) -> Tried:
        """The try."""
        ...


class Watch(Protocol):
    """Is told of every try: which rung, how far it is, what came, and the time left."""

    def __call__(self, rung: str, number: int, of: int, row: Row, seconds_left: float) -> None:
        """After each try."""
        ...


def unwatched(rung: str, number: int, of: int, row: Row, seconds_left: float) -> None:
    """The default `Watch`."""


def _nothing(row: Row) -> bool:
    return False


@dataclass(frozen=True)
class Budget:
    """So many seconds of wall time, from the moment it is made."""

    seconds: float
    clock: Clock = time.monotonic
    started: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "started", self.clock())

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return self.clock() - self.started

    def left(self, until: float = 1.0) -> float:
        """Seconds to the point where the share `until` of the budget is spent; below 0 after it."""
        return until * self.seconds - self.spent


class Forecast:
    """Seconds of a try, from tries that were made: fitting grows with its work, measuring not.

    Work is steps, or items where there are none. An upper bound where a part of the fit does not
    grow. None for a tokenizer never tried; for one tried at other sizes alone, the slowest of
    these.
    """

    def __init__(self) -> None:
        self._rows: dict[str, list[Row]] = {}

    def learn(self, row: Row) -> None:
        """Take note of a try; what failed says nothing."""
        if row.failed is None:
            self._rows.setdefault(row.name, []).append(row)

    def seconds(self, attempt: Attempt, num_fitted: int) -> float | None:
        """Of `attempt`, which fits `num_fitted` items."""
        candidate = attempt.candidate
        known = self._rows.get(candidate.name, [])
        same = [row for row in known if row.sizes == candidate.sizes]
        if same:
            known = [max(same, key=lambda row: row.share)]
        trains = candidate.num_steps > 0

        def of(row: Row) -> float:
            more = attempt.share / row.share if trains else num_fitted / row.num_fitted
            return row.fit_seconds * more + row.measure_seconds

        return max(map(of, known), default=None)


@dataclass(frozen=True)
class Finalist:
    """A candidate with its tries on all items, one a seed."""

    candidate: Candidate
    tries: tuple[Tried, ...]


@dataclass(frozen=True)
class Race:
    """How the halving went. `rungs` are the rows of each; `finalists` best first at the last."""

    rungs: tuple[tuple[Row, ...], ...]
    finalists: tuple[Finalist, ...]
    left_out: tuple[LeftOut, ...]
    seconds: float


def halve(
    candidates: Sequence[Candidate],
    tries: Tries,
    budget: Budget,
    num_seeds: int = 3,
    refuses: Callable[[Row], bool] = _nothing,
    watch: Watch = unwatched,
    finals_end: float = 1.0,
) -> Race:
    """Race `candidates`; finalists have up to `num_seeds` tries on all items.

    `refuses` says whether the gate would refuse a row: from the second rung on such a candidate
    ranks behind all others of its size. What was learned from an eighth of the items collides
    more than it will, so the gate is not asked there. Finals end where `finals_end` of the budget
    is spent. A try is started where its forecast fits; one that nobody can forecast, where any
    time is left: put the quick ones first. What the second rung had no time for waits behind
    those that it tried, and is a finalist where the time left allows at least one seed.
    """
    run = _Run(tries, budget, watch)
    standing, rungs = list(candidates), []
    for number, (share, end) in enumerate(zip(SHARES, _ENDS, strict=True), start=1):
        made = run.rung(f"rung {number}", [Attempt(each, share, 0) for each in standing], end)
        rungs.append(tuple(one.tried.row for one in made))
        run.left_out += [LeftOut(one.candidate.label, one.failed) for one in made if one.failed]
        ranked = _ranked(made, refuses if number > 1 else _nothing)
        tried = {id(one.candidate) for one in made}
        waiting = [each for each in standing if number > 1 and id(each) not in tried]
        standing = [*_halved(ranked), *waiting]
    finalists = run.finals(standing, num_seeds, finals_end)
    return Race(tuple(rungs), finalists, tuple(run.left_out), budget.spent)


@dataclass(frozen=True)
class _Made:
    candidate: Candidate
    tried: Tried

    @property
    def failed(self) -> str:
        return self.tried.row.failed or ""


@dataclass
class _Run:
    tries: Tries
    budget: Budget
    watch: Watch
    forecast: Forecast = field(default_factory=Forecast)
    left_out: list[LeftOut] = field(default_factory=list)

    def rung(self, name: str, attempts: Sequence[Attempt], end: float) -> list[_Made]:
        """What fits of `attempts`, in their order; what did not is noted."""
        made = []
        for number, attempt in enumerate(attempts, start=1):
            reason = self.too_long([attempt], end)
            if reason:
                self.left_out.append(LeftOut(attempt.candidate.label, f"{name}: {reason}"))
                continue
            tried = self.tries(attempt)
            self.forecast.learn(tried.row)
            made.append(_Made(attempt.candidate, tried))
            self.watch(name, number, len(attempts), tried.row, self.budget.left())
        return made

    def finals(
        self, standing: Sequence[Candidate], num_seeds: int, end: float
    ) -> tuple[Finalist, ...]:
        """All items, seed by seed, so that an early end leaves finalists that can be compared."""
        chosen = self._that_fit(standing, num_seeds, end)
        made: list[_Made] = []
        for seed in range(num_seeds):
            attempts = [Attempt(each, 1.0, seed) for each, seeds in chosen if seed < seeds]
            made += self.rung(f"seed {seed + 1} of {num_seeds}", attempts, end)
        found = []
        for candidate, _ in chosen:
            tries = [one for one in made if one.candidate is candidate]
            self.left_out += [LeftOut(candidate.label, one.failed) for one in tries if one.failed]
            good = tuple(one.tried for one in tries if not one.failed)
            found += [Finalist(candidate, good)] if good else []
        return tuple(found)

    def _that_fit(
        self, standing: Sequence[Candidate], num_seeds: int, end: float
    ) -> list[tuple[Candidate, int]]:
        """Finalists with every seed, best first; then, in the time left, others with fewer."""
        chosen: list[tuple[Candidate, int]] = []
        planned = list[Attempt]()

        def take(candidate: Candidate, seeds: int) -> str:
            own = [Attempt(candidate, 1.0, seed) for seed in range(seeds)]
            reason = self.too_long([*planned, *own], end)
            if not reason:
                chosen.append((candidate, seeds))
                planned.extend(own)
            return reason

        enough = f"{MOST_FINALISTS} are enough"
        waiting = list[Candidate]()
        for candidate in standing:
            if len(chosen) == MOST_FINALISTS:
                self.left_out.append(LeftOut(candidate.label, f"finals: {enough}"))
            elif take(candidate, num_seeds):
                waiting.append(candidate)
        for candidate in waiting:
            fewer = range(num_seeds - 1, 0, -1)
            has_room = len(chosen) < MOST_FINALISTS
            if has_room and any(not take(candidate, seeds) for seeds in fewer):
                continue
            reason = self.too_long([*planned, Attempt(candidate, 1.0, 0)], end) or enough
            self.left_out.append(LeftOut(candidate.label, f"finals: with it {reason}"))
        return chosen

    def too_long(self, attempts: Sequence[Attempt], end: float) -> str:
        """Why the attempts do not fit; "" where they do, or where nobody can tell."""
        new = [attempt for attempt in attempts if not self.tries.knows(attempt)]
        if not new:
            return ""
        left = self.budget.left(end)
        if left <= 0:
            return "the time for it was over"
        wanted = sum(
            self.forecast.seconds(each, self.tries.num_fitted(each)) or 0.0 for each in new
        )
        if wanted > _ROOM * left:
            who = "it" if len(attempts) == 1 else "they"
            return f"{who} would take about {wanted:,.0f} s, and {left:,.0f} s were left"
        return ""


def _ranked(made: Sequence[_Made], refuses: Callable[[Row], bool]) -> list[_Made]:
    """Best first: those that the gate would not refuse, by falling quality."""
    good = [one for one in made if not one.failed]
    return sorted(good, key=lambda one: (refuses(one.tried.row), -(one.tried.row.quality or 0.0)))


def _halved(ranked: Sequence[_Made]) -> list[Candidate]:
    """The better half of each size, two at least: the best of every size first, then the others."""
    by_size: dict[Sizes, list[Candidate]] = {}
    for one in ranked:
        by_size.setdefault(one.candidate.sizes, []).append(one.candidate)
    kept = [each[: max(_FEWEST, (len(each) + 1) // 2)] for each in by_size.values()]
    firsts = [id(each[0]) for each in kept]
    standing = {id(each) for group in kept for each in group}
    order = [one.candidate for one in ranked if id(one.candidate) in standing]
    return sorted(order, key=lambda each: id(each) not in firsts)
