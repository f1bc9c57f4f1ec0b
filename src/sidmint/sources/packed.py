"""Files as they are stored: plain, .gz, .zst, or a .zip of one file."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path, PurePath
from typing import IO, Any, cast

from sidmint.errors import BadInput

_GZIP, _ZSTD, _ZIP = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04"

_SMALL, _MOST_TIMES = 64 << 20, 100
"""An archive may unpack to so many bytes at least, and to so many times its size."""
_PIECE = 1 << 20


def kind_of(path: Path) -> str:
    """The suffix that says what the content is, in lower case: ".csv" of items.csv.gz.

    Of a .zip it is that of the file inside.
    """
    match path.suffix.lower():
        case ".gz" | ".zst":
            return PurePath(path.stem).suffix.lower()
        case ".zip":
            with path.open("rb") as file:
                return PurePath(_only_member(file, path).filename).suffix.lower()
    return path.suffix.lower()


def is_packed(path: Path) -> bool:
    """Whether bytes of the file are not those of its content, told by its first bytes.

    One named .gz, .zst or .zip that does not begin like such is packed too: it is damaged.
    """
    with path.open("rb") as file:
        begins = file.read(4)
    named = path.suffix.lower() in (".gz", ".zst", ".zip")
    return named or begins.startswith((_GZIP, _ZSTD, _ZIP))


def opened(path: Path) -> IO[bytes]:
    """The content of `path` as a stream of bytes, unpacked as it is read.

    Raises `BadInput` for a .zip that holds no file, or more than one, and for what unpacks to far
    more than data do; a damaged file raises `OSError`, `EOFError` or `zlib.error` as it is read.
    """
    with path.open("rb") as file:
        begins = file.read(4)
    suffix = path.suffix.lower()
    if stream := _stream(path, begins):
        _require_bounded_stream(path)
        return stream
    if begins.startswith(_ZIP) or suffix == ".zip":
        return _zip(path)
    return path.open("rb")


def readable(path: Path) -> Path | bytes:
    """What Polars can read of `path`: it unpacks gzip and zstd itself, a .zip it does not."""
    with path.open("rb") as file:
        begins = file.read(4)
    if begins == _ZIP or path.suffix.lower() == ".zip":
        return opened(path).read()
    if stream := _stream(path, begins):
        stream.close()
        _require_bounded_stream(path)
    return path


def _stream(path: Path, begins: bytes) -> IO[bytes] | None:
    """The unpacked content of a .gz or .zst, None of other files."""
    suffix = path.suffix.lower()
    if begins.startswith(_GZIP) or suffix == ".gz":
        return cast(IO[bytes], gzip.open(path, "rb"))
    if begins.startswith(_ZSTD) or suffix == ".zst":
        return _zstd(path)
    return None


def _require_bounded_stream(path: Path) -> None:
    """`require_bounded` for a .gz or .zst, which does not say how long its content is.

    It is unpacked once for that, a piece at a time and no farther than the bound. What is damaged
    is left to whoever reads it.
    """
    stat = path.stat()
    most = max(_SMALL, _MOST_TIMES * stat.st_size)
    try:
        is_bounded = _unpacks_to_at_most(path, most, stat.st_mtime_ns)
    except (OSError, EOFError, zlib.error):
        return
    if not is_bounded:
        raise BadInput(
            f"{path} has {stat.st_size:,} bytes and unpacks to more than {most:,}, {_MOST_TIMES} "
            "times as many or more; unpack it yourself if you trust it, and give the file inside"
        )


@lru_cache(maxsize=16)
def _unpacks_to_at_most(path: Path, most: int, changed_ns: int) -> bool:
    """`changed_ns` tells a file that was written again from the one that was looked at."""
    with path.open("rb") as file:
        stream = _stream(path, file.read(4))
    if stream is None:
        return True
    num_bytes = 0
    with stream:
        while piece := stream.read(_PIECE):
            num_bytes += len(piece)
            if num_bytes > most:
                return False
    return True


def _zstd(path: Path) -> IO[bytes]:
    import pyarrow

    stream: Any = pyarrow.input_stream(str(path), compression="zstd")
    return io.BufferedReader(stream)


def require_bounded(member: zipfile.ZipInfo, path: Path) -> None:
    """Raise `BadInput` where a member of an archive unpacks to far more than data do.

    Text packs to a tenth, small whole numbers to a twentieth; what packs to less than a
    hundredth is made to fill the memory, or holds one value alone.
    """
    if member.file_size > max(_SMALL, _MOST_TIMES * member.compress_size):
        raise BadInput(
            f"{path} has {member.compress_size:,} bytes and claims to unpack to "
            f"{member.file_size:,}, more than {_MOST_TIMES} times as many; unpack it yourself if "
            "you trust it, and give the file inside"
        )


def _zip(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        name = _only_member(file, path)
        require_bounded(name, path)
        with zipfile.ZipFile(file) as archive:
            # Read whole: a stream into the archive would end with it.
            return io.BytesIO(archive.read(name))


def _only_member(file: IO[bytes], path: Path) -> zipfile.ZipInfo:
    """The one file of an archive; what a Mac adds beside it does not count."""
    try:
        members = zipfile.ZipFile(file).infolist()
    except zipfile.BadZipFile as error:
        raise BadInput(f"{path} is no readable .zip file: {error}; pack it again") from error
    files = [
        each
        for each in members
        if not each.is_dir() and not each.filename.startswith(("__MACOSX/", "."))
    ]
    if len(files) != 1:
        names = ", ".join(each.filename for each in files[:5]) or "none"
        raise BadInput(f"{path} holds {len(files)} files ({names}); a .zip wants one table in it")
    if files[0].flag_bits & 0x1:
        raise BadInput(f"{path} is locked with a password; unpack it first")
    return files[0]
