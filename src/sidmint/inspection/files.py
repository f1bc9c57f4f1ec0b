"""What kind of file a table made elsewhere is: by its suffix, and by what stands in it."""

from __future__ import annotations

from pathlib import Path

from sidmint.errors import BadInput
from sidmint.inspection.arrays import read_array
from sidmint.inspection.columns import read_columns
from sidmint.inspection.index import NotOneDocument, read_index
from sidmint.inspection.raw import RawTable
from sidmint.sources.frames import read_frame
from sidmint.sources.lines import read_json_lines

FORMATS = ".parquet, .csv, .tsv, .jsonl, .json (an index), .npy or .npz"
_FRAMES = (".parquet", ".pq", ".csv", ".tsv", ".jsonl", ".ndjson")


def read_table(path: Path) -> RawTable:
    """The items and numbers in `path`; `BadInput` for what is missing, empty or no such table."""
    require_file(path)
    suffix = path.suffix.lower()
    if suffix == ".gz":
        suffix = Path(path.stem).suffix.lower()
        if suffix not in _FRAMES:
            raise BadInput(f"{path} is packed, which only tables of text may be; unpack it")
    if suffix in (".npy", ".npz"):
        return read_array(path)
    if suffix == ".json":
        try:
            return read_index(path)
        except NotOneDocument:
            return read_columns(read_json_lines(path), str(path))
    if suffix in _FRAMES:
        return read_columns(read_frame(path), str(path))
    raise BadInput(f"{path} is of no known format; give {FORMATS}")


def require_file(path: Path) -> None:
    """Raise `BadInput` where `path` is no file, or an empty one."""
    if path.is_dir():
        raise BadInput(f"{path} is a folder; give one file: {FORMATS}")
    if not path.is_file():
        raise BadInput(f"{path} is not there; check the path")
    if path.stat().st_size == 0:
        raise BadInput(f"{path} is empty; write it again")
