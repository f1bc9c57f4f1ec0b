"""Codes of a retrained tokenizer under the names that its champion gave them.

Shape letters: N items that both tables have, L levels, K codes of a level.

The numbers of a codebook mean nothing: a tokenizer trained again may find the same clusters and
number them otherwise, and to who reads ids every one of them is new.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sidmint.errors import BadInput
from sidmint.types import Ints

Names = tuple[npt.NDArray[np.int32], ...]
"""One permutation a level: `names[l][k]` is what code k of level l + 1 is called from now on."""


def alignment(champion: Ints, candidate: Ints, sizes: Sequence[int]) -> Names:
    """The renaming of each level's codes that lets most items keep the champion's code.

    Level by level: the one-to-one matching that maximises the items of both tables (rows; both
    (N, L)) whose code is the same afterwards (Hungarian method on the table of code pairs). Each
    level by itself, since residual levels share one codebook over all prefixes. `sizes` are the
    candidate's codebooks; codes that share no item keep their names where these are free. About 25
    bytes for each pair of an old and a new code in use: 0.4 GB at 4,096.
    """
    if champion.shape != candidate.shape or candidate.ndim != 2 or candidate.size == 0:
        raise BadInput(
            f"alignment wants two code tables of one shape, got {champion.shape} and "
            f"{candidate.shape}; keep the items that both versions have, in one order"
        )
    each = np.ones(len(champion), dtype=np.int64)
    return tuple(
        names_of_pairs(champion[:, level], candidate[:, level], each, size)
        for level, size in enumerate(sizes)
    )


def renamed(codes: Ints, names: Names) -> Ints:
    """`codes` (N, L) under `names`; equal codes stay equal, different ones different."""
    return np.stack([each[codes[:, level]] for level, each in enumerate(names)], axis=1)


def names_of_pairs(
    champion: Ints, candidate: Ints, counts: npt.NDArray[np.int64], size: int
) -> npt.NDArray[np.int32]:
    """`alignment` of one level whose items are counted: `counts` (n,) have those two codes (n,)."""
    from scipy.optimize import linear_sum_assignment

    named = champion < size  # a larger champion's further codes are no names in this codebook
    names = np.full(size, -1, dtype=np.int32)
    ours, our_row = np.unique(candidate[named], return_inverse=True)
    theirs, their_row = np.unique(champion[named], return_inverse=True)
    together: npt.NDArray[np.int64] = np.zeros((len(ours), len(theirs)), dtype=np.int64)
    np.add.at(together, (our_row, their_row), counts[named])
    # An item kept outweighs all names kept; among equals a name of its own is one more.
    weights = together * (size + 1) + (ours[:, None] == theirs)
    rows, columns = linear_sum_assignment(weights, maximize=True)
    shared = together[rows, columns] > 0
    names[ours[rows[shared]]] = theirs[columns[shared]]
    _name_the_rest(names)
    return names


def _name_the_rest(names: npt.NDArray[np.int32]) -> None:
    """Codes without a name (-1) keep their own where it is free; the others take what is left."""
    every = np.arange(len(names), dtype=np.int32)
    own = (names < 0) & ~np.isin(every, names)
    names[own] = every[own]
    names[names < 0] = np.setdiff1d(every, names)
