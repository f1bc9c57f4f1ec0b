"""Of many items ingest writes parts, and they hold what one file would."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from log_pieces import drawn_rows, log
from sidmint.adapters.gx_catalogue import check_catalogue
from sidmint.artifacts import Artifacts
from sidmint.errors import BadInput, StorageFailed
from sidmint.execution.splitting import split
from sidmint.execution.writing import ShardWriter
from sidmint.layout import Layout
from sidmint.params import parse_params
from sidmint.sources import large_table
from sidmint.stages.ingest import ingest

NUM_ITEMS = 40
SHARD_ROWS = 9


@pytest.fixture(autouse=True)
def few_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_table, "EVENTS_AT_ONCE", 70)
    monkeypatch.setattr(large_table, "ITEMS_AT_ONCE", 11)


def _items() -> pl.DataFrame:
    """Texts of every form that a source may have, ids out of order."""
    numbers = [(7 * row) % NUM_ITEMS for row in range(NUM_ITEMS)]
    return pl.DataFrame(
        {
            "asin": [f"i{number:02d}" for number in numbers],
            "name": [b"title" if number % 5 else None for number in numbers],
            "brand": [f"brand {number}" for number in numbers],
            "categories": [["a", f"c{number % 3}"] for number in numbers],
            "price": ["1.299" if number else "12,5" for number in numbers],
            "details": [{"colour": f"red {number}", "size": None} for number in numbers],
        }
    )


def _log(seed: int = 0) -> pl.DataFrame:
    """Days as numbers of eight digits; of all rows the first alone is a real date of two."""
    rows = log(drawn_rows(seed, 600, NUM_ITEMS))
    days = pl.col("timestamp").dt.strftime("%Y%m%d").cast(pl.Int64) + pl.int_range(pl.len()) % 9
    return rows.select("user_id", pl.col("item_id").alias("asin"), days.alias("day"))


COLUMNS = {"item_id": "asin", "title": "name", "timestamp": "day"}


def _run(root: Path, shard_rows: int, has_log: bool = True, **settings: Any) -> Artifacts:
    asked = {
        "source": "table",
        "items": "data/raw/items",
        "interactions": "data/raw/log.parquet" if has_log else None,
        "columns": COLUMNS if has_log else {"item_id": "asin", "title": "name"},
        "min_interactions": 3,
        **settings,
    }
    values = {"seed": 3, "ingest": asked, "execution": {"shard_rows": shard_rows}}
    artifacts = Artifacts(Layout(root))
    ingest(parse_params(values, "test"), artifacts, check_catalogue)
    return artifacts


def _raw(root: Path, items: pl.DataFrame, events: pl.DataFrame) -> None:
    folder = root / "data" / "raw" / "items"
    folder.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, items.height, 15)):
        items.slice(start, 15).write_parquet(folder / f"{number}.parquet")
    events.write_parquet(root / "data" / "raw" / "log.parquet", row_group_size=50)


def _said(artifacts: Artifacts) -> dict[str, Any]:
    folder = artifacts.folder("ingest")
    return {
        name: json.loads((folder / name).read_text()) for name in ("profile.json", "metrics.json")
    }


def _assert_same(parts: Artifacts, whole: Artifacts) -> None:
    for name in ("items", "interactions"):
        ours, theirs = parts.table("ingest", name), whole.table("ingest", name)
        assert ours.equals(theirs)
        assert ours.schema == theirs.schema
    assert _said(parts) == _said(whole)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"item_set": "core", "tie_order": "shuffled", "id_format": "lower"},
        {"protocol": "time", "cold_share": 0.0},
    ],
    ids=["leave_one_out", "core_shuffled", "time"],
)
def test_parts_hold_what_one_file_would(tmp_path: Path, settings: dict[str, Any]) -> None:
    for root in ("parts", "whole"):
        _raw(tmp_path / root, _items(), _log())
    parts = _run(tmp_path / "parts", SHARD_ROWS, **settings)
    _assert_same(parts, _run(tmp_path / "whole", 1000, **settings))
    for name in ("items", "interactions"):
        shards = parts.shards("ingest", name)
        assert shards is not None
        assert [part.rows for part in shards.parts[:-1]] == [SHARD_ROWS] * (len(shards.parts) - 1)
    left = {path.name for path in parts.folder("ingest").iterdir()}
    assert left == {"items", "interactions", "checks.json", "metrics.json", "profile.json"}


@pytest.mark.parametrize("id_format", ["as_written", "number", "trimmed"])
def test_ids_that_pandas_made_floats_join_in_either_form(tmp_path: Path, id_format: str) -> None:
    as_float = pl.col("asin").str.slice(1).cast(pl.Float64)
    for root in ("parts", "whole"):
        _raw(tmp_path / root, _items().with_columns(as_float), _log().with_columns(as_float))
    parts = _run(tmp_path / "parts", SHARD_ROWS, id_format=id_format)
    _assert_same(parts, _run(tmp_path / "whole", 1000, id_format=id_format))


def test_all_checks_are_those_of_one_file(tmp_path: Path) -> None:
    for root in ("parts", "whole"):
        _raw(tmp_path / root, _items(), _log())
    parts = _run(tmp_path / "parts", SHARD_ROWS).json("ingest", "checks")
    assert parts == _run(tmp_path / "whole", 1000).json("ingest", "checks")


def test_a_table_in_parts_of_the_users_own_is_read_as_one(tmp_path: Path) -> None:
    _raw(tmp_path / "parts", _items(), _log())
    _raw(tmp_path / "whole", _items(), _log())
    whole = _run(tmp_path / "whole", 1000)
    folder = tmp_path / "parts" / "data" / "raw" / "items"
    for path in folder.iterdir():
        path.unlink()
    split(_items(), folder, "asin", "test", 13)
    _assert_same(_run(tmp_path / "parts", SHARD_ROWS), whole)
    (folder / "part-00001.parquet").unlink()
    with pytest.raises(BadInput, match=r"part-00001.parquet is missing"):
        _run(tmp_path / "parts", SHARD_ROWS)


def test_frames_of_other_formats_are_cut_too(tmp_path: Path) -> None:
    events = _log()
    _raw(tmp_path, _items(), events)
    events.write_csv(tmp_path / "data" / "raw" / "log.csv")
    parts = _run(tmp_path, SHARD_ROWS, interactions="data/raw/log.csv")
    assert parts.shards("ingest", "interactions") is not None
    _raw(tmp_path / "whole", _items(), events)
    _assert_same(parts, _run(tmp_path / "whole", 1000))


def test_a_core_that_is_small_is_one_file(tmp_path: Path) -> None:
    _raw(tmp_path, _items(), _log())
    core = _run(tmp_path, NUM_ITEMS - 1, item_set="core", min_interactions=12)
    assert 0 < core.items().height < NUM_ITEMS - 1
    assert (core.folder("ingest") / "items.parquet").exists()
    assert (core.folder("ingest") / "interactions.parquet").exists()


def test_items_without_a_log_are_parts_beside_an_empty_file(tmp_path: Path) -> None:
    for root in ("parts", "whole"):
        _raw(tmp_path / root, _items(), _log())
    parts = _run(tmp_path / "parts", SHARD_ROWS, has_log=False)
    _assert_same(parts, _run(tmp_path / "whole", 1000, has_log=False))
    assert parts.shards("ingest", "items") is not None
    assert not parts.has_log()
    with pytest.raises(BadInput, match="item_set: core"):
        _run(tmp_path / "parts", SHARD_ROWS, has_log=False, item_set="core")


def _with(frame: pl.DataFrame, row: int, column: str, value: Any) -> pl.DataFrame:
    """`frame` with one other value; rows are counted from 1."""
    here = pl.int_range(pl.len()) == row - 1
    return frame.with_columns(pl.when(here).then(pl.lit(value)).otherwise(column).alias(column))


NAMELESS = _with(_items(), 29, "name", None).drop("categories")
NUMBERS = _log().with_columns(pl.col("day").cast(pl.String))
DAYS = NUMBERS.with_columns(pl.col("day").str.to_date("%Y%m%d").dt.to_string())
FAULTS: list[tuple[pl.DataFrame, pl.DataFrame, str]] = [
    (_with(_items(), 31, "asin", None), _log(), "row 31 has no item_id"),
    (_with(_items(), 31, "asin", "i07"), _log(), "item_id i07 stands in rows 2, 31"),
    (_with(NAMELESS, 29, "brand", " "), _log(), r"item i36 \(row 29\) has no text"),
    (_items(), _with(_log(), 431, "user_id", ""), "row 431 has no user_id"),
    (_items(), _with(_log(), 431, "asin", "i99"), "the first in row 431 on item_id i99"),
    (_items(), _with(DAYS, 431, "day", "today"), "row 431 has timestamp 'today'"),
    (_items(), _with(NUMBERS, 431, "day", "today"), "row 1 has timestamp '20240101'"),
    (_items(), _with(_log(), 431, "day", None), "row 431 has no timestamp"),
    (_items().drop("name"), _log(), "lacks the column 'name'"),
]


@pytest.mark.parametrize(("items", "events", "named"), FAULTS, ids=range(len(FAULTS)))
def test_what_is_wrong_is_said_as_of_whole_tables(
    tmp_path: Path, items: pl.DataFrame, events: pl.DataFrame, named: str
) -> None:
    said = []
    for root, shard_rows in (("parts", SHARD_ROWS), ("whole", 1000)):
        _raw(tmp_path / root, items, events)
        with pytest.raises(BadInput, match=named) as error:
            _run(tmp_path / root, shard_rows)
        # How many more there are is said of the piece alone, with its rows.
        said.append(re.sub(r" \((\d+ such (row|item)s|looked at: .*)\)", "", str(error.value)))
        assert not (tmp_path / root / "data" / "build" / "ingest").exists()
    assert said[0] == said[1]


def test_a_log_that_is_not_there_is_said_before_items_are_read(tmp_path: Path) -> None:
    _raw(tmp_path, _items(), _log())
    with pytest.raises(BadInput, match=r"gone.parquet is not there; check ingest.items"):
        _run(tmp_path, SHARD_ROWS, interactions="data/raw/gone.parquet")


def test_a_run_that_was_killed_leaves_the_last_catalogue_and_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _raw(tmp_path, _items(), _log())
    before = _run(tmp_path, SHARD_ROWS)
    wanted = {path: path.read_bytes() for path in before.folder("ingest").rglob("*.*")}

    def full(writer: ShardWriter, index: int, *rest: Any) -> None:
        if index == 2:
            raise StorageFailed("the disk is full")
        return written(writer, index, *rest)

    written = ShardWriter.write
    monkeypatch.setattr(ShardWriter, "write", full)
    with pytest.raises(StorageFailed):
        _run(tmp_path, SHARD_ROWS, cold_share=0.3)
    monkeypatch.setattr(ShardWriter, "write", written)
    assert {path: path.read_bytes() for path in before.folder("ingest").rglob("*.*")} == wanted
    # What a killed process leaves: parts of another catalogue, and rows in files.
    draft = before.folder("ingest").with_name(".ingest.draft")
    (draft / "items").mkdir(parents=True)
    (draft / "items" / "part-00000.parquet").write_bytes(b"another")
    (draft / "sidmint-spill-x").mkdir()
    again = _run(tmp_path, SHARD_ROWS)
    assert {path: path.read_bytes() for path in again.folder("ingest").rglob("*.*")} == wanted
    assert [path.name for path in again.folder("ingest").parent.iterdir()] == ["ingest"]
