"""Arrays in numpy files: .npy, or .npz with one array. Nothing is unpickled, nothing is believed.

A header says how large the array is, and a small file may claim any size: what is claimed is held
against what is there before memory is asked for.
"""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from sidmint.errors import BadInput
from sidmint.outside import RAISED
from sidmint.sources.packed import require_bounded

_MAGIC = b"\x93NUMPY"


def load_array(path: Path, name: str | None = None) -> npt.NDArray[Any]:
    """The array in a .npy file, or the only one in a .npz; `name` stands for it in errors.

    A .npy file is mapped, not read. Raises `BadInput` for Python objects, for a header that claims
    more than the file holds, for an archive that unpacks to far more than its size, and for
    anything else that is no numpy file.
    """
    name = str(path) if name is None else name
    try:
        if path.suffix.lower() == ".npz":
            return _only_array(path, name)
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise BadInput(f"{name} is no .npy file; write it with numpy.save")
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except zipfile.BadZipFile as error:
        raise BadInput(f"{name} is not a readable .npz file: {error}") from error
    except (ValueError, TypeError, OSError, SyntaxError, NotImplementedError, *RAISED) as error:
        raise BadInput(
            f"{name} is not a readable numpy array: {error}; write it with numpy.save, without "
            "Python objects"
        ) from error


def _only_array(path: Path, name: str) -> npt.NDArray[Any]:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) != 1:
            names = ", ".join(each.filename.removesuffix(".npy") for each in members[:8])
            raise BadInput(
                f"{name} holds {len(members)} arrays ({names}); write the one that is meant to a "
                ".npy file"
            )
        require_bounded(members[0], path)
        with archive.open(members[0]) as file:
            _require_as_claimed(file, members[0].file_size)
        with archive.open(members[0]) as file:
            return np.asarray(np.lib.format.read_array(file, allow_pickle=False))


def _require_as_claimed(file: IO[bytes], num_bytes: int) -> None:
    """Raise `ValueError` where the header claims another size than `num_bytes` can hold."""
    of_first = np.lib.format.read_magic(file) == (1, 0)
    read = np.lib.format.read_array_header_1_0 if of_first else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    claimed = math.prod(shape) * dtype.itemsize
    if not dtype.hasobject and claimed > num_bytes:
        raise ValueError(f"its header claims {claimed:,} bytes of numbers, it has {num_bytes:,}")
