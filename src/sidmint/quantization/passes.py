"""Residual k-means of points that do not fit in memory: a reading of all of them an iteration.

Several processes read a share each, and add up what they found; all draw the same numbers.

Shape letters: N points, d their size, K codewords, B points of a piece, F far points.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Generator, Tensor

from sidmint.progress import Track, silent
from sidmint.quantization.assignment import Assigner
from sidmint.quantization.collective import gathered, num_processes, own_rows, summed
from sidmint.quantization.kmeans import (
    ROWS_AT_ONCE,
    KMeans,
    TooFewPoints,
    distinct_in,
    kmeans,
    means_of,
    started,
    sums_by_code,
)
from sidmint.quantization.offsets import offset_of
from sidmint.quantization.oversampling import squared_distances
from sidmint.rows import MOST_BYTES, Rows, slices

SAMPLE_BYTES = MOST_BYTES
"""What the draw of points takes, as float32, that codewords start from."""


def residual_kmeans_in_passes(
    points: Rows,
    sizes: Sequence[int],
    generator: Generator,
    iterations: int = 50,
    tolerance: float = 1e-4,
    track: Track = silent,
    device: torch.device | str = "cpu",
) -> list[KMeans]:
    """`kmeans.residual_kmeans` of `points` (N, d) float32 that are read a piece at a time.

    Memory is bounded by a draw of `SAMPLE_BYTES`, a piece, and 4 bytes a point and level: what the
    levels before left over is made anew from their codes at every reading. Every point counts in
    every iteration; the draw decides where they start: at the codewords of a k-means of it.

    Where the draw is all the points they start as `residual_kmeans` does, and the codewords are
    its own up to rounding in float64 (1e-5 of their size, and mostly to the bit). Where it is a
    part, they are another local minimum. No `swap_rounds`, and no `balance`: both
    look at all the points at once. `codes_N` are int32. Raises `TooFewPoints` naming the level.
    """
    offset_d = _offset(points, torch.device(device))
    left = _Left(points, torch.device(device), offset_d)
    drawn = _drawn(len(points), points.shape[1], generator)
    levels: list[KMeans] = []
    for level, num_codes in enumerate(track(sizes, "k-means", len(sizes))):
        num_distinct = distinct_in(
            (points_Bd for _, points_Bd in left.pieces(slice(0, len(points)))), num_codes
        )
        if num_distinct < num_codes:
            raise TooFewPoints(level, num_codes, num_distinct)
        start_Kd = _start(left, drawn, num_codes, generator, iterations, tolerance)
        levels.append(_lloyd(left, start_Kd, iterations, tolerance))
        left = left.after(levels[-1])
    return levels if offset_d is None else _put_back(points, levels, offset_d)


@dataclass(frozen=True)
class _Left:
    """What the levels so far have left over of points.

    In float32, one codeword subtracted after the other, so that the bits are those of residuals
    that are kept.
    """

    points: Rows
    device: torch.device
    offset_d: Tensor | None = None
    levels: tuple[KMeans, ...] = ()

    def __len__(self) -> int:
        return len(self.points)

    def after(self, level: KMeans) -> _Left:
        """What one more level leaves over."""
        return replace(self, levels=(*self.levels, level))

    def of(self, rows: slice | np.ndarray) -> Tensor:
        """The rows of a slice, or those with these numbers: (B, d)."""
        left_Bd = torch.from_numpy(np.ascontiguousarray(self.points[rows])).to(self.device)
        if self.offset_d is not None:
            left_Bd = left_Bd - self.offset_d
        for level in self.levels:
            left_Bd = left_Bd - level.codewords_Kd[level.codes_N[rows].long()]
        return left_Bd

    def pieces(self, share: slice) -> Iterator[tuple[slice, Tensor]]:
        """The rows of a share, so many at a time."""
        for each in slices(share.stop - share.start, ROWS_AT_ONCE):
            rows = slice(share.start + each.start, share.start + each.stop)
            yield rows, self.of(rows)


@dataclass(frozen=True)
class _Far:
    """The points farthest from their codewords, farthest first, no two at one distance."""

    distances_F: Tensor
    rows_F: Tensor
    codes_F: Tensor

    def with_those(self, other: _Far, most: int) -> _Far:
        """The farthest of both; of equal ones the first of `self`, then of `other`."""
        return _farthest(
            torch.cat([self.distances_F, other.distances_F]),
            torch.cat([self.rows_F, other.rows_F]),
            torch.cat([self.codes_F, other.codes_F]),
            most,
        )


@dataclass(frozen=True)
class _Pass:
    """What one reading of all points finds, of given codewords."""

    codes_N: Tensor
    inertia: float
    sums_Kd: Tensor
    counts_K: Tensor
    far: _Far


def _drawn(num_points: int, width: int, generator: Generator) -> np.ndarray | None:
    """Numbers, rising, of the points to start from; None: all of them."""
    most = SAMPLE_BYTES // (width * np.dtype(np.float32).itemsize)
    if num_points <= most:
        return None
    seed = int(torch.randint(2**62, (1,), generator=generator))
    rng = np.random.default_rng(seed)
    return np.sort(rng.choice(num_points, most, replace=False, shuffle=False))


def _start(
    left: _Left,
    drawn: np.ndarray | None,
    num_codes: int,
    generator: Generator,
    iterations: int,
    tolerance: float,
) -> Tensor:
    if drawn is None:
        return started(left.of(slice(0, len(left))), num_codes, generator)
    sample_Sd = left.of(drawn)
    try:
        return kmeans(sample_Sd, num_codes, generator, iterations, tolerance).codewords_Kd
    except TooFewPoints as error:
        raise TooFewPoints(len(left.levels), num_codes, error.num_distinct) from error


def _lloyd(left: _Left, codewords_Kd: Tensor, iterations: int, tolerance: float) -> KMeans:
    """Lloyd iterations from given codewords, as those of `kmeans`."""
    inertia: list[float] = []
    num_reseeded = 0
    while True:
        found = _pass(left, codewords_Kd)
        inertia.append(found.inertia)
        empty = (found.counts_K == 0).nonzero()[:, 0]
        settled = len(inertia) > 1 and inertia[-2] - inertia[-1] <= tolerance * inertia[-1]
        if (settled and not len(empty)) or len(inertia) > iterations:
            return KMeans(codewords_Kd, found.codes_N, tuple(inertia), num_reseeded)
        num_reseeded += _reseed(left, found, empty)
        codewords_Kd = means_of(found.sums_Kd, found.counts_K, codewords_Kd)


def _pass(left: _Left, codewords_Kd: Tensor) -> _Pass:
    num_codes = len(codewords_Kd)
    own = own_rows(len(left))
    assign = Assigner(codewords_Kd)
    codes_own = torch.empty(own.stop - own.start, dtype=torch.int32, device=left.device)
    sums_Kd = torch.zeros_like(codewords_Kd, dtype=torch.float64)
    counts_K = torch.zeros(num_codes, dtype=torch.int64, device=left.device)
    inertia = torch.zeros(1, dtype=torch.float64, device=left.device)
    nothing = torch.empty(0, device=left.device)
    far = _Far(nothing, nothing.long(), nothing.long())
    for rows, points_Bd in left.pieces(own):
        codes_B = assign(points_Bd)
        distances_B = squared_distances(points_Bd, codewords_Kd, codes_B)
        codes_own[rows.start - own.start : rows.stop - own.start] = codes_B.int()
        sums_Kd += sums_by_code(points_Bd, codes_B, num_codes)
        counts_K += torch.bincount(codes_B, minlength=num_codes)
        inertia += distances_B.sum(dtype=torch.float64)
        rows_B = torch.arange(rows.start, rows.stop, device=left.device)
        far = far.with_those(_farthest(distances_B, rows_B, codes_B, num_codes), num_codes)
    return _Pass(
        gathered(codes_own, len(left)),
        float(summed(inertia)),
        summed(sums_Kd),
        summed(counts_K),
        _of_all(far, num_codes),
    )


def _farthest(distances_F: Tensor, rows_F: Tensor, codes_F: Tensor, most: int) -> _Far:
    """Points at one and the same distance count as one, or duplicates would fill several codes."""
    ranked = torch.sort(distances_F, descending=True, stable=True)
    changed = torch.ones_like(ranked.values, dtype=torch.bool)
    changed[1:] = ranked.values[1:] != ranked.values[:-1]
    kept = ranked.indices[changed & (ranked.values > 0)][:most]
    return _Far(distances_F[kept], rows_F[kept], codes_F[kept])


def _of_all(far: _Far, most: int) -> _Far:
    """The farthest of all processes, in order of rank."""
    if num_processes() == 1:
        return far
    padded_F3 = torch.zeros(most, 3, dtype=torch.float64, device=far.rows_F.device)
    for column, values in enumerate((far.distances_F, far.rows_F, far.codes_F)):
        padded_F3[: len(values), column] = values.double()
    all_F3 = gathered(padded_F3, most * num_processes())
    distances, rows, codes = all_F3.unbind(dim=1)
    return _farthest(distances.float(), rows.long(), codes.long(), most)


def _reseed(left: _Left, found: _Pass, empty: Tensor) -> int:
    """Move a far point each from its code to an empty one, in the sums; how many got one."""
    num_moved = min(len(empty), len(found.far.rows_F))
    if not num_moved:
        return 0
    takers, givers = empty[:num_moved], found.far.codes_F[:num_moved]
    points_Fd = left.of(found.far.rows_F[:num_moved].cpu().numpy()).double()
    found.sums_Kd.index_add_(0, givers, -points_Fd)
    found.counts_K.index_add_(0, givers, -torch.ones_like(givers))
    found.sums_Kd[takers] = points_Fd
    found.counts_K[takers] = 1
    return num_moved


def _offset(points: Rows, device: torch.device) -> Tensor | None:
    pieces = (points_Bd for _, points_Bd in _Left(points, device).pieces(slice(0, len(points))))
    return offset_of(pieces, len(points))


def _put_back(points: Rows, levels: list[KMeans], offset_d: Tensor) -> list[KMeans]:
    """Levels that were fitted without the offset, which the codewords of the first get back.

    Codes and the last inertia are those of the codewords that come out, on the points as they are.
    """
    left = _Left(points, offset_d.device)
    walked = []
    for level, fitted in enumerate(levels):
        codewords_Kd = fitted.codewords_Kd if level else fitted.codewords_Kd + offset_d
        found = _pass(left, codewords_Kd)
        inertia = (*fitted.inertia[:-1], found.inertia)
        walked.append(KMeans(codewords_Kd, found.codes_N, inertia, fitted.num_reseeded))
        left = left.after(walked[-1])
    return walked
