"""Are these vectors fit to be tokenized? What is wrong is named; what is odd is counted.

Vectors are `Rows`: an array, or rows of a file, of which a piece is in memory at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from sidmint.errors import BadInput
from sidmint.rows import Rows, mean_of, num_distinct, slices
from sidmint.types import Floats

Halves = npt.NDArray[np.float16]

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]
ItemIds = Sequence[str] | pl.Series
"""Item n's id at n. Of many items a column: a list of Python strings takes some 70 bytes an id."""


class HalfRows(Protocol):
    """(N, D) float16 that takes its rows a piece at a time: an array, or one in a file."""

    def __setitem__(self, rows: slice, values: Halves, /) -> None:
        """Put the rows of a slice in their place."""
        ...


_SAME = 1e-6
"""Spread, as a share of the norms, under which all vectors count as one."""
_MOST_LOST = 0.01
"""Float16 takes some 1e-7 of the squares of values, 1e-6 of the variance of text embeddings."""
_ROWS_AT_ONCE = 1 << 14
_NEAR_CONSTANT = 0.01
"""A dimension with less than this share of the usual deviation tells items hardly apart."""


def check_vectors(vectors: Rows, item_ids: ItemIds, name: str) -> None:
    """Raise `BadInput` unless `vectors` (N, D) are finite, not zero and not all the same."""
    check_rows(vectors, item_ids, name)
    first = vectors[:1]
    spread = max((np.abs(piece - first).max() for piece in _pieces(vectors)), default=0.0)
    if len(vectors) > 1 and spread <= _SAME * np.abs(first).max(initial=0.0):
        raise BadInput(
            f"{name}: all {len(vectors):,} items have the same vector, so no code could tell "
            "them apart; check embed.template and the encoder"
        )


def check_rows(vectors: Rows, item_ids: ItemIds, name: str) -> None:
    """Raise `BadInput` unless each of `vectors` (N, D) is finite and not zero."""
    bad, zero = _rows_where(
        vectors,
        lambda piece: np.asarray(~np.isfinite(piece).all(axis=1)),
        lambda piece: np.asarray(~piece.any(axis=1)),
    )
    if len(bad):
        raise BadInput(
            f"{name}: the vector of item {item_ids[int(bad[0])]} holds NaN or infinity "
            f"({len(bad)} such items); encode them again or remove the items"
        )
    if len(zero):
        raise BadInput(
            f"{name}: the vector of item {item_ids[int(zero[0])]} is zero ({len(zero)} such "
            "items); encode them again or remove the items"
        )


def check_rows_of(
    vectors: Floats, vector_ids: Sequence[str], item_ids: Sequence[str], name: str
) -> None:
    """`check_rows` of those `vectors` (rows, D), by `vector_ids`, that are of `item_ids`."""
    asked = set(item_ids)
    rows = [row for row, vector_id in enumerate(vector_ids) if vector_id in asked]
    check_rows(vectors[rows], [vector_ids[row] for row in rows], name)


def _pieces(vectors: Rows) -> Iterator[Floats]:
    for rows in slices(len(vectors), _ROWS_AT_ONCE):
        yield vectors[rows]


def _rows_where(vectors: Rows, *tests: Callable[[Floats], Mask]) -> list[Numbers]:
    """Numbers, rising, of the rows for which each of the tests holds; one reading for all."""
    masks = [np.zeros(len(vectors), dtype=np.bool_) for _ in tests]
    for rows in slices(len(vectors), _ROWS_AT_ONCE):
        piece = vectors[rows]
        for mask, test in zip(masks, tests, strict=True):
            mask[rows] = test(piece)
    return [np.flatnonzero(mask) for mask in masks]


def stored(vectors: Rows, item_ids: ItemIds) -> Halves:
    """`vectors` (N, D) in float16, the form on disk. Raises what `store` does."""
    halves = np.empty(vectors.shape, dtype=np.float16)
    store(vectors, item_ids, halves)
    return halves


def store(vectors: Rows, item_ids: ItemIds, into: HalfRows) -> None:
    """Put `vectors` (N, D) in float16, the form on disk, into `into`, of the same shape.

    `BadInput` where a value is too large for it, a vector so small that it becomes zero, and where
    rounding takes more than a hundredth of what tells the items apart, as with vectors that
    share an offset far larger than their spread.
    """
    mean = mean_of(vectors)
    bad, gone = (np.zeros(len(vectors), dtype=np.bool_) for _ in range(2))
    error = spread = 0.0
    for rows in slices(len(vectors), _ROWS_AT_ONCE):
        piece = vectors[rows]
        with np.errstate(over="ignore"):
            halves = piece.astype(np.float16)
        bad[rows] = ~np.isfinite(halves).all(axis=1)
        gone[rows] = ~halves.any(axis=1) & piece.any(axis=1)
        exact = piece.astype(np.float64)
        error += float(np.square(exact - halves).sum())
        spread += float(np.square(exact - mean).sum())
        into[rows] = halves + np.float16(0)  # -0 becomes 0, so that equal vectors have equal bytes
    lost = error / spread if spread else 0.0
    _require_kept(np.flatnonzero(bad), np.flatnonzero(gone), lost, item_ids)


def _require_kept(bad: Numbers, gone: Numbers, lost: float, item_ids: ItemIds) -> None:
    """`bad` rows are too large for float16, `gone` ones too small for it.

    `lost` is the squared rounding error of all as a share of their variance.
    """
    if len(bad):
        raise BadInput(
            f"the vector of item {item_ids[int(bad[0])]} has values over 65504 ({len(bad)} such "
            "items), too large for float16; set embed.unit_norm"
        )
    if len(gone):
        raise BadInput(
            f"the vector of item {item_ids[int(gone[0])]} is so small that it is zero in float16 "
            f"({len(gone)} such items); set embed.unit_norm, or bring larger vectors"
        )
    if lost > _MOST_LOST:
        raise BadInput(
            f"float16, the form on disk, would lose {lost:.0%} of what tells the vectors apart: "
            "they share an offset far larger than their spread, or are very small; subtract "
            "their mean, or set embed.unit_norm"
        )


def norms(vectors: Rows) -> npt.NDArray[np.float64]:
    """Euclidean norm of each row, summed in float64 so that no square leaves the number range."""
    squares = np.empty(len(vectors))
    for rows in slices(len(vectors), _ROWS_AT_ONCE):
        piece = vectors[rows]
        squares[rows] = np.einsum("nd,nd->n", piece, piece, dtype=np.float64)
    return np.sqrt(squares)


def summarise(
    halves: Rows, raw_norms: npt.NDArray[np.float64], texts: Sequence[str] | None
) -> dict[str, Any]:
    """What embed.json says about the stored vectors `halves` (N, D).

    `raw_norms` are the norms before any scaling. Where they follow the length of the text
    (`norm_length_correlation`, Spearman, null without texts or where the norms are equal), the
    norm measures verbosity: unscaled vectors would be clustered by it.
    """
    deviation = _deviation(halves)
    usual = float(np.sqrt(np.mean(np.square(deviation))))
    return {
        "num_items": len(halves),
        "dim": halves.shape[1],
        "num_exact_duplicates": len(halves) - num_distinct(halves),
        "near_constant_dimension_share": float((deviation < _NEAR_CONSTANT * usual).mean()),
        "norms": {
            "min": float(raw_norms.min()),
            "mean": float(raw_norms.mean()),
            "max": float(raw_norms.max()),
        },
        "norm_length_correlation": _norm_length_correlation(raw_norms, texts),
        "sha256": _sha256(halves),
    }


def _deviation(rows: Rows) -> npt.NDArray[np.float64]:
    """Standard deviation (D,) over the rows, added up in float64 in their order."""
    mean = mean_of(rows)
    squares = np.zeros_like(mean)
    for piece in _pieces(rows):
        squares += np.square(piece - mean).sum(axis=0)
    return np.sqrt(squares / len(rows))


def _sha256(rows: Rows) -> str:
    """Digest of the rows' bytes, one row behind the other."""
    digest = hashlib.sha256()
    for piece in _pieces(rows):
        digest.update(np.ascontiguousarray(piece).data)
    return digest.hexdigest()


def _norm_length_correlation(
    raw_norms: npt.NDArray[np.float64], texts: Sequence[str] | None
) -> float | None:
    # Norms equal but for rounding have an order, and it means nothing.
    if texts is None or np.ptp(raw_norms) <= 1e-3 * raw_norms.mean():
        return None
    lengths = np.array([len(text) for text in texts])
    if np.ptp(lengths) == 0:
        return None
    ranks = pl.DataFrame({"norm": raw_norms, "length": lengths})
    return float(ranks.select(pl.corr("norm", "length", method="spearman")).item())
