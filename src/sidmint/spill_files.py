"""Partitions in files: what `partitions.Spill` means where there is a disk.

The files are plain numbers without a header (of frames: Arrow streams, one behind another), read
back by the process that wrote them and gone when it ends; nobody is handed one.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from socket import gethostname
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import polars as pl

from sidmint.errors import StorageFailed
from sidmint.partitions import Rows


class FileSpill:
    """A `Spill` with one file a partition in `folder`; none is open between calls."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._like: npt.NDArray[Any] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def append(self, partition: int, rows: Rows) -> None:
        """Put `rows` behind those that are there. `StorageFailed` where the disk is full."""
        if self._like is None:
            self._like = np.empty((0, *rows.shape[1:]), dtype=rows.dtype)
        if (rows.dtype, rows.shape[1:]) != (self._like.dtype, self._like.shape[1:]):
            raise TypeError(f"rows of {rows.dtype} {rows.shape[1:]} beside others in one spill")
        with _storing(self._folder), self._file(partition).open("ab") as file:
            file.write(np.ascontiguousarray(rows).data)

    def read(self, partition: int, rows_at_once: int) -> Iterator[Rows]:
        """The rows in the order of their coming, so many at a time; nothing where none came."""
        path = self._file(partition)
        if self._like is None or not path.exists():
            return
        width = int(np.prod(self._like.shape[1:], dtype=np.int64))
        with path.open("rb") as file:
            while len(flat := np.fromfile(file, self._like.dtype, rows_at_once * width)):
                yield flat.reshape(-1, *self._like.shape[1:])

    def array(self, partition: int, dtype: np.dtype[Any]) -> Rows:
        """The file, mapped; an array of nothing where nothing came."""
        path = self._file(partition)
        if not path.exists():
            return np.empty(0, dtype=dtype)
        return np.memmap(path, dtype=dtype, mode="r")

    def drop(self, partition: int) -> None:
        """Remove the file."""
        self._file(partition).unlink(missing_ok=True)

    def below(self, partition: int) -> FileSpill:
        """One in a folder of this one's."""
        return FileSpill(self._folder / f"below-{partition:05d}")

    def _file(self, partition: int) -> Path:
        return self._folder / f"{partition:05d}.rows"


class FrameSpill:
    """Numbered partitions of frames, for rows that hold texts; as `FileSpill`, a file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def append(self, partition: int, frame: pl.DataFrame) -> None:
        """Put `frame` behind what is there. `StorageFailed` where the disk is full."""
        packed = BytesIO()  # Polars itself says of a full disk that the content is bad
        frame.write_ipc_stream(packed, compression="lz4")
        with _storing(self._folder), self._file(partition).open("ab") as file:
            file.write(packed.getbuffer())

    def read(self, partition: int) -> Iterator[pl.DataFrame]:
        """The frames in the order of their coming, one in memory at a time."""
        import pyarrow

        path = self._file(partition)
        if not path.exists():
            return
        with pyarrow.OSFile(str(path)) as file:
            while file.tell() < file.size():
                with pyarrow.ipc.open_stream(file) as stream:
                    yield cast(pl.DataFrame, pl.from_arrow(stream.read_all()))

    def drop(self, partition: int) -> None:
        """Remove the file."""
        self._file(partition).unlink(missing_ok=True)

    def below(self, partition: int) -> FrameSpill:
        """One in a folder of this one's."""
        return FrameSpill(self._folder / f"below-{partition:05d}")

    def _file(self, partition: int) -> Path:
        return self._folder / f"{partition:05d}.frames"


@contextmanager
def _storing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageFailed(
            f"{folder} takes no more rows ({error.strerror}); the work needs about as "
            "much room there as its rows have bytes: free some, or name another folder"
        ) from error


@contextmanager
def spilling(parent: Path) -> Iterator[FileSpill]:
    """A `FileSpill` in a new folder of `parent`, which is removed at the end whatever happens.

    A process that is killed leaves its folder; the next of its machine takes it away.
    """
    machine = re.sub(r"[^A-Za-z0-9.]", ".", gethostname())
    for left in parent.glob(f"{_PREFIX}{machine}-*"):
        if not _is_running(left.name.removeprefix(f"{_PREFIX}{machine}-").partition("-")[0]):
            shutil.rmtree(left, ignore_errors=True)
    prefix = f"{_PREFIX}{machine}-{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, dir=parent) as folder:
        yield FileSpill(Path(folder))


_PREFIX = "sidmint-spill-"


def _is_running(pid: str) -> bool:
    """Whether a process of this machine has the number, whoever it is of."""
    try:
        os.kill(int(pid), 0)
    except ValueError:
        return True  # a folder that is not named by us
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
