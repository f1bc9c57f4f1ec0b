"""Read and write what stages hand to each other. Nobody else opens a file under data/build.

A stage writes all of its folder or nothing: files go to a hidden folder beside it,
which takes the stage's place only when the stage has ended well. Everything written
is deterministic: no timestamps, JSON with sorted keys, Parquet in the row order given
(callers sort by key first).
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from safetensors.numpy import save as save_tensors

from sidmint.array_files import ArrayFile
from sidmint.catalogue.id_rows import IdRows
from sidmint.contracts import Interactions, Items, PairsTable, require_columns
from sidmint.errors import BadInput, SidmintError
from sidmint.execution.checking import open_shards
from sidmint.execution.shards import Shards
from sidmint.execution.splitting import with_whole_keys
from sidmint.execution.writing import ShardWriter
from sidmint.json_text import dump_json
from sidmint.layout import Layout, safe_name
from sidmint.neighbours import load_index, save_index
from sidmint.rows import Rows, as_float32, rows_made
from sidmint.types import Embeddings, Floats, Ints, Pairs


@dataclass(frozen=True)
class StageWriter:
    """What a stage may write into `folder`; made by `Artifacts.writing`."""

    folder: Path

    def table(self, name: str, frame: pl.DataFrame) -> None:
        """Write `name`.parquet. Sort by key before: row order is part of the bytes."""
        frame.write_parquet(self._file(name, "parquet"), compression="zstd", statistics=True)

    def parts(self, name: str, key: str, unique: bool = True) -> ShardWriter:
        """Writes `name` as a folder of parts, sorted by `key`; whoever asks says begin and finish.

        For tables of more than `execution.shard_rows` rows. Readers do not care which it is.
        """
        return ShardWriter(self.folder / safe_name(name, "artefact"), key, unique)

    def array(self, name: str, values: npt.NDArray[Any]) -> None:
        """Write `name`.npy; object arrays are refused (they would be pickled)."""
        np.save(self._file(name, "npy"), values, allow_pickle=False)

    def rows(self, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> ArrayFile:
        """`name`.npy to be written a piece at a time; of zeros until then.

        Written to the end it is, to the byte, what `array` would have written.
        """
        return ArrayFile.make(self._file(name, "npy"), shape, dtype)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for what the stage needs meanwhile; it goes at the end, whatever happens."""
        with TemporaryDirectory(prefix=".", dir=self.folder) as folder:
            yield Path(folder)

    def tensors(self, name: str, values: Mapping[str, npt.NDArray[Any]]) -> None:
        """Write `name`.safetensors, its keys sorted; there may be none."""
        ordered = {key: np.ascontiguousarray(values[key]) for key in sorted(values)}
        self._file(name, "safetensors").write_bytes(save_tensors(ordered))

    def index(self, name: str, index: Any) -> None:
        """Write `name`.faiss, an index of `neighbours.build_index`."""
        save_index(index, self._file(name, "faiss"))

    def json(self, name: str, value: Any) -> None:
        """Write `name`.json; NaN and infinity are refused, keys are sorted."""
        self.text(f"{name}.json", dump_json(value))

    def metrics(self, metrics: Mapping[str, float]) -> None:
        """Write metrics.json, one number a name. A metric that is not finite is an error."""
        bad = sorted(name for name, value in metrics.items() if not math.isfinite(value))
        if bad:
            raise SidmintError(f"metrics that are not finite numbers: {', '.join(bad)}")
        plain = {
            name: int(value) if isinstance(value, int | np.integer) else float(value)
            for name, value in metrics.items()
        }
        self.json("metrics", plain)

    def text(self, filename: str, text: str) -> None:
        """Write a text file as UTF-8 with Unix line ends."""
        path = self.folder / safe_name(filename, "file")
        path.write_text(text, encoding="utf-8", newline="\n")

    def _file(self, name: str, suffix: str) -> Path:
        return self.folder / f"{safe_name(name, 'artefact')}.{suffix}"


@dataclass(frozen=True)
class Artifacts:
    """The artefacts of the workspace at `layout`."""

    layout: Layout

    @contextmanager
    def writing(
        self, stage: str, tokenizer: str | None = None, in_parts: bool = False
    ) -> Iterator[StageWriter]:
        """A writer for the stage's folder; all is put in place at the end, or nothing is.

        Killed at any moment, it leaves the folder as it was, as it shall be, or none at all:
        never a part of one. What else it leaves is hidden, and the next writer takes it away;
        one that writes `in_parts` finds the parts that are complete, and goes on from them.
        """
        final = self.layout.stage(stage, tokenizer)
        draft, before = (final.with_name(f".{final.name}.{what}") for what in ("draft", "before"))
        if not in_parts:
            shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(before, ignore_errors=True)
        draft.mkdir(parents=True, exist_ok=in_parts)
        try:
            yield StageWriter(draft)
            if final.exists():
                final.replace(before)
            draft.replace(final)
        finally:
            if not in_parts:
                shutil.rmtree(draft, ignore_errors=True)
            shutil.rmtree(before, ignore_errors=True)

    def shards(self, stage: str, name: str, tokenizer: str | None = None) -> Shards | None:
        """The table `name` of a stage where it is a folder of parts; None where it is one file.

        `BadInput` names the part that is missing, there twice, cut short or of other columns.
        """
        folder = self.layout.stage(stage, tokenizer) / name
        return open_shards(folder) if folder.is_dir() else None

    def has_table(self, stage: str, name: str, tokenizer: str | None = None) -> bool:
        """Whether a stage has written the table `name`, in either form."""
        folder = self.layout.stage(stage, tokenizer)
        return (folder / f"{name}.parquet").is_file() or (folder / name).is_dir()

    def scan(self, stage: str, name: str, tokenizer: str | None = None) -> pl.LazyFrame:
        """The table `name` of a stage, one file or parts, of which nothing is read yet."""
        parts = self.shards(stage, name, tokenizer)
        if parts is not None:
            return parts.scan()
        return pl.scan_parquet(self._existing(stage, f"{name}.parquet", tokenizer))

    def table(self, stage: str, name: str, tokenizer: str | None = None) -> pl.DataFrame:
        """The Parquet table `name` of a stage, whole."""
        if self.shards(stage, name, tokenizer) is not None:
            return self.scan(stage, name, tokenizer).collect()
        return pl.read_parquet(self._existing(stage, f"{name}.parquet", tokenizer))

    def array(self, stage: str, name: str, tokenizer: str | None = None) -> npt.NDArray[Any]:
        """The .npy array `name` of a stage, memory-mapped and read-only."""
        path = self._existing(stage, f"{name}.npy", tokenizer)
        return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]

    def array_file(self, stage: str, name: str, tokenizer: str | None = None) -> ArrayFile:
        """The same, of which a piece is in memory at a time."""
        return ArrayFile.of(self._existing(stage, f"{name}.npy", tokenizer))

    def index(self, stage: str, name: str) -> Any:
        """The faiss index `name` of a stage."""
        return load_index(self._existing(stage, f"{name}.faiss", None))

    def json(self, stage: str, name: str, tokenizer: str | None = None) -> Any:
        """The JSON document `name` of a stage."""
        path = self._existing(stage, f"{name}.json", tokenizer)
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise BadInput(
                f"{path} is not readable JSON ({error}); delete it, and `sidmint run` makes it anew"
            ) from error

    def metrics(self, stage: str, tokenizer: str | None = None) -> dict[str, float]:
        """The metrics that a stage wrote. `BadInput` for a value that no float can hold."""
        metrics = self.json(stage, "metrics", tokenizer)
        where = self.layout.stage(stage, tokenizer) / "metrics.json"
        return require_numbers(metrics, str(where))

    def folder(self, stage: str, tokenizer: str | None = None) -> Path:
        """The folder of a stage that has run."""
        return self._existing(stage, "", tokenizer)

    def items(self, *columns: str) -> pl.DataFrame:
        """The catalogue (`contracts.Items`), in the row order that every array follows.

        Of many items, ask for the `columns` that you read: texts are most of its bytes. `BadInput`
        names one that is not there.
        """
        if not columns:
            return self.table("ingest", "items")
        items = self.scan("ingest", "items")
        require_columns(items, columns, "items.parquet of ingest")
        return items.select(columns).collect()

    def item_ids_of(self, start: int, stop: int) -> list[str]:
        """The ids of the items in rows `start` to `stop`, read alone."""
        rows = self.scan("ingest", "items").select(Items.ITEM_ID).slice(start, stop - start)
        return rows.collect()[Items.ITEM_ID].to_list()

    def num_items(self) -> int:
        """N; only Parquet footers are read."""
        return int(self.scan("ingest", "items").select(pl.len()).collect().item())

    def item_ids_in(self, rows: pl.Series) -> pl.Series:
        """The ids of the items in `rows`, rising numbers from 0; a piece is read at a time."""
        asked = rows.cast(pl.UInt32).to_frame("row").lazy()
        numbered = self.scan("ingest", "items").select(Items.ITEM_ID).with_row_index("row")
        found = numbered.join(asked, on="row", how="semi").collect(engine="streaming")
        return found.sort("row")[Items.ITEM_ID]

    def categories(self) -> pl.Series:
        """Category paths, in the row order of `items()`; nulls where an item has none."""
        if Items.CATEGORIES not in self.scan("ingest", "items").collect_schema():
            raise BadInput(
                f"the items have no column {Items.CATEGORIES}; map one under ingest.columns, or "
                "leave tokenizers that read categories out of train.tokenizers"
            )
        return self.items(Items.CATEGORIES).to_series().cast(pl.String)

    def interactions(self) -> pl.DataFrame:
        """All interactions with their split (`contracts.Interactions`)."""
        return self.table("ingest", "interactions")

    def events(self) -> Iterator[pl.DataFrame]:
        """The same, those of a user together: all at once, or as many as a part has."""
        parts = self.shards("ingest", "interactions")
        if parts is None:
            return iter([self.interactions()])
        return with_whole_keys(parts.frames(), Interactions.USER_ID)

    def has_log(self) -> bool:
        """Whether the catalogue has any interaction; only Parquet footers are read."""
        return bool(self.scan("ingest", "interactions").select(pl.len()).collect().item())

    def embeddings(self) -> Embeddings:
        """Item vectors as float32, in the row order of `items()`."""
        item_ids = tuple(self.items(Items.ITEM_ID).to_series().to_list())
        return Embeddings(item_ids, self.array("embed", "embeddings").astype(np.float32))

    def vectors(self) -> Rows:
        """Item vectors as float32, in the row order of `items()`; many stay in their file."""
        return rows_made(self.array_file("embed", "embeddings"), as_float32)

    def collaborative(self) -> Floats | None:
        """What a recommender knows of the items, rows as `items()`, NaN for nothing; or None.

        None where `embed.collaborative` names no file.
        """
        if not (self.layout.stage("embed") / "collaborative.npy").exists():
            return None
        return np.array(self.array("embed", "collaborative"), dtype=np.float32)

    def pairs(self) -> Pairs:
        """Collaborative pairs as row numbers into `items()`."""
        rows = IdRows(self.items(Items.ITEM_ID).to_series())
        parts = self.shards("pairs", "pairs")
        frames = [self.table("pairs", "pairs")] if parts is None else parts.frames()
        found = [_numbered(frame, rows) for frame in frames]
        triggers, targets, scores = (np.concatenate(each) for each in zip(*found, strict=True))
        return Pairs(triggers, targets, scores)

    def codes(self, name: Literal["codes", "sids"], tokenizer: str) -> Ints:
        """Codes (N, L), in the row order of `items()`, from assign.

        `codes` are straight from the tokenizer and may collide; `sids` are as published, without
        the suffix.
        """
        frame = self.table("assign", name, tokenizer)
        if not frame["item_id"].equals(self.items(Items.ITEM_ID).to_series()):
            raise BadInput(
                f"{name}.parquet of {tokenizer!r} lists other items than ingest does; "
                "`sidmint run` brings every stage up to date"
            )
        levels = [column for column in frame.columns if column.startswith("code_")]
        return np.ascontiguousarray(frame.select(levels).to_numpy(), dtype=np.int32)

    def _existing(self, stage: str, filename: str, tokenizer: str | None) -> Path:
        path = self.layout.stage(stage, tokenizer) / filename
        if not path.exists():
            raise BadInput(
                f"{path} is not there: stage {stage!r} has not run; `sidmint run` brings "
                "every stage up to date"
            )
        return path


def _numbered(pairs: pl.DataFrame, rows: IdRows) -> tuple[Ints, Ints, Floats]:
    sides = [rows.of(pairs[side]) for side in (PairsTable.TRIGGER, PairsTable.TARGET)]
    if any((side < 0).any() for side in sides):
        raise BadInput(
            "pairs.parquet names items that ingest does not list; `sidmint run` brings every "
            "stage up to date"
        )
    triggers, targets = (side.astype(np.int32) for side in sides)
    return triggers, targets, pairs[PairsTable.SCORE].to_numpy().astype(np.float32)


def require_numbers(metrics: Any, where: str) -> dict[str, float]:
    """`metrics` if it maps names to numbers; NaN and null, which fail every rule, are let through.

    `BadInput` names the file and the metric; an integer beyond the range of floats is none.
    """
    if not isinstance(metrics, dict):
        raise BadInput(f"{where} wants a JSON object of numbers, has {type(metrics).__name__}")
    for name, value in metrics.items():
        if value is not None and not _is_number(value):
            raise BadInput(
                f"{where}: {name} is no number that a float can hold; `sidmint run` brings every "
                "stage up to date"
            )
    return dict(metrics)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        float(value)
    except OverflowError:  # 10^400 is an integer of JSON and of Python
        return False
    return True
