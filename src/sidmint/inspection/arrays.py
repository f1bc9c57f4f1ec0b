"""Codes in a numpy file: .npy, or .npz with one array. Nothing is unpickled."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sidmint.errors import BadInput
from sidmint.inspection.raw import RawTable, numbered_rows
from sidmint.sources.arrays import load_array


def read_array(path: Path) -> RawTable:
    """Codes (N, M) of a numpy file; the items are its rows, counted from 0."""
    codes = load_array(path)
    if codes.dtype.kind not in "iu" or codes.ndim != 2 or 0 in codes.shape:
        raise BadInput(
            f"{path} holds {codes.dtype} of shape {codes.shape}; codes are whole numbers of shape "
            "(items, levels). Vectors go in with --vectors"
        )
    if codes.dtype == np.uint64:
        codes = np.minimum(codes, np.uint64(2**63 - 1))  # named as too large, not wrapped round
    return RawTable(
        name=str(path),
        item_ids=numbered_rows(len(codes)),
        numbers=codes.astype(np.int64),
        found=f"{codes.shape[1]} columns of an array; its rows, from 0, are the item ids",
    )
