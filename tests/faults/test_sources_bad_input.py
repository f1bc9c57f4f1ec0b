"""Bad input names the file, the row or line, and the way out."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sidmint.catalogue import build_catalogue
from sidmint.errors import BadInput
from sidmint.params import IngestParams
from sidmint.sources import SOURCES, SourceFiles
from sidmint.sources.frames import read_frame
from sidmint.sources.lines import json_rows

ITEMS = pl.DataFrame({"item_id": ["a", "b"], "title": ["A", "B"]})
EVENTS = pl.DataFrame({"user_id": ["u"] * 3, "item_id": ["a", "b", "a"]})


def _build(items: pl.DataFrame = ITEMS, events: pl.DataFrame = EVENTS, k: int = 1) -> None:
    build_catalogue(
        items,
        events,
        min_interactions=k,
        cold_share=0.0,
        seed=1,
        items_name="i.csv",
        interactions_name="e.csv",
    )


def test_good_tables_pass() -> None:
    _build()


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (ITEMS.drop("title"), r"i.csv lacks the column title; it has item_id.*ingest.columns"),
        (
            pl.concat([ITEMS, ITEMS[1:]]),
            r"i.csv: item_id b stands in rows 2, 3.*keep one row an item",
        ),
        (ITEMS.with_columns(title=pl.Series(["A", None])), r"i.csv: item b \(row 2\) has no text"),
        (ITEMS.with_columns(title=pl.Series(["A", "  "])), r"i.csv: item b \(row 2\) has no text"),
        (ITEMS.with_columns(item_id=pl.Series(["a", None])), r"i.csv: row 2 has no item_id"),
        (ITEMS.with_columns(title=pl.Series([["A"], ["B"]])), r"i.csv: title is of type List"),
        (ITEMS.with_columns(item_id=pl.Series([["a"], ["b"]])), r"i.csv: item_id is of type List"),
        (ITEMS.with_columns(cold=pl.lit(True)), r"i.csv has the column cold.*rename"),
        (ITEMS[:0], r"i.csv has no rows"),
    ],
)
def test_bad_items(items: pl.DataFrame, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        _build(items)


@pytest.mark.parametrize(
    ("events", "message"),
    [
        (EVENTS.drop("user_id"), r"e.csv lacks the column user_id"),
        (
            EVENTS.with_columns(item_id=pl.Series(["a", "ghost", "ghoul"])),
            r"e.csv: 2 interactions are on items.*row 2 on item_id ghost; add these items or",
        ),
        (EVENTS.with_columns(user_id=pl.Series(["u", None, "u"])), r"e.csv: row 2 has no user_id"),
        (
            EVENTS.with_columns(position=pl.Series([0, 1, 1])),
            r"e.csv: a user has position 1 twice",
        ),
        (
            EVENTS.with_columns(position=pl.Series([0.0, 1.0, 2.0])),
            r"e.csv: position wants whole numbers",
        ),
        (
            EVENTS.with_columns(timestamp=pl.Series([1, None, 2], dtype=pl.Datetime("us"))),
            r"e.csv: row 2 has no timestamp where other rows have",
        ),
        (EVENTS[:0], r"e.csv: no interaction is left.*lower ingest.min_interactions \(now 1\)"),
        (EVENTS[:2], r"user u has 2 events.*raise ingest.min_interactions"),
    ],
)
def test_bad_interactions(events: pl.DataFrame, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        _build(events=events)


def test_withholding_everything_names_the_share() -> None:
    with pytest.raises(BadInput, match=r"no training interaction is left; lower ingest.cold_share"):
        build_catalogue(ITEMS, EVENTS, min_interactions=1, cold_share=1.0, seed=1)


def _gz(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()))
    return path


def test_a_cut_off_gz_names_the_file_and_the_last_good_line(tmp_path: Path) -> None:
    noise = random.Random(0)
    lines = "".join(json.dumps({"n": noise.random()}) + "\n" for _ in range(20_000))
    path = _gz(tmp_path / "x.jsonl.gz", lines)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(BadInput, match=r"x.jsonl.gz cannot be read beyond line \d{3,}.*download"):
        list(json_rows(path))
    with pytest.raises(BadInput, match=r"x.jsonl.gz cannot be read beyond line \d{3,}"):
        read_frame(path)


def test_a_gz_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.json.gz"
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(BadInput, match=r"x.json.gz cannot be read beyond line 0"):
        list(json_rows(path))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.jsonl", b'{"a": 1}\n{"a": 2\n', r"x.jsonl line 2 is not JSON.*mend or remove"),
        ("x.jsonl", b'{"a": 1}\n[1]\n', r"x.jsonl line 2 is not a JSON object"),
        ("x.jsonl", b"", r"x.jsonl is empty"),
        ("x.csv", b"a,b\n1,2\n3,4,5\n", r"x.csv line 3 has 3 fields.*names 2; put quotes"),
        ("x.csv", b"a,b\n1,\xff\xfe\n", r"x.csv line 2 is not UTF-8"),
        ("x.csv", b"", r"x.csv is empty"),
        ("x.parquet", b"PAR1 no more", r"x.parquet is not a readable Parquet file"),
        ("x.xlsx", b"PK", r"x.xlsx is of no known format; give .parquet"),
    ],
)
def test_a_damaged_file_is_named(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=message):
        read_frame(tmp_path / name)


def test_a_missing_file_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"x.csv is not there"):
        read_frame(tmp_path / "x.csv")
    with pytest.raises(BadInput, match=r"holds no .parquet file"):
        read_frame(tmp_path)


def test_a_folder_of_two_schemas_names_the_odd_file(tmp_path: Path) -> None:
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "0.parquet")
    pl.DataFrame({"a": ["1"]}).write_parquet(tmp_path / "1.parquet")
    with pytest.raises(BadInput, match=r"1.parquet has other columns than 0.parquet"):
        read_frame(tmp_path)


def _read(source: str, items: Path | None, interactions: Path | None, **more: Any) -> None:
    params = IngestParams.model_validate({"source": source, **more})
    SOURCES[source](params, SourceFiles(items, interactions), 1)


@pytest.mark.parametrize("source", ["table", "amazon_2014", "amazon_2018", "amazon_2023"])
def test_a_source_without_its_files_names_the_key(source: str) -> None:
    with pytest.raises(BadInput, match=r"wants a file in ingest.items.*sidmint init"):
        _read(source, None, None)


def test_an_unknown_source_names_the_known() -> None:
    with pytest.raises(BadInput, match=r"unknown source 'amazn'; choose one of: amazon_2014"):
        SOURCES["amazn"]


REVIEW = {"reviewerID": "A1", "asin": "B01", "unixReviewTime": 1}


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ("{'asin': 'B01', 'title': 'x'", r"meta.json.gz line 1 is neither a Python literal"),
        ("{'asin': 'B01', 'title': __import__('os').getcwd()}", r"line 1 is neither"),
        ("['asin']", r"line 1 is no dictionary"),
        ("{'asin': 'B09', 'title': 'x'}", r"describes none of the items in .*one category"),
    ],
)
def test_bad_amazon_2014_metadata(meta: str, message: str, tmp_path: Path) -> None:
    reviews = _gz(tmp_path / "r.json.gz", json.dumps(REVIEW) + "\n")
    with pytest.raises(BadInput, match=message):
        _read("amazon_2014", _gz(tmp_path / "meta.json.gz", meta + "\n"), reviews)


def test_reviews_of_another_year_are_told_apart_by_the_missing_field(tmp_path: Path) -> None:
    reviews = _gz(tmp_path / "r.json.gz", json.dumps({"user_id": "A", "asin": "B01"}) + "\n")
    with pytest.raises(BadInput, match=r"row 1 has no reviewerID.*the right year"):
        _read("amazon_2018", tmp_path / "meta.json.gz", reviews)


def test_movielens_wants_its_folder_and_its_lines(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="wants the folder"):
        _read("movielens", tmp_path / "u.item", None)
    with pytest.raises(BadInput, match=r"neither u.item .* nor movies.csv"):
        _read("movielens", tmp_path, None)
    (tmp_path / "u.item").write_text("1|x\n")
    (tmp_path / "u.data").write_text("1\t1\t5\t1\n1\t1\n")
    with pytest.raises(BadInput, match=r"u.data line 2 has 2 fields, 4 were wanted"):
        _read("movielens", tmp_path, None)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"title": "nme"}, r"i.csv lacks the column 'nme' that ingest.columns.title asks for"),
        ({"things.title": "name"}, r"ingest.columns.things.title: .* items or interactions"),
        ({}, r"i.csv lacks the column title"),
    ],
)
def test_a_bad_mapping_is_named(columns: dict[str, str], message: str, tmp_path: Path) -> None:
    pl.DataFrame({"item_id": ["a"], "name": ["A"]}).write_csv(tmp_path / "i.csv")
    EVENTS.write_csv(tmp_path / "e.csv")
    with pytest.raises(BadInput, match=message):
        _read("table", tmp_path / "i.csv", tmp_path / "e.csv", columns=columns)


def test_positions_that_are_no_whole_numbers_are_named(tmp_path: Path) -> None:
    ITEMS.write_csv(tmp_path / "i.csv")
    EVENTS.with_columns(position=pl.Series(["1", "2", "x"])).write_csv(tmp_path / "e.csv")
    with pytest.raises(BadInput, match=r"e.csv: row 3 has position 'x'"):
        _read("table", tmp_path / "i.csv", tmp_path / "e.csv")
