"""How often each row of words was seen, over blocks that come one after another.

Shape letters: D distinct rows, n rows of a block, W words a row (`packing.words`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidmint.packing import Keys

Counts = npt.NDArray[np.int64]

BYTES_A_WORD, BYTES_A_ROW = 24, 64
"""Most work space of `count_on`, a row of both sides: for each of its words, and beside them."""


@dataclass(frozen=True)
class Tally:
    """Distinct rows `words` (D, W), rising, and how often each was seen: `counts` (D,)."""

    words: Keys
    counts: Counts

    @classmethod
    def empty(cls, num_words: int) -> Tally:
        """Of nothing seen yet."""
        return cls(np.empty((0, num_words), dtype=np.uint64), np.empty(0, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.counts)

    def counts_of(self, words: Keys) -> Counts:
        """How often each of `words` (n, W) was seen, all of which were."""
        both = np.concatenate([self.words, words])
        order = np.lexsort(both.T[::-1])
        place = np.empty(len(both), dtype=np.int64)
        place[order] = np.cumsum(_parts(both[order])) - 1
        return self.counts[place[len(self) :]]


def count_on(tally: Tally, words: Keys) -> tuple[Tally, Counts]:
    """`tally` with the rows of `words` (n, W) added, and how many of its kind came before each.

    Before row i (n,) are those in `tally` and those above it in `words`: 0 for the first of all.
    Any cut of rows into blocks gives the same numbers. O((D + n) log(D + n)) time.
    """
    seen = np.concatenate([tally.counts, np.ones(len(words), dtype=np.int64)])
    grown, before = _gathered(np.concatenate([tally.words, words]), seen)
    return grown, before[len(tally) :]


def merge_tallies(one: Tally, other: Tally) -> Tally:
    """The tally of the rows of both; which comes first does not matter."""
    words = np.concatenate([one.words, other.words])
    return _gathered(words, np.concatenate([one.counts, other.counts]))[0]


def _gathered(words: Keys, seen: Counts) -> tuple[Tally, Counts]:
    """Equal rows of `words` added up, and how many were seen above each row of its kind."""
    order = np.lexsort(words.T[::-1])  # stable: rows above come first
    ordered, weights = words[order], seen[order]
    begins = np.flatnonzero(_parts(ordered))
    ends = np.cumsum(weights)
    first = ends[begins] - weights[begins]
    before = np.empty(len(words), dtype=np.int64)
    before[order] = ends - weights - np.repeat(first, np.diff(begins, append=len(words)))
    return Tally(ordered[begins], np.diff(np.append(first, weights.sum()))), before


def _parts(ordered: Keys) -> npt.NDArray[np.bool_]:
    """Whether a row is another than the one above it; the first is."""
    parts = np.ones(len(ordered), dtype=bool)
    parts[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return parts
