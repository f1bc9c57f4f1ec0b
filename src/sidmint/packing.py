"""Rows of codes as integers that sort as the rows do, so that one sort groups every prefix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sidmint.errors import BadInput

CodeArray = npt.NDArray[np.integer[Any]]
"""Codes of any integer type, in memory or in a file (`np.memmap`)."""
Keys = npt.NDArray[np.uint64]

KEY_BITS = 64
"""Of a key; levels that need more are packed in groups, see `level_groups`."""

_CODE_BITS = 32
"""Most of one level: with the rank of a row, which needs no more, it fits a key."""

ROWS_AT_ONCE = 1 << 17
"""Rows read at a time: what is made of them stays in cache, whatever N is."""


def bits_of_levels(codes: CodeArray) -> tuple[int, ...]:
    """Bits that hold every code of each level of `codes` (N, L); at least one."""
    if codes.ndim != 2 or codes.size == 0 or not np.issubdtype(codes.dtype, np.integer):
        raise BadInput(
            "codes want to be integers of at least one row and one level, got an array of shape "
            f"{codes.shape} and type {codes.dtype}"
        )
    low, highest = 0, [0] * codes.shape[1]
    for start in range(0, len(codes), ROWS_AT_ONCE):
        piece = codes[start : start + ROWS_AT_ONCE]
        low = min(low, int(piece.min()))
        highest = [
            max(top, int(column.max())) for top, column in zip(highest, piece.T, strict=True)
        ]
    if low < 0 or max(highest) >> _CODE_BITS:
        raise BadInput(
            f"codes want to lie from 0 to 2^{_CODE_BITS} - 1, got {low} to {max(highest)}; number "
            "the codewords of each level from 0"
        )
    return tuple(max(1, top.bit_length()) for top in highest)


def level_groups(bits: Sequence[int], num_items: int) -> tuple[range, ...]:
    """Consecutive levels whose codes fit one key together; beside a rank, from the second on.

    One group is enough for four levels of 65,536 codes. In later groups what went before is
    the rank of a row's prefix, which needs the bits of `num_items`.
    """
    groups: list[range] = []
    first, room = 0, KEY_BITS
    for level, width in enumerate(bits):
        if width > room:
            groups.append(range(first, level))
            first, room = level, KEY_BITS - num_items.bit_length()
        room -= width
    return (*groups, range(first, len(bits)))


def append_levels(keys: Keys, codes: CodeArray, levels: range, bits: Sequence[int]) -> None:
    """Shift `keys` (N,) and put the codes of `levels` behind what they hold, in place."""
    for start in range(0, len(codes), ROWS_AT_ONCE):
        key, piece = keys[start : start + ROWS_AT_ONCE], codes[start : start + ROWS_AT_ONCE]
        for level in levels:
            key <<= np.uint64(bits[level])
            key |= piece[:, level].astype(np.uint64)


def words(codes: CodeArray, sizes: Sequence[int]) -> Keys:
    """`codes` (n, L) as (n, W) whole numbers of 64 bits that sort as the rows do, first word first.

    `sizes` are the rows of each codebook: with them, words of one block compare with those of
    another, as keys packed by the codes at hand would not. W is 1 up to four levels of 65,536
    codes. A code outside its codebook gives the word of another row: check codes before.
    """
    bits, groups = _fixed_groups(sizes)
    packed: Keys = np.zeros((len(codes), len(groups)), dtype=np.uint64)
    for word, levels in enumerate(groups):
        append_levels(packed[:, word], codes, levels, bits)
    return packed


def num_words(sizes: Sequence[int]) -> int:
    """W, the words of a row of codes."""
    return len(_fixed_groups(sizes)[1])


def _fixed_groups(sizes: Sequence[int]) -> tuple[list[int], tuple[range, ...]]:
    """Bits of each level by its codebook, and the levels of each word."""
    bits = [max(1, (size - 1).bit_length()) for size in sizes]
    return bits, level_groups(bits, num_items=0)


def rank(keys: Keys, ordered: Keys) -> None:
    """Put in place of each key its place among all keys, `ordered`: the order is kept."""
    for start in range(0, len(keys), ROWS_AT_ONCE):
        piece = keys[start : start + ROWS_AT_ONCE]
        piece[:] = np.searchsorted(ordered, piece)
