"""Codes of every skew, cut into blocks in any way: what work over shards is tried on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from sidmint.partitions import MemorySpill, Rows, Spill
from sidmint.types import Ints

SIZES = (3, 6, 2, 70_000, 70_000, 70_000, 5)
"""Of the codebooks; all seven levels need 56 bits and, with the three large ones, two words."""


@dataclass(frozen=True)
class Cut:
    """The same codes whole and in `blocks`; some of these may be empty."""

    codes: Ints
    sizes: tuple[int, ...]
    blocks: list[Ints]


@st.composite
def cut_codes(draw: st.DrawFn, max_rows: int = 200) -> Cut:
    """Few or many rows, one first code for everybody or all alike, in blocks of any length."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    num_rows = draw(st.integers(1, max_rows))
    sizes = draw(st.sampled_from([SIZES[:1], SIZES[:3], SIZES[1:4], SIZES]))
    power = draw(st.sampled_from([1, 3, 40]))  # at 40 nearly every code is 0
    shares = rng.random((num_rows, len(sizes))) ** power
    codes = (shares * np.minimum(sizes, draw(st.sampled_from([2, 10**6])))).astype(np.int32)
    ends = np.sort(rng.integers(0, num_rows + 1, draw(st.integers(0, 6))))
    return Cut(codes, sizes, np.split(codes, ends))


class WatchedSpill(MemorySpill):
    """Knows how deep rows were split, and what nobody dropped."""

    def __init__(self, depth: int = 0, seen: list[WatchedSpill] | None = None) -> None:
        super().__init__()
        self.depth = depth
        self.seen = [] if seen is None else seen
        self.seen.append(self)

    def below(self, partition: int) -> WatchedSpill:
        return WatchedSpill(self.depth + 1, self.seen)

    @property
    def deepest(self) -> int:
        return max(each.depth for each in self.seen)

    @property
    def num_left(self) -> int:
        return sum(len(each._held) for each in self.seen)


def gathered(spill: Spill, partitions: Sequence[int], rows_at_once: int = 7) -> list[Rows]:
    """All pieces of these partitions."""
    return [piece for each in partitions for piece in spill.read(each, rows_at_once)]
