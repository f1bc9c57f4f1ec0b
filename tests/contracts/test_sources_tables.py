"""Own files: every format reads alike, ids stay what they are, times become one type."""

from __future__ import annotations

import gzip
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sidmint.errors import BadInput
from sidmint.sources.frames import read_frame
from sidmint.sources.instants import as_instants
from sidmint.sources.table import map_tables, plain_items

FRAME = pl.DataFrame({"id": ["0001", "2"], "name": ['a, "b"', "c"]})


def _write(path: Path) -> None:
    match path.name:
        case "folder":
            path.mkdir()
            FRAME[1:].write_parquet(path / "part-1.parquet")
            FRAME[:1].write_parquet(path / "part-0.parquet")
            (path / "_SUCCESS").touch()
        case "t.parquet":
            FRAME.write_parquet(path)
        case "t.tsv":
            FRAME.write_csv(path, separator="\t")
        case "t.csv":
            FRAME.write_csv(path)
        case "t.csv.gz":
            path.write_bytes(gzip.compress(FRAME.write_csv().encode()))
        case "t.jsonl":
            FRAME.write_ndjson(path)
        case "t.ndjson.gz":
            path.write_bytes(gzip.compress(FRAME.write_ndjson().encode()))


@pytest.mark.parametrize(
    "name", ["folder", "t.parquet", "t.csv", "t.tsv", "t.csv.gz", "t.jsonl", "t.ndjson.gz"]
)
def test_every_format_reads_alike_and_an_id_keeps_its_zeros(name: str, tmp_path: Path) -> None:
    _write(tmp_path / name)
    assert read_frame(tmp_path / name).equals(FRAME)


MOMENT = datetime(2024, 1, 31, 13, 45, 1)


@pytest.mark.parametrize(
    "values",
    [
        [1706708701],
        [1706708701.0],
        ["1706708701"],
        [1706708701_000],
        [1706708701_000_000],
        [1706708701_000_000_000],
        ["2024-01-31T13:45:01"],
        ["2024-01-31 13:45:01"],
        ["2024-01-31T13:45:01Z"],
        ["2024-01-31T14:45:01+01:00"],
        ["2024-01-31 13:45:01.000 UTC"],
        [MOMENT],
        [MOMENT.replace(tzinfo=UTC)],
    ],
    ids=str,
)
def test_one_moment_in_every_spelling(values: list[Any]) -> None:
    assert as_instants(pl.Series("ts", values), "log").to_list() == [MOMENT]


@pytest.mark.parametrize(
    "values", [["2024-01-31"], ["2024/01/31"], ["20240131"], [20240131], [date(2024, 1, 31)]]
)
def test_a_day_is_its_first_moment(values: list[Any]) -> None:
    assert as_instants(pl.Series("day", values), "log").to_list() == [datetime(2024, 1, 31)]


def test_fractions_of_a_second_keep_their_order() -> None:
    times = as_instants(pl.Series(["2024-01-31T13:45:01.9Z", "2024-01-31T13:45:01.12Z"]), "log")
    assert times[1] < times[0]
    assert as_instants(pl.Series([1706708701.9, 1706708701.12]), "log").arg_sort()[0] == 1


def test_a_text_that_is_no_time_is_named_by_its_row() -> None:
    with pytest.raises(BadInput, match=r"log: row 2 has ts '31/01/2024', which is no time"):
        as_instants(pl.Series("ts", ["2024-01-31", "31/01/2024"]), "log")


def _mapped(items: pl.DataFrame, events: pl.DataFrame, **columns: str) -> tuple[Any, Any]:
    named = {key.replace("__", "."): value for key, value in columns.items()}
    raw = map_tables(items, events, named, Path("i.csv"), Path("e.csv"))
    return raw.items, raw.interactions


def test_a_mapping_can_name_another_column_in_each_file() -> None:
    items, events = _mapped(
        pl.DataFrame({"id": ["a"], "title": ["x"], "colour": ["red"]}),
        pl.DataFrame({"id": [9], "product": ["a"], "user_id": ["u"], "stars": [5]}),
        items__item_id="id",
        interactions__item_id="product",
    )
    assert items.to_dicts() == [{"item_id": "a", "title": "x", "colour": "red"}]
    assert events.to_dicts() == [{"user_id": "u", "item_id": "a"}]


def test_a_mapped_column_takes_the_place_of_one_that_has_our_name() -> None:
    items, _ = _mapped(
        pl.DataFrame({"item_id": ["a"], "title": ["Mr"], "name": ["Pen"]}),
        pl.DataFrame({"item_id": ["a"], "user_id": ["u"]}),
        title="name",
    )
    assert items.to_dicts() == [{"item_id": "a", "title": "Pen"}]


def test_lists_become_text_and_prices_numbers() -> None:
    items = plain_items(
        pl.DataFrame(
            {
                "categories": [["Beauty", "Nails"], None],
                "description": [["One.", "Two."], []],
                "tags": [["a", "b"], ["c"]],
                "sizes": [[1, 2], [3]],
                "price": ["$1,299.50", "call us"],
            }
        )
    )
    assert items["categories"].to_list() == ["Beauty > Nails", None]
    assert items["description"][0] == "One. Two."
    assert items["tags"].to_list() == ["a, b", "c"]
    assert items["sizes"].to_list() == ["1, 2", "3"]
    assert items["price"].to_list() == [1299.5, None]


def test_of_several_category_paths_the_first_is_kept() -> None:
    paths = [[["Sports", "Dance"], ["Clothing"]], None]
    items = plain_items(pl.DataFrame({"categories": paths}))
    assert items["categories"].to_list() == ["Sports > Dance", None]
