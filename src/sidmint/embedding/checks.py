"""Are these vectors fit to be tokenized? What is wrong is named; what is odd is counted."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from sidmint.errors import BadInput
from sidmint.types import Floats

Halves = npt.NDArray[np.float16]

_SAME = 1e-6
"""Spread, as a share of the norms, under which all vectors count as one."""
_MOST_LOST = 0.01
"""Float16 takes some 1e-7 of the squares of values, 1e-6 of the variance of text embeddings."""
_ROWS_AT_ONCE = 1 << 14
_NEAR_CONSTANT = 0.01
"""A dimension with less than this share of the usual deviation tells items hardly apart."""


def check_vectors(vectors: Floats, item_ids: Sequence[str], name: str) -> None:
    """Raise `BadInput` unless `vectors` (N, D) are finite, not zero and not all the same."""
    check_rows(vectors, item_ids, name)
    spread = np.abs(vectors - vectors[:1]).max(initial=0.0)
    if len(vectors) > 1 and spread <= _SAME * np.abs(vectors[:1]).max(initial=0.0):
        raise BadInput(
            f"{name}: all {len(vectors):,} items have the same vector, so no code could tell "
            "them apart; check embed.template and the encoder"
        )


def check_rows(vectors: Floats, item_ids: Sequence[str], name: str) -> None:
    """Raise `BadInput` unless each of `vectors` (N, D) is finite and not zero."""
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise BadInput(
            f"{name}: the vector of item {item_ids[bad[0]]} holds NaN or infinity "
            f"({len(bad)} such items); encode them again or remove the items"
        )
    zero = np.flatnonzero(~vectors.any(axis=1))
    if len(zero):
        raise BadInput(
            f"{name}: the vector of item {item_ids[zero[0]]} is zero ({len(zero)} such items); "
            "encode them again or remove the items"
        )


def check_rows_of(
    vectors: Floats, vector_ids: Sequence[str], item_ids: Sequence[str], name: str
) -> None:
    """`check_rows` of those `vectors` (rows, D), by `vector_ids`, that are of `item_ids`."""
    asked = set(item_ids)
    rows = [row for row, vector_id in enumerate(vector_ids) if vector_id in asked]
    check_rows(vectors[rows], [vector_ids[row] for row in rows], name)


def stored(vectors: Floats, item_ids: Sequence[str]) -> Halves:
    """`vectors` in float16, the form on disk.

    `BadInput` where a value is too large for it, a vector so small that it becomes zero, and where
    rounding takes more than a hundredth of what tells the items apart, as with vectors that
    share an offset far larger than their spread.
    """
    with np.errstate(over="ignore"):
        halves = vectors.astype(np.float16)
    bad = np.flatnonzero(~np.isfinite(halves).all(axis=1))
    if len(bad):
        raise BadInput(
            f"the vector of item {item_ids[bad[0]]} has values over 65504 ({len(bad)} such "
            "items), too large for float16; set embed.unit_norm"
        )
    gone = np.flatnonzero(~halves.any(axis=1) & vectors.any(axis=1))
    if len(gone):
        raise BadInput(
            f"the vector of item {item_ids[gone[0]]} is so small that it is zero in float16 "
            f"({len(gone)} such items); set embed.unit_norm, or bring larger vectors"
        )
    lost = _lost_share(vectors, halves)
    if lost > _MOST_LOST:
        raise BadInput(
            f"float16, the form on disk, would lose {lost:.0%} of what tells the vectors apart: "
            "they share an offset far larger than their spread, or are very small; subtract "
            "their mean, or set embed.unit_norm"
        )
    return halves + np.float16(0)  # -0 becomes 0, so that equal vectors have equal bytes


def _lost_share(vectors: Floats, halves: Halves) -> float:
    """Squared rounding error of `halves` as a share of the variance of `vectors`, in pieces."""
    mean = vectors.mean(axis=0, dtype=np.float64)
    error = spread = 0.0
    for start in range(0, len(vectors), _ROWS_AT_ONCE):
        exact = vectors[start : start + _ROWS_AT_ONCE].astype(np.float64)
        error += float(np.square(exact - halves[start : start + _ROWS_AT_ONCE]).sum())
        spread += float(np.square(exact - mean).sum())
    return error / spread if spread else 0.0


def norms(vectors: Floats) -> npt.NDArray[np.float64]:
    """Euclidean norm of each row, summed in float64 so that no square leaves the number range."""
    squares: npt.NDArray[np.float64] = np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64)
    return np.sqrt(squares)


def summarise(
    halves: Halves, raw_norms: npt.NDArray[np.float64], texts: Sequence[str] | None
) -> dict[str, Any]:
    """What embed.json says about the stored vectors `halves` (N, D).

    `raw_norms` are the norms before any scaling. Where they follow the length of the text
    (`norm_length_correlation`, Spearman, null without texts or where the norms are equal), the
    norm measures verbosity: unscaled vectors would be clustered by it.
    """
    deviation = halves.astype(np.float32).std(axis=0)
    usual = float(np.sqrt(np.mean(np.square(deviation))))
    return {
        "num_items": len(halves),
        "dim": halves.shape[1],
        "num_exact_duplicates": len(halves) - _num_distinct(halves),
        "near_constant_dimension_share": float((deviation < _NEAR_CONSTANT * usual).mean()),
        "norms": {
            "min": float(raw_norms.min()),
            "mean": float(raw_norms.mean()),
            "max": float(raw_norms.max()),
        },
        "norm_length_correlation": _norm_length_correlation(raw_norms, texts),
        "sha256": hashlib.sha256(np.ascontiguousarray(halves).tobytes()).hexdigest(),
    }


def _num_distinct(halves: Halves) -> int:
    rows = np.ascontiguousarray(halves)
    return len({row.tobytes() for row in rows})


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
