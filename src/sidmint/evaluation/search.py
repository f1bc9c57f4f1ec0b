"""Every query against every row of the pool: how many score above the target, how many alike.

Shape letters: T cases, B cases of one block, U distinct rows that are asked about, G rows of the
pool, C rows of one block, D values of a row, P rows of a piece of the pool, or pairs of rows.

A float32 product scores fast, but it rounds, and rounds differently with the shape of a block,
the processor and the device. So it only proposes: what lies above the target by more than
rounding can explain is counted at once, and the few rows within that bound are compared
exactly. A rank therefore depends on the pool and the case alone, and what ties, ties however
the work was cut up and wherever it ran.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sidmint.devices import resolve_device
from sidmint.evaluation.comparing import compare
from sidmint.evaluation.pool import Pool
from sidmint.evaluation.protocol import Cases
from sidmint.evaluation.ranking import Ranks
from sidmint.progress import Track, silent
from sidmint.rows import MOST_BYTES, ROWS_AT_ONCE, Rows, rows_made
from sidmint.types import Floats

BLOCKS = {"cpu": (512, 16384), "cuda": (4096, 16384)}
"""Cases and rows of a block: at most 32 MB of scores, 256 MB on a device."""

OPEN_SHARE = 1 / 128
"""With more of a block's scores open than this, one exact product is quicker than pairs."""

PAIR_VALUES = {"cpu": 1 << 15, "cuda": 1 << 24}
"""Values of a piece of exact pairs: 256 KB of float64 stay in the cache (3 times faster than
32 MB), 128 MB keep a device busy."""


HELD_BYTES = {"cpu": MOST_BYTES, "cuda": 1 << 33}
"""Rows that take no more are made once and held; others anew, a piece at a time, every search."""


class Search(ABC):
    """A pool made ready to be searched; of two scores the larger is the closer.

    `prepare` makes the rows (G, D) float32 that are compared of the pool's, row by row. Memory is
    bounded: by `HELD_BYTES` and one block, and by 16 bytes an item. On a processor the products
    use torch's threads and the counting one.
    """

    error: float = 0.0
    """How far a score of `block` may lie from the exact one; 0 where it is exact."""

    def __init__(
        self, pool: Pool, prepare: Callable[[npt.NDArray[Any]], Floats], device: str = "auto"
    ) -> None:
        self.device = resolve_device(device)
        self.row_of = pool.row_of
        self.multiplicity = np.bincount(pool.row_of, minlength=len(pool.rows))
        self.rows: Rows = rows_made(pool.rows, prepare, HELD_BYTES[self.device.type])
        is_held = isinstance(self.rows, np.ndarray)
        self._held = torch.from_numpy(self.rows).to(self.device) if is_held else None

    @abstractmethod
    def block(self, queries_UD: Tensor, rows_CD: Tensor, out_UC: Tensor) -> None:
        """Put into `out_UC`, float32, the scores of all queries with all rows, within `error`."""

    @abstractmethod
    def exact_block(self, queries_UD: Tensor, rows_CD: Tensor) -> Tensor:
        """The exact scores (U, C) float64."""

    @abstractmethod
    def exact_pairs(self, left_PD: Tensor, right_PD: Tensor) -> Tensor:
        """The same for paired rows, (P,) float64."""

    def scores(self, cases: Cases) -> npt.NDArray[np.float64]:
        """Exact scores (T,) of queries with their targets."""
        taken = self._take(self.row_of[cases.queries], self.row_of[cases.targets])
        return self._pairs(taken.rows_UD, taken.places[0], taken.rows_UD, taken.places[1])

    def rank(self, cases: Cases, track: Track = silent) -> Ranks:
        """Exact ranks of the targets among all items but the query. O(T G D) time."""
        order = np.argsort(self.row_of[cases.queries], kind="stable")  # equal queries in a block
        taken = self._take(*(self.row_of[side[order]] for side in (cases.queries, cases.targets)))
        queries, targets = taken.places
        bars, own = (
            self._pairs(taken.rows_UD, queries, taken.rows_UD, side) for side in (targets, queries)
        )
        counts = np.zeros((2, len(cases)), dtype=np.int64)
        height, width = BLOCKS[self.device.type]
        scratch = torch.empty(height * min(width, len(self.rows)), device=self.device)
        starts = range(0, len(cases), height)
        num_steps = len(starts) * self._num_pieces
        steps = ((piece, start) for piece in self._pieces() for start in starts)
        for piece, start in track(steps, "searching", num_steps):
            block = slice(start, start + height)
            asked = _Asked(taken.rows_UD, queries[block], bars[block])
            self._count(asked, piece, counts[:, block], scratch)
        # The query is taken out of both counts, the target out of the ties.
        counts[0] -= own > bars
        counts[1] -= 1 + (own == bars)
        by_case = np.empty_like(counts)
        by_case[:, order] = counts
        return Ranks(by_case[0], by_case[1])

    def _count(
        self, asked: _Asked, piece: _Piece, counts: npt.NDArray[np.int64], scratch: Tensor
    ) -> None:
        """Add to `counts` (2, B) the items of `piece` that score above each bar, and at it."""
        queries_U, query_of = np.unique(asked.queries, return_inverse=True)
        queries_UD = asked.rows_UD[torch.from_numpy(queries_U).to(self.device)]
        bars = asked.bars
        low, high = bars - self.error, bars + self.error
        width = BLOCKS[self.device.type][1]
        for start in range(0, len(piece.rows_PD), width):
            rows_CD = piece.rows_PD[start : start + width]
            first = piece.first + start
            multiplicity = self.multiplicity[first : first + len(rows_CD)]
            scores_UC = scratch[: len(queries_U) * len(rows_CD)].view(len(queries_U), -1)
            self.block(queries_UD, rows_CD, scores_UC)
            found = compare(scores_UC, query_of, low, high, multiplicity, places=self.error > 0)
            if len(found.rows) > OPEN_SHARE * len(bars) * len(rows_CD):
                exact_UC = self.exact_block(queries_UD, rows_CD)
                found = compare(exact_UC, query_of, bars, bars, multiplicity)
            counts[0] += found.num_above
            if len(found.rows) == 0:
                counts[1] += found.num_between
                continue
            exact = self._pairs(asked.rows_UD, asked.queries[found.cases], rows_CD, found.rows)
            gaps = exact - bars[found.cases]
            for side, claim in zip(counts, (gaps > 0, gaps == 0), strict=True):
                np.add.at(side, found.cases[claim], multiplicity[found.rows[claim]])

    def _pairs(
        self,
        left_rows: Tensor,
        left: npt.NDArray[np.int64],
        right_rows: Tensor,
        right: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.float64]:
        """`exact_pairs` of rows with these numbers of two tables, in bounded pieces."""
        scores = np.empty(len(left))
        piece = max(1, PAIR_VALUES[self.device.type] // left_rows.shape[1])
        for start in range(0, len(left), piece):
            left_PD, right_PD = (
                rows[torch.from_numpy(side[start : start + piece]).to(self.device)]
                for rows, side in ((left_rows, left), (right_rows, right))
            )
            scores[start : start + piece] = self.exact_pairs(left_PD, right_PD).cpu().numpy()
        return scores

    @property
    def _num_pieces(self) -> int:
        return 1 if self._held is not None else -(-len(self.rows) // ROWS_AT_ONCE)

    def _pieces(self) -> Iterator[_Piece]:
        if self._held is not None:
            yield _Piece(0, self._held)
            return
        for first in range(0, len(self.rows), ROWS_AT_ONCE):
            rows = self.rows[first : first + ROWS_AT_ONCE]
            yield _Piece(first, torch.from_numpy(rows).to(self.device))

    def _take(self, *sides: npt.NDArray[np.int64]) -> _Taken:
        """The rows with the numbers `sides`, to the bit as `_pieces` gives them.

        A decoder rounds differently in a batch of other rows, and a target then would not tie with
        itself.
        """
        if self._held is not None:
            return _Taken(self._held, sides)
        numbers, places = np.unique(np.concatenate(sides), return_inverse=True)
        rows_UD = torch.empty(len(numbers), self.rows.shape[1], device=self.device)
        for piece in self._pieces():
            low, high = np.searchsorted(numbers, (piece.first, piece.first + len(piece.rows_PD)))
            own = torch.from_numpy(numbers[low:high] - piece.first).to(self.device)
            rows_UD[low:high] = piece.rows_PD[own]
        return _Taken(rows_UD, tuple(np.split(places, np.cumsum([len(s) for s in sides])[:-1])))


@dataclass(frozen=True)
class _Piece:
    """Rows of the pool from number `first` on."""

    first: int
    rows_PD: Tensor


@dataclass(frozen=True)
class _Taken:
    """Rows of the pool, and where in them those lie that were asked for."""

    rows_UD: Tensor
    places: tuple[npt.NDArray[np.int64], ...]


@dataclass(frozen=True)
class _Asked:
    """Cases of a block: the places (B,) of their queries in `rows_UD`, and exact bars (B,)."""

    rows_UD: Tensor
    queries: npt.NDArray[np.int64]
    bars: npt.NDArray[np.float64]
