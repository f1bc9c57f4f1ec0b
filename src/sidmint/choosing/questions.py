"""What every candidate is asked, and how answers become scores: one set of cases for all.

Shape letters: N items, D embedding size, T cases, U users, S seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sidmint.evaluation import Cases, expected_hits, random_hit_rate, retention
from sidmint.evaluation.comparison import per_user
from sidmint.evaluation.cosines import CosineSearch
from sidmint.evaluation.pool import Pool
from sidmint.progress import Track, silent
from sidmint.types import Floats, Ints, Pairs

Floats64 = npt.NDArray[np.float64]

MOST_CASES = 6_000
"""Cases asked of each candidate; the standard error of a rate is then below .0065."""
MOST_NEIGHBOURS = 3_000
"""Items whose nearest neighbour is asked for where there is no log."""


@dataclass(frozen=True)
class Questions:
    """Held-out cases and the cutoff of the hit rate; `cases.users` are known.

    `by_content`: there is no log, and the cases ask for an item's nearest neighbour.
    """

    cases: Cases
    cutoff: int
    by_content: bool = False

    @property
    def quality(self) -> str:
        """What the score is, in words."""
        if self.by_content:
            return f"nearest neighbours still among the first {self.cutoff}"
        return f"retention of item-to-item hits at {self.cutoff}"


@dataclass(frozen=True)
class Catalogue:
    """The catalogue as every try sees it."""

    vectors: Floats
    fitted: npt.NDArray[np.bool_]
    """Items (N,) that tokenizers may learn from."""
    pairs: Pairs
    categories: tuple[str | None, ...] | None
    questions: Questions
    near_duplicate_cosine: float = 0.95
    champion: Ints | None = None
    """Codes (N, L) of the champion, -1 for items that it lacks."""
    device: str = "auto"

    @cached_property
    def original_hits(self) -> Floats64:
        """Chance (T,) of each case to be hit by the original vectors."""
        search = CosineSearch(Pool.of(self.vectors), self.device)
        return expected_hits(search.rank(self.questions.cases), self.questions.cutoff)

    @property
    def chance(self) -> float:
        """Hit rate of a random ranking."""
        return random_hit_rate(len(self.vectors), self.questions.cutoff)

    @cached_property
    def range(self) -> float:
        """What original vectors gain over chance: a lossless tokenizer has a quality of 1.

        Raises `BadInput` where they gain nothing.
        """
        original = float(self.by_user(self.original_hits[None])[1].mean())
        retention(original, original, self.chance)  # says why, where it is not defined
        return original - self.chance

    def by_user(self, hits: Floats64) -> tuple[list[str], Floats64]:
        """Users, and the mean hits (S, U) of each over its cases (S, T)."""
        users = self.questions.cases.users
        assert users is not None  # noqa: S101 - both makers of questions give them
        return per_user([str(user) for user in users.tolist()], hits)

    def quality(self, hits: Floats64) -> float:
        """(hit rate - chance) / (that of the vectors - chance) of `hits` (T,), users alike."""
        return float((self.by_user(hits[None])[1].mean() - self.chance) / self.range)


def sampled(cases: Cases, most: int, generator: np.random.Generator) -> Cases:
    """`cases` of so many users, drawn at random, that at most about `most` cases are left.

    Whole users: the cases of one are no independent draws.
    """
    users = cases.users
    if len(cases) <= most or users is None:
        return cases
    names = np.unique(users)
    count = max(1, round(len(names) * most / len(cases)))
    kept = np.isin(users, generator.choice(names, count, replace=False))
    return Cases(cases.queries[kept], cases.targets[kept], users[kept])


def neighbour_cases(
    vectors: Floats, generator: np.random.Generator, track: Track = silent
) -> Cases:
    """For catalogues without a log: from an item, find the one whose vector is nearest.

    Copies of the item are passed over: equal vectors get equal codes from every tokenizer. An
    item is a user here: each asks once.
    """
    import torch

    from sidmint.evaluation.cosines import directions

    pool = Pool.of(directions(vectors))
    rows = torch.from_numpy(pool.rows)
    first = np.zeros(len(pool.rows), dtype=np.int64)
    first[pool.row_of[::-1]] = np.arange(len(vectors))[::-1]
    count = min(MOST_NEIGHBOURS, len(rows))
    asked = np.sort(generator.choice(len(rows), count, replace=False))
    nearest = np.empty(count, dtype=np.int64)
    for start in track(range(0, count, 256), "nearest neighbours"):
        block = asked[start : start + 256]
        scores = rows[block] @ rows.T
        scores[torch.arange(len(block)), torch.from_numpy(block)] = -torch.inf
        nearest[start : start + 256] = scores.argmax(dim=1).numpy()
    queries, targets = (first[at].astype(np.int32) for at in (asked, nearest))
    return Cases(queries, targets, queries.astype(np.int64))
