"""Implied codebooks: the codewords that a table of codes would have in a vector space.

Somebody else's codes come without their codebooks. But codes say which items belong together,
and the vector that stands for a group of items with least squared error is their mean. So the
implied codeword of a code is the mean of the residuals of its items, level by level:

    r^(0) = x
    c^(l)_k = mean of r^(l-1) over the items with code k at level l
    r^(l) = r^(l-1) - c^(l)_k, k being the item's code

Our reading; no paper has it. Given the earlier levels no other codewords have less squared
error, so the error falls (or stays) with every level, and for residual k-means in this space
that has converged they are its own codebooks. They are not what the other system has if it
quantizes another space (a latent), and codebooks fitted to all levels at once could come a
little nearer: figures made with them say how well the codes *could* describe these vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidmint.errors import BadInput
from sidmint.progress import Track, silent
from sidmint.types import Codebooks, Floats, Ints

_ROWS = 65_536
"""Vectors held in float64 at once."""


@dataclass(frozen=True)
class ImpliedCodebooks:
    """Codewords of the codes in use: `books.levels[l][i]` is that of code `used[l][i]`.

    Codes that no item has are left out: nothing is known of them, and a table of 2^24 codes of
    which a thousand are used takes the room of a thousand.
    """

    used: tuple[npt.NDArray[np.int32], ...]
    books: Codebooks

    def reconstruct(self, codes: Ints, num_levels: int | None = None) -> Floats:
        """Vectors (n, D) of `codes` (n, L), from their first `num_levels` levels, in blocks."""
        places = np.column_stack(
            [np.searchsorted(used, codes[:, level]) for level, used in enumerate(self.used)]
        )
        return self.books.decode(places.astype(np.int32), num_levels)


def implied_codebooks(vectors: Floats, codes: Ints, track: Track = silent) -> ImpliedCodebooks:
    """`ImpliedCodebooks` of `codes` (N, L) for `vectors` (N, D); sums are formed in float64."""
    if len(vectors) != len(codes) or not codes.size:
        raise BadInput(
            f"implied codebooks want one vector an item, got {len(vectors)} vectors and codes of "
            f"shape {codes.shape}"
        )
    residuals = vectors.copy()
    used, levels = [], []
    for level in track(range(codes.shape[1]), "implied codebooks"):
        names, places = np.unique(codes[:, level], return_inverse=True)
        codewords = _means(residuals, places, len(names))
        for start in range(0, len(residuals), _ROWS):
            rows = slice(start, start + _ROWS)
            residuals[rows] -= codewords[places[rows]]
        used.append(names)
        levels.append(codewords)
    return ImpliedCodebooks(tuple(used), Codebooks(tuple(levels)))


def _means(vectors: Floats, group_of: npt.NDArray[np.int64], num_groups: int) -> Floats:
    """Mean vector (G, D) of each group; every group has a member."""
    from scipy import sparse

    sums = np.zeros((num_groups, vectors.shape[1]))
    for start in range(0, len(vectors), _ROWS):
        groups = group_of[start : start + _ROWS]
        ones = (np.ones(len(groups)), (groups, np.arange(len(groups))))
        member = sparse.csr_array(ones, shape=(num_groups, len(groups)))
        sums += member @ vectors[start : start + _ROWS].astype(np.float64)
    sums /= np.bincount(group_of, minlength=num_groups)[:, None]
    return sums.astype(np.float32)
