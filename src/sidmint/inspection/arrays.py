"""Codes in a numpy file: .npy, or .npz with one array. Nothing is unpickled."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sidmint.errors import BadInput
from sidmint.inspection.raw import RawTable, numbered_rows

_MAGIC = b"\x93NUMPY"


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


def load_array(path: Path) -> npt.NDArray[Any]:
    """The array in a .npy file, or the only one in a .npz; `BadInput` for anything else.

    A .npy file is mapped, not read: a header that claims more than the file holds is found
    out before memory is asked for.
    """
    try:
        if path.suffix.lower() == ".npz":
            return _only_array(path)
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise BadInput(f"{path} is no .npy file; write it with numpy.save")
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (ValueError, OSError, EOFError, OverflowError, MemoryError, SyntaxError) as error:
        raise BadInput(
            f"{path} is not a readable numpy array: {error}; write it with numpy.save, without "
            "Python objects"
        ) from error


def _only_array(path: Path) -> npt.NDArray[Any]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if len(arrays.files) != 1:
                raise BadInput(
                    f"{path} holds {len(arrays.files)} arrays ({', '.join(arrays.files[:8])}); "
                    "write the one with the codes to a .npy file"
                )
            return np.asarray(arrays[arrays.files[0]])
    except zipfile.BadZipFile as error:
        raise BadInput(f"{path} is not a readable .npz file: {error}") from error
