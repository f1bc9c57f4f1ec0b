"""What is read, put in order or digested in pieces is what it is of the whole table."""

from __future__ import annotations

import hashlib
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidmint.catalogue import TablesDigest, digest, digest_of
from sidmint.catalogue.id_rows import DistinctIds
from sidmint.errors import BadInput
from sidmint.execution.sorting import in_places
from sidmint.execution.splitting import in_parts, with_whole_keys
from sidmint.sources.frames import read_frame
from sidmint.sources.instants import TimeForm, as_instants
from sidmint.sources.numbers import as_amounts, decimal_commas
from sidmint.sources.parquet_pieces import ParquetPieces
from sidmint.spill_files import FrameSpill

sizes = st.integers(1, 12)


def _cut(values: Any, size: int) -> list[Any]:
    return [values[start : start + size] for start in range(0, len(values), size)]


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(30)), sizes, sizes)
def test_rows_go_to_their_places(
    tmp_path_factory: pytest.TempPathFactory, places: list[int], size: int, at_once: int
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    table = pl.DataFrame({"name": [f"n{place}" for place in places], "list": [[p] for p in places]})
    pieces = zip(_cut(table, size), _cut(np.array(places), size), strict=True)
    blocks = list(in_places(pieces, at_once, FrameSpill(folder)))
    assert [block.height for block in blocks[:-1]] == [at_once] * (len(blocks) - 1)
    assert pl.concat(blocks)["name"].to_list() == [f"n{place}" for place in range(30)]
    assert pl.concat(blocks)["list"].to_list() == [[place] for place in range(30)]
    assert list(folder.iterdir()) == []


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), sizes)
def test_blocks_of_whole_keys_part_no_key(keys: list[int], size: int) -> None:
    table = pl.DataFrame({"key": sorted(keys), "row": range(len(keys))})
    blocks = list(with_whole_keys(_cut(table, size), "key"))
    assert pl.concat(blocks).equals(table)
    of_blocks = [set(block["key"]) for block in blocks]
    assert sum(map(len, of_blocks)) == len(set(keys))
    # None is held back for longer than its keys want: the first piece that has two gives one.
    assert all(len(keys_of) <= size for keys_of in of_blocks)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text("ab", max_size=2), max_size=60), sizes)
def test_distinct_ids_are_counted_in_any_cut(ids: list[str], size: int) -> None:
    counted = DistinctIds()
    for block in _cut(pl.Series("id", ids, dtype=pl.String), size):
        counted.add(block)
    texts, counts = counted.sorted()
    assert texts.to_list() == sorted(set(ids))
    assert counts.tolist() == [ids.count(text) for text in texts]


@pytest.mark.parametrize("rows_a_header", [7, 12])
def test_a_digest_does_not_know_how_rows_came(
    monkeypatch: pytest.MonkeyPatch, rows_a_header: int
) -> None:
    monkeypatch.setattr(digest, "_ROWS_A_HEADER", rows_a_header)
    monkeypatch.setattr(digest, "_ROWS_AT_ONCE", 5)
    one = pl.DataFrame({"a": range(40), "b": [f"x,{row}" for row in range(40)]})
    other = pl.DataFrame({"c": [timedelta(row) for row in range(9)], "d": [[1]] * 9})
    plain = other.select(pl.col("c").to_physical())
    texts = [rows.write_csv() for table in (one, plain) for rows in _cut(table, rows_a_header)]
    wanted = hashlib.sha256("".join(texts).encode()).hexdigest()
    assert digest_of(one, other) == wanted
    for size in (1, 3, 12, 40):
        made = TablesDigest()
        for table in (one, other):
            made.begin()
            for rows in _cut(table, size):
                made.add(rows)
        assert made.hexdigest() == wanted


DAYS = [20240101 + day for day in range(28)]
TIMES: dict[str, list[Any]] = {
    "days": DAYS,
    "days but one": [*DAYS, 1_706_708_701],
    "seconds, early ones too": [3, 20240101, None, *range(1_706_708_701, 1_706_708_720)],
    "milliseconds": [20240101, 5_000, *range(1_706_708_701_000, 1_706_708_701_020)],
    "numbers as text": [str(day) for day in DAYS] + [" 20240131 "],
    "text": [str(date(2024, 1, 1) + timedelta(day)) for day in range(20)]
    + ["2024-01-31T13:45:00Z"],
    "floats": [float("nan"), 1_706_708_701.5, None, 20240101.0, 1_706_708_702.25],
    "nothing": [None] * 9,
}


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("size", [1, 4, 19])
def test_times_of_a_piece_are_read_as_those_of_the_column(name: str, size: int) -> None:
    times = pl.Series("timestamp", TIMES[name])
    form = TimeForm()
    for piece in _cut(times, size):
        form = form.and_of(TimeForm.of(piece))
    read = [as_instants(piece, "log", form) for piece in _cut(times, size)]
    assert pl.concat(read).equals(as_instants(times, "log"))


@pytest.mark.parametrize("said", [["1,5", "2.000,5"], ["1.5"], []])
def test_amounts_of_a_piece_are_read_as_those_of_the_column(said: list[str]) -> None:
    texts = pl.Series("price", ["1.299", "1,299", "7", None, *said, "3.333"])
    commas = sum(decimal_commas(piece) for piece in _cut(texts, 2)) > 0
    read = pl.concat([as_amounts(piece, commas) for piece in _cut(texts, 2)])
    assert read.equals(as_amounts(texts))


def _written(folder: Path, table: pl.DataFrame, size: int) -> ParquetPieces:
    folder.mkdir(exist_ok=True)
    for number, piece in enumerate(_cut(table, size)):
        piece.write_parquet(folder / f"{number:02d}.parquet", row_group_size=3)
    pieces = ParquetPieces.of(folder)
    assert pieces is not None
    return pieces


def test_pieces_of_a_folder_are_the_folder(tmp_path: Path) -> None:
    table = pl.DataFrame(
        {
            "id": [float(row) for row in range(20)],
            "text": [f"t{row}".encode() for row in range(20)],
            "picture": [b"\xff" if row == 17 else b"t" for row in range(20)],
        }
    )
    pieces = _written(tmp_path / "whole", table, 8).settled(["id"])
    for rows_at_once in (1, 5, 8, 100):
        read = list(pieces.pieces(rows_at_once))
        assert pl.concat([piece for _, piece in read]).equals(read_frame(tmp_path / "whole"))
        assert [first for first, _ in read] == list(range(1, 21, rows_at_once))
        assert len(read) == pieces.num_pieces(rows_at_once)
    # One id that is no whole number makes all of them text, those of other pieces too.
    half = table.with_columns(pl.when(pl.col("id") == 18).then(18.5).otherwise("id").alias("id"))
    pieces = _written(tmp_path / "half", half, 8).settled(["id"])
    first = next(iter(pieces.pieces(4, ["id"])))[1]
    assert first["id"].to_list() == ["0.0", "1.0", "2.0", "3.0"]


def test_a_file_of_other_columns_is_named(tmp_path: Path) -> None:
    table = pl.DataFrame({"id": ["a", "b"]})
    _written(tmp_path / "t", table, 1)
    table.with_columns(more=1).write_parquet(tmp_path / "t" / "01.parquet")
    with pytest.raises(BadInput, match=r"01.parquet has other columns than 00.parquet"):
        ParquetPieces.of(tmp_path / "t")
    (tmp_path / "t" / "01.parquet").write_bytes(b"PAR1")
    with pytest.raises(BadInput, match=r"01.parquet is not a readable Parquet file"):
        ParquetPieces.of(tmp_path / "t")


def test_parts_are_of_equal_size_whatever_batches_come() -> None:
    table = pl.DataFrame({"row": range(23)})
    for size in (1, 4, 30):
        parts = list(in_parts(_cut(table, size), 5))
        assert [part.height for part in parts] == [5, 5, 5, 5, 3]
        assert pl.concat(parts).equals(table)
