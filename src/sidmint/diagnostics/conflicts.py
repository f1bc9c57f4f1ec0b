"""Collided pairs, judged one by one: related items may share a code, unrelated ones should not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidmint.diagnostics.collisions import vector_numbers
from sidmint.diagnostics.prefixes import prefix_order
from sidmint.errors import BadInput
from sidmint.progress import Track, silent
from sidmint.rows import Rows
from sidmint.types import Floats, Ints, Pairs

_TILE = 2048
"""Items on either side of the largest product of vectors; memory is bounded by its square."""


@dataclass(frozen=True)
class QualifiedCollisions:
    """Collided pairs split into benign ones and conflicts.

    `in_conflict` (N,) is true for an item that shares its code with at least one unrelated item.
    `bucket_of` (N,) numbers the buckets of two items and more from 0, smallest first, and is -1
    for an item that stands alone.
    """

    num_benign_pairs: int
    num_conflict_pairs: int
    in_conflict: npt.NDArray[np.bool_]
    bucket_of: npt.NDArray[np.int64]

    @property
    def conflict_rate(self) -> float:
        """Share of all items that are in conflict."""
        return float(self.in_conflict.mean())

    @property
    def benign_pair_share(self) -> float:
        """Benign collided pairs / collided pairs; 1.0 where nothing collides: none is unrelated."""
        total = self.num_benign_pairs + self.num_conflict_pairs
        return self.num_benign_pairs / total if total else 1.0


def qualified_collisions(
    codes: Ints, embeddings: Rows, pairs: Pairs, cosine: float, track: Track = silent
) -> QualifiedCollisions:
    """Split the collided pairs of `codes` (N, L) into benign pairs and conflicts.

    A pair is benign if its `embeddings` (N, D) are identical or have a cosine of at least
    `cosine`, or if it is in `pairs` in either direction; a zero vector is near nothing but
    another zero vector. Every collided pair is looked at and none is stored: memory is bounded
    by a tile and some 30 bytes an item, and time grows with the square of the largest bucket (a
    table collapsed into one bucket of 500,000 items costs 10^14 operations).
    """
    if len(codes) != len(embeddings):
        raise BadInput(f"{len(codes)} rows of codes do not fit {len(embeddings)} embeddings")
    buckets = _collided_buckets(codes)
    inside = _pairs_inside(pairs, buckets)
    numbers = vector_numbers(embeddings)
    in_conflict = np.zeros(len(codes), dtype=np.bool_)
    num_benign = 0
    for tile in track(list(buckets.tiles()), "judging collisions"):
        left, right = buckets.members_of(tile)
        on_diagonal = tile.row == tile.column
        unit_left = _unit_rows(embeddings, left)
        unit_right = unit_left if on_diagonal else _unit_rows(embeddings, right)
        related = np.matmul(unit_left, unit_right.transpose(0, 2, 1)) >= cosine
        related |= numbers[left][:, :, None] == numbers[right][:, None, :]
        _relate(related, tile, inside)
        for side, axis in ((left, 2), (right, 1)):
            in_conflict[side] |= ~related.all(axis=axis)
        num_related = int(np.count_nonzero(related))
        # A tile on the diagonal holds every pair twice, and each item with itself.
        num_benign += (num_related - left.size) // 2 if on_diagonal else num_related
    sizes = np.diff(buckets.starts)
    num_pairs = int((sizes * (sizes - 1) // 2).sum())
    return QualifiedCollisions(num_benign, num_pairs - num_benign, in_conflict, buckets.bucket_of)


@dataclass(frozen=True)
class _Tile:
    """Buckets first .. last-1, all of one size: their places row .. against column .. ."""

    first: int
    last: int
    row: int
    column: int


@dataclass(frozen=True)
class _Buckets:
    """Buckets of two items and more, by rising size; bucket b is members[starts[b]:starts[b+1]].

    `bucket_of` and `place_of` (N,) turn that round; both are -1 for items that stand alone.
    """

    members: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    bucket_of: npt.NDArray[np.int64]
    place_of: npt.NDArray[np.int64]

    def tiles(self) -> Iterator[_Tile]:
        """Cover every pair inside a bucket: many small buckets a tile, or a part of a large one.

        Of a bucket larger than a tile only the upper triangle of tiles is visited.
        """
        sizes = np.diff(self.starts)
        for size in np.unique(sizes).tolist():
            low, high = np.searchsorted(sizes, (size, size + 1)).tolist()
            width = max(1, min(16 * _TILE // size, (_TILE // size) ** 2))
            for first in range(low, high, width):
                for row in range(0, size, _TILE):
                    for column in range(row, size, _TILE):
                        yield _Tile(first, min(first + width, high), row, column)

    def members_of(self, tile: _Tile) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Item rows (buckets, places) on the left and on the right of a tile."""
        starts = self.starts[tile.first : tile.last, None]
        size = int(self.starts[tile.first + 1] - self.starts[tile.first])
        left, right = (
            self.members[starts + np.arange(begin, min(begin + _TILE, size))]
            for begin in (tile.row, tile.column)
        )
        return left, right


def _collided_buckets(codes: Ints) -> _Buckets:
    order = prefix_order(codes)
    sizes, origins = order.sizes(codes.shape[1]), order.starts(codes.shape[1])
    by_size = np.argsort(sizes, kind="stable")
    by_size = by_size[sizes[by_size] > 1]
    sizes, origins = sizes[by_size], origins[by_size]
    starts = np.concatenate(([0], np.cumsum(sizes)))
    places = np.arange(starts[-1]) - np.repeat(starts[:-1], sizes)
    members = order.rows[np.repeat(origins, sizes) + places]
    bucket_of, place_of = np.full((2, len(codes)), -1, dtype=np.int64)
    bucket_of[members] = np.repeat(np.arange(len(sizes)), sizes)
    place_of[members] = places
    return _Buckets(members, starts, bucket_of, place_of)


def _pairs_inside(pairs: Pairs, buckets: _Buckets) -> npt.NDArray[np.int64]:
    """(bucket, place, place) of each pair whose items share a bucket, both ways, by bucket."""
    left, right = (buckets.bucket_of[side] for side in (pairs.triggers, pairs.targets))
    shared = (left >= 0) & (left == right)
    one, other = (buckets.place_of[side[shared]] for side in (pairs.triggers, pairs.targets))
    bucket = left[shared]
    both_ways = np.stack(
        [np.concatenate(part) for part in ((bucket, bucket), (one, other), (other, one))], axis=1
    )
    return np.asarray(both_ways[np.argsort(both_ways[:, 0], kind="stable")])


def _relate(related: npt.NDArray[np.bool_], tile: _Tile, inside: npt.NDArray[np.int64]) -> None:
    """Set the collaborative pairs that lie in this tile."""
    low, high = np.searchsorted(inside[:, 0], (tile.first, tile.last))
    where = inside[low:high] - (tile.first, tile.row, tile.column)
    where = where[((where >= 0) & (where < related.shape)).all(axis=1)]
    related[tuple(where.T)] = True


def _unit_rows(embeddings: Rows, members: npt.NDArray[np.int64]) -> Floats:
    """The embeddings of `members` (buckets, places), of norm 1 where they are not zero."""
    vectors = embeddings[members.ravel()]
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    return np.asarray(unit.reshape(*members.shape, -1))
