"""Every way in which a table made elsewhere is no table: named with its file, row or key."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from foreign_tables import IDS, NUM_ITEMS, columns, make_codes, make_log, make_vectors
from sidmint.errors import BadInput
from sidmint.inspection import inspect_table
from sidmint.params import Params

TEXTS = {
    "empty.csv": ("", "is empty"),
    "header.csv": ("item_id,code_1\n", "has no rows"),
    "no_codes.csv": ("a,b\nx,y\n", "has no columns of codes; .*it has a, b"),
    "no_header.csv": ("5,12,7\n6,12,8\n", "does it lack a line of column names"),
    "fraction.csv": ("item_id,c0,c1\na,1,2.5\n", "item a has '2.5' in c1"),
    "negative.csv": ("item_id,c0,c1\na,0,1\nb,1,-2\n", r"item b \(row 2\) has -1 as its code 2"),
    "null.csv": ("item_id,c0,c1\na,0,1\nb,1,\n", "item b has no value in c1"),
    "word.csv": ("item_id,c0,c1\na,0,x\nb,1,1\n", "item a has 'x' in c1"),
    "twice.csv": ("item_id,c0\na,0\nb,1\na,2\n", "item a stands in rows 1, 3"),
    "no_id.csv": ("item_id,c0\n,0\nb,1\n", "row 1 has no item_id"),
    "gap.csv": ("item_id,code_1,code_3\na,1,1\n", "number 2 is missing"),
    "same_level.csv": ("item_id,code_1,Code1\na,1,1\n", "mean the same level"),
    "no_item.csv": ("c0,x,y\n1,a,a\n2,a,a\n", "no column that looks like item_id"),
    "large.csv": ("item_id,c0\na,99999999999\nb,1\n", "codes are whole numbers from 0 to"),
    "ragged.csv": ("item_id,sid\na,1-2\nb,1-2-3\n", "item b .*has 3 codes where item a has 2"),
    "no_number.csv": ("item_id,sid\na,1-2\nb,1-x\n", "item b .*'1-x', which is no id"),
    "two_lists.jsonl": ('{"item_id":"a","x":[1],"y":[2]}', r"several columns of lists .*\(x, y\)"),
    "ragged.json": ('{"a":["<a_1>","<b_2>"],"b":["<a_1>"]}', "item b .*has 1 codes where"),
    "token.json": ('{"a":["<a_1>"],"b":["oops"]}', "item b .*token 'oops', which holds no code"),
    "turned.json": (
        '{"a":["<a_1>","<b_2>"],"b":["<b_1>","<a_2>"]}',
        "token 1 of item b is",
    ),
    "repeated.json": ('{"a":["<a_1>"],"a":["<a_2>"]}', "the key 'a' stands there twice"),
    "list.json": ("[[1, 2]]", "holds a JSON list and no index"),
    "number.json": ('{"a":[1],"b":2}', "entry of b is '2' of type int, where a list was wanted"),
    "fraction.json": ('{"a":[1.5]}', "token '1.5' of type float"),
    "nan.json": ('{"a":[NaN]}', "token 'nan' of type float"),
    "truth.json": ('{"a":[true]}', "token 'True' of type bool"),
    "mixed.json": ('{"a":["<a_1>", 2]}', "token '2' of type int"),
    "none.json": ("{}", "is an empty index"),
    "no_tokens.json": ('{"a":[],"b":[]}', "item a has no codes"),
    "cut.json": ('{"a":["<a_1>"', "is not JSON: .*line 1, column 14"),
    "deep.json": ("[" * 100_000, "is not readable as JSON"),
    "surrogate.json": ('{"\\ud800":["<a_1>"]}', "not Unicode"),
    "huge.json": ('{"a":[' + "9" * 50 + "]}", "too large for any codebook"),
    "endless.json": ('{"a":[' + "9" * 5000 + "]}", "is not readable as JSON"),
    "table.yaml": ("a: 1", "is of no known format; give .parquet"),
    "damaged.parquet": ("PAR1junk", "is not a readable Parquet file"),
    "damaged.npy": ("junk", "is no .npy file"),
    "damaged.npz": ("PK\x03\x04junk", "is not a readable .npz file"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_that_is_no_table_is_named(tmp_path: Path, name: str) -> None:
    text, message = TEXTS[name]
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=rf"(?s){name}.*{message}"):
        inspect_table(path, Params())


def header(shape: str) -> bytes:
    """A .npy file that is all header."""
    text = f"{{'descr': '<i8', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00v\x00" + text.ljust(117) + b"\n"


def save(**arrays: Any) -> Callable[[Path], None]:
    return lambda path: np.savez(path, **arrays)


ARRAYS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "float.npy": (lambda path: np.save(path, np.ones((3, 2))), "holds float64 .*--vectors"),
    "flat.npy": (lambda path: np.save(path, np.arange(3)), r"of shape \(3,\)"),
    "no_rows.npy": (lambda path: np.save(path, np.zeros((0, 3), int)), r"of shape \(0, 3\)"),
    "negative.npy": (lambda path: np.save(path, np.array([[1], [-1]])), r"item 1 \(row 2\) has -1"),
    "unsigned.npy": (
        lambda path: np.save(path, np.array([[2**64 - 1]], dtype=np.uint64)),
        r"item 0 \(row 1\) has 9223372036854775807",
    ),
    "object.npy": (
        lambda path: np.save(path, np.array([[print]]), allow_pickle=True),
        "not a readable numpy array",
    ),
    "claim.npy": (lambda path: path.write_bytes(header("(10**12, 4)")), "not a readable numpy"),
    "large_claim.npy": (
        lambda path: path.write_bytes(header("(999999999999, 4)")),
        "not a readable numpy array",
    ),
    "two.npz": (save(a=np.ones(2), b=np.ones(2)), r"holds 2 arrays \(a, b\)"),
    "object.npz": (save(a=np.array([[print]])), "not a readable numpy array"),
    "vectors.parquet": (
        lambda path: pl.DataFrame({"x_0": [0.5], "x_1": [0.1]}).write_parquet(path),
        "has no columns of codes",
    ),
    "isbn.parquet": (
        lambda path: pl.DataFrame({"item_id": ["978-3-16"], "title": ["1-2"]}).write_parquet(path),
        "has no columns of codes",
    ),
    "truth.parquet": (
        lambda path: columns(make_codes() > 3, "code_{}").write_parquet(path),
        "has no columns of codes",
    ),
    "infinite.parquet": (
        lambda path: pl.DataFrame({"item_id": ["a"], "c0": [float("inf")]}).write_parquet(path),
        "item a has 'inf' in c0",
    ),
    "null_list.parquet": (
        lambda path: pl.DataFrame({"item_id": ["a", "b"], "codes": [[1], None]}).write_parquet(
            path
        ),
        r"item b \(row 2\) has no codes",
    ),
    "null_in_list.parquet": (
        lambda path: pl.DataFrame({"item_id": ["a"], "codes": [[1, None]]}).write_parquet(path),
        "item a has no value in codes",
    ),
    "null_token.parquet": (
        lambda path: pl.DataFrame({"item_id": ["a"], "codes": [["<a_1>", None]]}).write_parquet(
            path
        ),
        "item a .*token 'None'",
    ),
    "folder.parquet": (lambda path: path.mkdir(), "is a folder; give one file"),
    "index.json.gz": (lambda path: path.write_bytes(gzip.compress(b"{}")), "is packed"),
    "absent.csv": (lambda path: None, "is not there"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_a_file_that_is_no_table_is_named(tmp_path: Path, name: str) -> None:
    write, message = ARRAYS[name]
    write(tmp_path / name)
    with pytest.raises(BadInput, match=rf"(?s){name}.*{message}"):
        inspect_table(tmp_path / name, Params())


@pytest.fixture
def table(tmp_path: Path) -> Path:
    columns(make_codes(), "code_{}").write_parquet(tmp_path / "table.parquet")
    return tmp_path / "table.parquet"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sizes": [4]}, r"item \d+ .*at level \d, which --sizes gives 4 codes, 0 to 3"),
        ({"sizes": [8, 8]}, "--sizes 8,8 does not fit .* with 3 levels"),
        ({"sizes": [8, 8, 8, 8]}, "does not fit"),
        ({"sizes": [0, 8, 8]}, "at least 1 a level"),
        ({"sizes": [8, 8, 8], "suffix": True}, "does not fit .* with 2 levels"),
    ],
)
def test_sizes_that_do_not_fit_are_named(table: Path, options: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        inspect_table(table, Params(), **options)


def test_one_number_an_item_has_no_suffix(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", make_codes()[:, :1])
    with pytest.raises(BadInput, match="so it has no suffix"):
        inspect_table(tmp_path / "one.npy", Params(), suffix=True)


def spoilt(row: int, value: float) -> np.ndarray:
    vectors = make_vectors()
    vectors[row] = value
    return vectors


VECTORS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "short.npy": (lambda path: np.save(path, make_vectors()[1:]), "299 rows for 300 items"),
    "nan.npy": (lambda path: np.save(path, spoilt(3, np.nan)), "vector of item 3 holds NaN"),
    "zero.npy": (lambda path: np.save(path, spoilt(3, 0)), "vector of item 3 is zero"),
    "same.npy": (lambda path: np.save(path, np.ones((NUM_ITEMS, 2))), "have the same vector"),
    "flat.npy": (lambda path: np.save(path, np.ones(NUM_ITEMS)), "has the shape"),
    "vectors.csv": (lambda path: path.write_text("a\n1\n"), "give .npy or .parquet"),
    "others.parquet": (
        lambda path: pl.DataFrame(
            {"item_id": [f"x{i}" for i in IDS], "vector": make_vectors().tolist()}
        ).write_parquet(path),
        "has no vector for 300 of 300 items, the first of them 0",
    ),
    "no_id.parquet": (
        lambda path: pl.DataFrame({"vector": make_vectors().tolist()}).write_parquet(path),
        "no column that looks like item_id",
    ),
    "empty.npy": (lambda path: path.touch(), "is empty"),
    "absent.npy": (lambda path: None, "is not there"),
}


@pytest.mark.parametrize("name", VECTORS)
def test_vectors_that_do_not_fit_are_named(table: Path, name: str) -> None:
    write, message = VECTORS[name]
    write(table.with_name(name))
    with pytest.raises(BadInput, match=rf"(?s){name}.*{message}"):
        inspect_table(table, Params(), vectors_path=table.with_name(name))


def with_null(column: str) -> pl.DataFrame:
    first = pl.int_range(pl.len()) == 0
    return make_log().with_columns(pl.when(~first).then(pl.col(column)))


LOGS: dict[str, tuple[pl.DataFrame, str]] = {
    "unknown": (
        make_log().with_columns(item_id=pl.lit("B0") + pl.col("item_id")),
        "names no item of .*table.parquet: item_id holds ids like B0",
    ),
    "no_rows": (make_log().clear(), "names no item of"),
    "no_user": (make_log().drop("user_id"), "no column that looks like user_id"),
    "no_item": (make_log().drop("item_id"), "no column that looks like item_id"),
    "null_user": (with_null("user_id"), "row 1 has no user_id"),
    "null_item": (with_null("item_id"), "row 1 has no item_id"),
    "null_time": (with_null("timestamp"), "row 1 has no timestamp where other rows have"),
    "same_position": (make_log().with_columns(position=pl.lit(0)), "has position 0 twice"),
}


@pytest.mark.parametrize("name", LOGS)
def test_logs_that_do_not_fit_are_named(table: Path, name: str) -> None:
    log, message = LOGS[name]
    log.write_parquet(table.with_name(f"{name}.parquet"))
    with pytest.raises(BadInput, match=rf"(?s){name}.parquet.*{message}"):
        inspect_table(table, Params(), interactions_path=table.with_name(f"{name}.parquet"))


def test_a_log_that_asks_nothing_is_told_and_not_an_error(table: Path) -> None:
    single = make_log().with_columns(user_id=pl.int_range(pl.len()).cast(pl.String))
    single.write_parquet(table.with_name("log.parquet"))
    np.save(table.with_name("vectors.npy"), make_vectors())
    found = inspect_table(
        table,
        Params(),
        vectors_path=table.with_name("vectors.npy"),
        interactions_path=table.with_name("log.parquet"),
    )
    assert found.metrics["num_cases"] == 0
    assert "no user's last event" in found.not_applied["retention_at_100"]
