"""An array in a .npy file, of which a piece is in memory at a time."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from sidmint.disk import storing
from sidmint.rows import Index


@dataclass(frozen=True)
class ArrayFile:
    """The rows of an array (N, D) in the file `path`: read and written like those of an array.

    The file is mapped anew for every piece, so that memory holds the pages of that piece alone:
    of one mapping those pages would count that were ever touched.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def make(cls, path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Self:
        """A new file of zeros; written to the end it has the bytes that `numpy.save` would give.

        Its room is taken at once: on a disk that filled up later, a write through a mapping would
        end the process. `StorageFailed` where there is no room.
        """
        made = cls(path, shape, np.dtype(dtype))
        with storing(path.parent, "Nothing of it stays"):
            np.lib.format.open_memmap(path, "w+", made.dtype, shape)
            num_bytes = math.prod(shape) * made.dtype.itemsize
            if num_bytes and hasattr(os, "posix_fallocate"):
                with path.open("r+b") as file:
                    begin = path.stat().st_size - num_bytes
                    os.posix_fallocate(file.fileno(), begin, num_bytes)
        return made

    @classmethod
    def of(cls, path: Path) -> Self:
        """The array in a file that is there and is known to be one."""
        there = np.lib.format.open_memmap(path, "r")
        return cls(path, there.shape, there.dtype)

    def __len__(self) -> int:
        """N."""
        return self.shape[0]

    def __getitem__(self, rows: Index, /) -> npt.NDArray[Any]:
        """A copy of the rows of a slice, or of those with these numbers (n,)."""
        return np.array(self._mapped("r")[rows])

    def __setitem__(self, rows: Index, values: npt.NDArray[Any], /) -> None:
        """Put these rows in their place in the file."""
        self._mapped("r+")[rows] = values

    def _mapped(self, mode: Any) -> npt.NDArray[Any]:
        return np.lib.format.open_memmap(self.path, mode)
