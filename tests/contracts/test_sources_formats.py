"""Every source gives the two raw tables of its contract, from files of its exact format."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

import polars as pl
import pytest

from sidmint.catalogue import build_catalogue
from sidmint.params import IngestParams
from sidmint.sources import SOURCES, RawCatalogue, SourceFiles


def _gzip_lines(path: Path, lines: list[str]) -> Path:
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0))
    return path


def _read(source: str, items: Path | None, interactions: Path | None, **more: Any) -> RawCatalogue:
    params = IngestParams.model_validate({"source": source, **more})
    return SOURCES[source](params, SourceFiles(items, interactions), 7)


def _row(raw: RawCatalogue, item_id: str) -> dict[str, Any]:
    return raw.items.filter(pl.col("item_id") == item_id).row(0, named=True)


REVIEWS_2014 = [
    {"reviewerID": "A2", "asin": "0000031852", "unixReviewTime": 1252800000, "helpful": [2, 3]},
    {"reviewerID": "A1", "asin": "B01", "unixReviewTime": 1252800000, "reviewText": "ok"},
    {"reviewerID": "A1", "asin": "0000031852", "unixReviewTime": 1252713600, "overall": 5.0},
]
META_2014 = [
    "{'asin': '0000031852', 'title': \"Girl's Tutu &amp; Skirt\", 'price': 3.17, 'imUrl': "
    "'http://x/y.jpg', 'related': {'also_bought': ['B02']}, 'salesRank': {'Toys & Games': 211836},"
    " 'brand': 'Coxlures', 'categories': [['Sports & Outdoors', 'Dance'], ['Clothing']],"
    " 'description': 'Back\\slash \\d'}",
    "{'asin': 'B01', 'categories': [['Beauty', 'Makeup']], 'brand': ''}",
    "{'asin': 'B02', 'title': 'never reviewed', 'categories': [['Beauty']]}",
]


def _amazon_2014(folder: Path) -> RawCatalogue:
    reviews = _gzip_lines(folder / "reviews_X_5.json.gz", [json.dumps(r) for r in REVIEWS_2014])
    return _read("amazon_2014", _gzip_lines(folder / "meta_X.json.gz", META_2014), reviews)


def test_amazon_2014_metadata_are_python_literals(tmp_path: Path) -> None:
    raw = _amazon_2014(tmp_path)
    assert _row(raw, "0000031852") == {
        "item_id": "0000031852",
        "title": "Girl's Tutu & Skirt",
        "brand": "Coxlures",
        "categories": "Sports & Outdoors > Dance",
        "description": "Back\\slash \\d",
        "price": 3.17,
    }
    assert raw.items["item_id"].to_list() == ["0000031852", "B01"]  # B02 was never reviewed
    assert raw.interactions["user_id"].to_list() == ["A2", "A1", "A1"]  # file order
    assert raw.interactions["timestamp"][0] == datetime(2009, 9, 13)


def test_a_missing_amazon_title_is_filled_from_the_categories(tmp_path: Path) -> None:
    raw = _amazon_2014(tmp_path)
    more = pl.concat([raw.interactions] * 3)
    built = build_catalogue(raw.items, more, min_interactions=3, cold_share=0.0, seed=1)
    assert built.items["title"].to_list() == ["Girl's Tutu & Skirt", "Beauty > Makeup"]
    assert built.profile["titles_filled"] == 1


def _amazon_2018(folder: Path) -> RawCatalogue:
    reviews = [
        {"reviewerID": "A1", "asin": asin, "unixReviewTime": 1500000000 + n, "overall": 4.0}
        for n, asin in enumerate(["B01", "B02", "B03", "B03", "B04", "B05"])
    ]
    meta = [
        {"asin": "B01", "title": "Soap &amp; <b>Water</b>", "price": "$1,003.17", "brand": "Dove",
         "category": ["Beauty", "Bath"], "description": ["Clean.", "Very."], "also_buy": []},
        {"asin": "B02", "title": "var aPageStart = (new Date()).getTime();", "brand": "Nivea",
         "category": [], "description": [], "price": "$5.99 - $19.99"},
        {"asin": "B03", "title": "First", "description": "plain"},
        {"asin": "B03", "title": "Second"},
        {"asin": "B04", "title": "", "brand": "", "category": [], "description": []},
    ]  # fmt: skip
    return _read(
        "amazon_2018",
        _gzip_lines(folder / "meta_X.json.gz", [json.dumps(m) for m in meta]),
        _gzip_lines(folder / "X_5.json.gz", [json.dumps(r) for r in [*reviews, reviews[0]]]),
    )


def test_amazon_2018_mends_what_was_scraped_badly_and_counts_it(tmp_path: Path) -> None:
    raw = _amazon_2018(tmp_path)
    first = _row(raw, "B01")
    assert first["title"] == "Soap & Water"
    assert first["price"] == 1003.17
    assert first["categories"] == "Beauty > Bath"
    assert first["description"] == "Clean. Very."
    assert _row(raw, "B02")["title"] is None  # a page script is no title
    assert _row(raw, "B02")["price"] is None  # a range is no price
    assert _row(raw, "B03")["title"] == "First"
    assert dict(raw.left_out) == {
        "items_described_twice": 1,
        "items_without_text": 1,
        "interactions_repeated": 1,
        "interactions_without_item": 2,
    }


META_2023 = [
    {"main_category": "All Beauty", "title": "Oil", "average_rating": 4.8, "features": [],
     "description": ["Smooth."], "price": 12.5, "store": "Howard", "categories": [],
     "details": {"UPC": "617"}, "parent_asin": "B01", "bought_together": None},
    {"main_category": None, "title": "Wax", "price": "None", "description": [], "store": None,
     "categories": ["Beauty", "Hair"], "parent_asin": "B02"},
]  # fmt: skip


def _meta_2023(folder: Path) -> Path:
    return _gzip_lines(folder / "meta_X.jsonl.gz", [json.dumps(m) for m in META_2023])


def _amazon_2023(folder: Path) -> RawCatalogue:
    reviews = [
        {"rating": 5.0, "title": "Great", "asin": "V9", "parent_asin": "B01", "user_id": "AE",
         "timestamp": 1588687728923, "verified_purchase": True},
        {"rating": 1.0, "title": "Bad", "asin": "V8", "parent_asin": "B02", "user_id": "AE",
         "timestamp": 1588687728100, "verified_purchase": False},
    ]  # fmt: skip
    path = folder / "X.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in reviews), encoding="utf-8")
    return _read("amazon_2023", _meta_2023(folder), path)


def test_amazon_2023_keeps_the_parent_item_and_milliseconds(tmp_path: Path) -> None:
    raw = _amazon_2023(tmp_path)
    assert raw.items.rows() == [
        ("B01", "Oil", "Howard", "All Beauty", "Smooth.", 12.5),
        ("B02", "Wax", None, "Beauty > Hair", None, None),
    ]
    assert raw.interactions["item_id"].to_list() == ["B01", "B02"]
    assert raw.interactions["timestamp"].dt.millisecond().to_list() == [923, 100]


def test_amazon_2023_benchmark_files_are_read_one_after_the_other(tmp_path: Path) -> None:
    folder = tmp_path / "5core"
    folder.mkdir()
    for name, row in (
        ("test", "AE,B01,5.0,1588687729000,B02 B02"),
        ("valid", "AE,B02,5.0,1588687728000,B02"),
        ("train", "AE,B02,5.0,1588687727000,"),
    ):
        header = "user_id,parent_asin,rating,timestamp,history"
        (folder / f"X.{name}.csv").write_text(f"{header}\n{row}\n", encoding="utf-8")
    raw = _read("amazon_2023", _meta_2023(tmp_path), folder)
    assert raw.interactions["item_id"].to_list() == ["B02", "B02", "B01"]


def _movielens_100k(folder: Path) -> RawCatalogue:
    (folder / "u.data").write_text("196\t242\t3\t881250949\n186\t2\t3\t891717742\n")
    kolya = ["242", "Kolya (1996)", "24-Jan-1997", "", "http://x", *"0" * 5, "1", *"0" * 13]
    eye = ["2", "L'\xe9ducation, \"x", "", "", "", "0", "1", "1", *"0" * 16]
    unseen = ["3", "Nobody's", "", "", "", *"0" * 19]
    lines = "\n".join("|".join(movie) for movie in (kolya, eye, unseen))
    (folder / "u.item").write_bytes((lines + "\n").encode("latin-1"))
    return _read("movielens", folder, None)


def test_movielens_100k_is_latin_1_with_genre_flags(tmp_path: Path) -> None:
    raw = _movielens_100k(tmp_path)
    assert raw.items["title"].to_list() == ["Kolya (1996)", "L'\xe9ducation, \"x", "Nobody's"]
    assert raw.items["categories"].to_list() == ["Comedy", "Action, Adventure", None]
    assert raw.interactions["timestamp"][0] == datetime(1997, 12, 4, 15, 55, 49)


def _movielens_latest(folder: Path) -> RawCatalogue:
    (folder / "movies.csv").write_text(
        'movieId,title,genres\n1,"American President, The (1995)",Comedy|Drama\n'
        "2,Odd (1999),(no genres listed)\n"
    )
    (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,2,4.0,964982703\n")
    return _read("movielens", folder, None)


def test_movielens_latest_has_quoted_titles_and_no_genre(tmp_path: Path) -> None:
    raw = _movielens_latest(tmp_path)
    assert raw.items["title"][0] == "American President, The (1995)"
    assert raw.items["categories"].to_list() == ["Comedy, Drama", None]


def _table(folder: Path) -> RawCatalogue:
    pl.DataFrame({"sku": ["007"], "name": ["Pen"], "colour": ["red"]}).write_csv(folder / "i.csv")
    pl.DataFrame({"sku": ["007"], "who": [3], "when": [1.7e9]}).write_parquet(folder / "e.parquet")
    columns = {"item_id": "sku", "title": "name", "user_id": "who", "timestamp": "when"}
    return _read("table", folder / "i.csv", folder / "e.parquet", columns=columns)


def _synthetic(folder: Path) -> RawCatalogue:
    return _read("synthetic", None, None, synthetic={"num_items": 150, "num_users": 100})


SAMPLES: dict[str, list[Callable[[Path], RawCatalogue]]] = {
    "amazon_2014": [_amazon_2014],
    "amazon_2018": [_amazon_2018],
    "amazon_2023": [_amazon_2023],
    "movielens": [_movielens_100k, _movielens_latest],
    "synthetic": [_synthetic],
    "table": [_table],
}


def test_every_source_is_offered_in_params_and_has_a_sample_here() -> None:
    offered = get_args(IngestParams.model_fields["source"].annotation)
    assert sorted(offered) == list(SOURCES) == sorted(SAMPLES)


@pytest.mark.parametrize("sample", [s for many in SAMPLES.values() for s in many])
def test_a_source_gives_its_two_raw_tables(
    sample: Callable[[Path], RawCatalogue], tmp_path: Path
) -> None:
    raw = sample(tmp_path)
    assert {"item_id", "title"} <= set(raw.items.columns)
    assert {"user_id", "item_id"} <= set(raw.interactions.columns)
    assert raw.interactions.schema["timestamp"] == pl.Datetime("us")
    if "price" in raw.items.columns:
        assert raw.items.schema["price"] == pl.Float64
    if "categories" in raw.items.columns:
        assert raw.items.schema["categories"] == pl.String
    assert raw.items_name
    assert raw.interactions_name
    assert all(count >= 0 for count in raw.left_out.values())
