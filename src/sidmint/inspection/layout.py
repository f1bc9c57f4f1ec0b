"""What the numbers of a table mean: level offsets, a suffix at the end, sizes of the codebooks.

Everything here is a reading, so it is said beside the figures and each one can be forced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from sidmint.diagnostics.prefixes import prefix_order
from sidmint.errors import BadInput
from sidmint.inspection.raw import RawTable
from sidmint.inspection.texts import Matrix
from sidmint.types import Codes, Ints

MOST_CODES = 2**25
"""Codes of all levels together: usage is counted for each, used or not (256 MB)."""

_COUNTED_FOR_AN_ITEM = 1.25
"""A suffix counts 1 an item, and more where rows were taken out after it was given."""
_GAPS = 0.1
"""Levels of several sizes lie end to end but for this share of dead codes between them."""

SizesFrom = Literal["given", "offsets", "seen"]


@dataclass(frozen=True)
class CodeTable:
    """N items with codes from 0, and how that was made of the numbers of a file.

    `suffixes` (N,) is the column that was set aside, None where there is none. `offsets` has the
    number subtracted at each level. `sizes_from` says where the sizes come from: "given",
    "offsets" (the distance of two levels), or "seen": the largest code in use and 1. Sizes that
    are only seen are a lower bound: codes above the largest one in use do not show.
    """

    name: str
    item_ids: pl.Series
    titles: pl.Series | None
    codes: Codes
    suffixes: Ints | None
    offsets: tuple[int, ...]
    sizes_from: SizesFrom
    notes: tuple[str, ...]

    @property
    def as_published(self) -> Ints | None:
        """Whole ids, (N, L) or (N, L + 1); None where the table shows no resolved ids.

        Without a suffix, rows that repeat are codes before resolution: what will be published
        of them is not in the table.
        """
        values = self.codes.values
        if self.suffixes is not None:
            return np.column_stack([values, self.suffixes])
        return None if (prefix_order(values).sizes(values.shape[1]) > 1).any() else values


def lay_out(
    raw: RawTable, sizes: Sequence[int] | None = None, suffix: bool | None = None
) -> CodeTable:
    """`raw` as codes from 0 to size - 1 a level, with a note for everything that was read into it.

    `sizes` are those of the codebooks, one for all levels or one a level; `suffix` says whether
    the last number is one, None to find out. Raises `BadInput` where the two do not fit the table.
    """
    num_levels, suffix_words = _count_levels(raw, sizes, suffix)
    numbers, notes = raw.numbers[:, :num_levels], [raw.found]
    given = _given_sizes(sizes, num_levels, raw.name)
    offsets, period = find_offsets(numbers, given)
    if any(offsets):
        notes.append(_offset_words(offsets))
    codes = numbers - np.array(offsets)
    sizes_used, sizes_from = _sizes(codes, given, period, raw)
    notes.append(_size_words(sizes_used, sizes_from))
    suffixes = None
    if num_levels < raw.numbers.shape[1]:
        suffixes = raw.numbers[:, -1].astype(np.int32)
        notes.append(f"the last column is a suffix ({suffix_words}): left out of all but the ids")
    return CodeTable(
        name=raw.name,
        item_ids=raw.item_ids,
        titles=raw.titles,
        codes=Codes(np.ascontiguousarray(codes, dtype=np.int32), sizes_used),
        suffixes=suffixes,
        offsets=offsets,
        sizes_from=sizes_from,
        notes=tuple(notes),
    )


def is_suffix(numbers: Matrix) -> bool:
    """Whether the last of `numbers` (N, M) only tells apart the items that share all the others.

    It does if no two items of such a bucket have the same one, and if it counts them: over all
    buckets the largest numbers, counted from the smallest of the column, are hardly more than
    the items (a few are allowed for rows that were filtered out later). It begins at 0 or 1, or
    beyond all codes where levels are offset. A level with codes of its own gives most single
    items a number far from that. Where both readings fit, as when every combination of codes
    occurs, it is called a suffix: the other reading would let a collapsed table pass for one
    without collisions.
    """
    if numbers.shape[1] < 2:
        return False
    base = int(numbers[:, -1].min())
    if base > 1 and base <= numbers[:, :-1].max():
        return False
    last = numbers[:, -1] - base
    order = prefix_order(numbers)  # type: ignore[arg-type]
    if len(order.starts(numbers.shape[1])) < len(numbers):
        return False
    ends = np.append(order.starts(numbers.shape[1] - 1)[1:], len(numbers)) - 1
    num_counted = int(last[order.rows[ends]].sum()) + len(ends)
    return num_counted <= _COUNTED_FOR_AN_ITEM * len(numbers)


def find_offsets(
    numbers: Matrix, sizes: tuple[int, ...] | None
) -> tuple[tuple[int, ...], int | None]:
    """What to subtract a level so that codes begin at 0, and K where the levels lie K apart.

    With `sizes`, nothing where the numbers fit as they are; else the running sum of the sizes
    (also from the smallest number on), or 1, where they then fit. Without, levels are offset if
    their ranges do not meet and rise: by l * K if one K explains all levels (a power of two where
    the ranges leave a choice), else by the smallest number of each if they lie end to end.
    Numbers that run from 1 to a power of two count from 1.
    """
    low, high = numbers.min(axis=0), numbers.max(axis=0)
    none, levels = (0,) * len(low), np.arange(len(low))
    if sizes is not None:
        tried = _candidates(sizes, int(low[0]))
        return next((each for each in tried if _fits(low, high, each, sizes)), none), None
    if len(low) > 1 and (low[1:] > high[:-1]).all():
        period = _period(low, high)
        if period is not None:
            return tuple((levels * period).tolist()), period
        gaps = int((low[1:] - high[:-1] - 1).sum())
        if (high > low).all() and gaps <= _GAPS * (high[-1] - low[0]):
            return tuple(low.tolist()), None
    if (low == 1).all() and _is_power_of_two(int(high.max())):
        return (1,) * len(low), None
    return none, None


def _candidates(sizes: tuple[int, ...], smallest: int) -> list[tuple[int, ...]]:
    sums = [0, *np.cumsum(sizes)[:-1].tolist()]
    flat = [(0,) * len(sizes), (1,) * len(sizes)]
    return [flat[0], tuple(sums), flat[1], tuple(smallest + each for each in sums)]


def _fits(
    low: npt.NDArray[np.int64],
    high: npt.NDArray[np.int64],
    offsets: tuple[int, ...],
    sizes: tuple[int, ...],
) -> bool:
    return bool((low >= offsets).all() and (high - offsets < sizes).all())


def _period(low: npt.NDArray[np.int64], high: npt.NDArray[np.int64]) -> int | None:
    """The K with l * K <= low and high < (l + 1) * K at every level l, None if there is none.

    Of several a power of two; else the largest, in which the smallest number of a level is its 0.
    """
    levels = np.arange(len(low))
    smallest = int((high // (levels + 1)).max()) + 1
    largest = int((low[1:] // levels[1:]).min())
    if largest < max(smallest, 2):
        return None
    power = 1 << (smallest - 1).bit_length()
    return power if power <= largest else largest


def _count_levels(
    raw: RawTable, sizes: Sequence[int] | None, suffix: bool | None
) -> tuple[int, str]:
    """Levels of codes, and how it was found that the last number is a suffix (if it is one)."""
    num_columns = raw.numbers.shape[1]
    if suffix is not None:
        if suffix and num_columns < 2:
            raise BadInput(
                f"{raw.name} has one number an item, so it has no suffix; leave --suffix out"
            )
        return num_columns - suffix, "--suffix says so"
    if sizes is not None and len(sizes) == num_columns > 1:
        return num_columns, ""
    if raw.last_is_suffix:
        return num_columns - 1, "by its name"
    words = "it counts 0, 1, 2 ... within a code; --no-suffix to read it as a level"
    return num_columns - is_suffix(raw.numbers), words


def _given_sizes(sizes: Sequence[int] | None, num_levels: int, name: str) -> tuple[int, ...] | None:
    if sizes is None:
        return None
    given = tuple(sizes) * num_levels if len(sizes) == 1 else tuple(sizes)
    if len(given) != num_levels or min(given) < 1:
        raise BadInput(
            f"--sizes {','.join(map(str, sizes))} does not fit {name} with {num_levels} levels of "
            "codes; give one size of at least 1 a level, or one for all, and --suffix where the "
            "last number only tells apart items of one code"
        )
    return given


def _sizes(
    codes: Matrix, given: tuple[int, ...] | None, period: int | None, raw: RawTable
) -> tuple[tuple[int, ...], SizesFrom]:
    num_levels = codes.shape[1]
    if given is not None:
        _require_inside(codes, given, raw)
        sizes: tuple[int, ...] = given
    elif period is not None:
        sizes = (period,) * num_levels
    else:
        sizes = tuple((codes.max(axis=0) + 1).tolist())
    if sum(sizes) > MOST_CODES:
        level = int(np.argmax(sizes))
        raise BadInput(
            f"{raw.name}: level {level + 1} would be a codebook of {sizes[level]:,} codes, and all "
            f"levels together are read up to {MOST_CODES:,}; is a column of ids taken for codes?"
        )
    return sizes, "given" if given else "offsets" if period else "seen"


def _require_inside(codes: Matrix, sizes: tuple[int, ...], raw: RawTable) -> None:
    outside = np.argwhere((codes >= sizes) | (codes < 0))
    if len(outside):
        row, level = outside[0].tolist()
        raise BadInput(
            f"{raw.name}: item {raw.item_ids[row]} (row {row + 1}) has "
            f"{raw.numbers[row, level]} at level {level + 1}, which --sizes gives {sizes[level]} "
            f"codes, 0 to {sizes[level] - 1} ({len(outside):,} such codes); give the sizes that "
            "the tokenizer was trained with"
        )


def _offset_words(offsets: tuple[int, ...]) -> str:
    shown = ", ".join(str(offset) for offset in offsets)
    if set(offsets) == {1}:
        return "codes count from 1: 1 was subtracted"
    return f"codes are offset by level: {shown} were subtracted"


def _size_words(sizes: tuple[int, ...], origin: SizesFrom) -> str:
    shown = " x ".join(str(size) for size in sizes)
    return {
        "given": f"sizes {shown}, as --sizes says",
        "offsets": f"sizes {shown}, the distance of two levels",
        "seen": (
            f"sizes {shown}, the largest code in use and 1: dead codes above it cannot be seen, so "
            "shares of a codebook are the best they can be; --sizes makes them true"
        ),
    }[origin]


def _is_power_of_two(number: int) -> bool:
    return number > 1 and number & (number - 1) == 0
