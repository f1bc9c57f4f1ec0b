"""What a file may hold that its readers do not take: named, before anything is done with it."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sidmint.catalogue import build_without_log
from sidmint.embedding.checks import stored
from sidmint.errors import BadInput
from sidmint.inspection import inspect_table
from sidmint.layout import Layout
from sidmint.outside import as_text, from_outside, whole_as_integers
from sidmint.params import IngestParams, Params
from sidmint.sources import SOURCES, SourceFiles
from sidmint.sources.bring_in import Sources, bring_in
from sidmint.sources.detect import propose
from sidmint.sources.frames import read_frame
from sidmint.sources.packed import opened, readable
from sidmint.tokenizers import make_tokenizer
from sidmint.tokenizers.storage import DESCRIPTION, load, save

NUM_ITEMS = 10
IDS = [f"i{n}" for n in range(NUM_ITEMS)]


@pytest.fixture
def items(tmp_path: Path) -> Path:
    path = tmp_path / "items.parquet"
    pl.DataFrame({"item_id": IDS, "title": [f"thing {n}" for n in IDS]}).write_parquet(path)
    return path


def events(**more: Any) -> dict[str, Any]:
    num = 4 * NUM_ITEMS
    own = {"user_id": [f"u{n % 5}" for n in range(num)], "item_id": IDS * 4}
    return own | more


def write_log(folder: Path, **more: Any) -> Path:
    path = folder / "log.parquet"
    pq.write_table(pa.table(events(**more)), path)
    return path


def read(items: Path, log: Path) -> Any:
    return SOURCES["table"](IngestParams(source="table"), SourceFiles(items, log), 1)


def with_first(first: Any, usual: Any, kind: pa.DataType | None = None) -> Any:
    return pa.array([first] + [usual] * (4 * NUM_ITEMS - 1), type=kind)


@pytest.mark.parametrize(
    "positions",
    [
        with_first(2**63, 1, pa.uint64()),
        with_first(1e300, 1.0),
        with_first(2.0**60, 1.0),
        with_first("9" * 400, "1"),
        with_first(float("inf"), 1.0),
    ],
)
def test_a_position_beyond_64_bits_is_named(items: Path, tmp_path: Path, positions: Any) -> None:
    log = write_log(tmp_path, position=positions)
    with pytest.raises(BadInput, match=r"log.parquet: row 1 has position .*no whole number"):
        read(items, log)


def test_a_large_position_is_kept_to_the_last_digit(items: Path, tmp_path: Path) -> None:
    log = write_log(tmp_path, position=with_first(2**62 + 1, 1))
    assert read(items, log).interactions["position"][0] == 2**62 + 1


@pytest.mark.parametrize(
    "times",
    [
        with_first(1e300, 1.7e9),
        with_first(2**63 - 1, 1, pa.timestamp("us")),
        with_first(-(2**62), 1, pa.timestamp("ms")),
        with_first(5 * 10**6, 1, pa.date32()),
        with_first("1" * 400, "1700000000"),
    ],
)
def test_a_time_outside_the_calendar_is_named(items: Path, tmp_path: Path, times: Any) -> None:
    log = write_log(tmp_path, timestamp=times)
    with pytest.raises(BadInput, match=r"log.parquet.*(outside the years 1 to 9999|is no time)"):
        read(items, log)


@pytest.mark.parametrize("kind", [pa.binary(), pa.binary_view(), pa.large_binary()])
def test_ids_in_bytes_are_text_where_they_are_utf_8(
    items: Path, tmp_path: Path, kind: pa.DataType
) -> None:
    raw = pa.array([each.encode() for each in IDS * 4], type=kind)
    log = write_log(tmp_path, item_id=raw)
    assert propose(items, log).has_log
    assert read(items, log).interactions["item_id"].to_list() == IDS * 4
    log = write_log(tmp_path, item_id=with_first(b"\xff\xfe", b"i1", kind))
    with pytest.raises(BadInput, match="row 1 has bytes in item_id that are not UTF-8"):
        propose(items, log)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (pa.array([[each] for each in IDS * 4]), "do not meet"),
        (pa.array([{"a": each} for each in IDS * 4]), "do not meet"),
        (pa.array(range(4 * NUM_ITEMS), type=pa.duration("s")), "is of type Duration"),
    ],
)
def test_ids_of_no_text_form_are_named(
    items: Path, tmp_path: Path, ids: pa.Array, message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        propose(items, write_log(tmp_path, item_id=ids))
    codes = tmp_path / "codes.parquet"
    pl.DataFrame({"item_id": IDS, "code_1": range(NUM_ITEMS)}).write_parquet(codes)
    with pytest.raises(BadInput, match=r"log.parquet.*(has no column|is of type)"):
        inspect_table(codes, Params(), interactions_path=tmp_path / "log.parquet")


def test_bytes_that_nobody_asks_for_may_be_any(items: Path, tmp_path: Path) -> None:
    table = pq.read_table(items).append_column("picture", pa.array([b"\xff\xd8"] * NUM_ITEMS))
    pq.write_table(table, items)
    assert propose(items, write_log(tmp_path)).has_log


def catalogue_of(items: Path, more: pa.Array) -> Any:
    pq.write_table(pq.read_table(items).append_column("more", more), items)
    raw = SOURCES["table"](IngestParams(source="table"), SourceFiles(items), 1)
    return build_without_log(raw.items, raw.items_name)


def test_columns_that_nobody_asks_for_are_told_apart_or_named(items: Path) -> None:
    whole = items.read_bytes()
    spans = [pa.array([n, *range(1, NUM_ITEMS)], type=pa.duration("us")) for n in (1, 2)]
    digests = []
    for span in spans:
        items.write_bytes(whole)
        digests.append(catalogue_of(items, span).profile["digest"])
    assert digests[0] != digests[1]
    items.write_bytes(whole)
    with pytest.raises(BadInput, match="out-of-range datetime"):
        catalogue_of(items, pa.array([2**62] * NUM_ITEMS, type=pa.timestamp("ms")))


def test_a_missing_user_is_named_by_init_already(items: Path, tmp_path: Path) -> None:
    log = write_log(tmp_path, user_id=with_first(None, 1.0))
    with pytest.raises(BadInput, match="row 1 has no user_id"):
        propose(items, log)


def test_a_carriage_return_in_a_plain_field_ends_in_an_answer(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_bytes(b"item_id,title\n1,a\rb\n2,c\n")
    assert read_frame(path)["item_id"].to_list() == ["1", "2"]
    path.write_bytes(b"item_id,title\n1,a\rb,c\n2,c\n")
    with pytest.raises(BadInput, match=r"items.csv"):
        read_frame(path)


def test_a_number_of_400_digits_in_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text('{"item_id": ' + "9" * 400 + ', "title": "a"}\n')
    with pytest.raises(BadInput, match=r"items.jsonl"):
        read_frame(path)


def zeros_in_zip(path: Path, name: str, begins: bytes, num_bytes: int) -> None:
    """An archive of one file that begins so and goes on with zeros."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(name, "w") as to:
        to.write(begins)
        for _ in range(num_bytes >> 20):
            to.write(bytes(1 << 20))


def header(shape: tuple[int, ...]) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        out, {"descr": "<i8", "fortran_order": False, "shape": shape}
    )
    return out.getvalue()


def test_an_archive_that_fills_the_memory_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "codes.npz"
    zeros_in_zip(path, "codes.npy", header((12 << 17, 8)), 96 << 20)
    with pytest.raises(BadInput, match=r"codes.npz has [\d,]+ bytes and claims to unpack to 100,"):
        inspect_table(path, Params())
    path = tmp_path / "items.zip"
    zeros_in_zip(path, "items.csv", b"item_id,title\n", 96 << 20)
    with pytest.raises(BadInput, match=r"items.zip has [\d,]+ bytes and claims to unpack to"):
        read_frame(path)


def test_a_header_in_an_archive_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "codes.npz"
    zeros_in_zip(path, "codes.npy", header((10**12, 8)), 1 << 20)
    with pytest.raises(BadInput, match=r"codes.npz .*its header claims 64,000,000,000,000 bytes"):
        inspect_table(path, Params())


@pytest.mark.parametrize("key", ["digest", "type", "config", "name"])
@pytest.mark.parametrize("value", [None, 7, ["a"]])
def test_a_description_without_what_is_needed_is_named(
    tmp_path: Path, key: str, value: Any
) -> None:
    tokenizer = make_tokenizer("pq", {"sizes": (3, 3)})
    tokenizer.fit(np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32))
    description = save(tokenizer, tmp_path, "all", 20)
    description = {**description, key: value} if value else description
    if value is None:
        del description[key]
    (tmp_path / DESCRIPTION).write_text(json.dumps(description))
    with pytest.raises(BadInput, match=rf"tokenizer.json has no {key} of type"):
        load(tmp_path)


def spoilt(value: float) -> np.ndarray:
    vectors = np.random.default_rng(0).normal(size=(NUM_ITEMS, 4)).astype(np.float32)
    vectors[3] = value
    return vectors


VECTORS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "rows.npy": (lambda path: np.save(path, spoilt(1)[1:]), "has 9 rows and items.parquet has 10"),
    "nan.npy": (lambda path: np.save(path, spoilt(np.nan)), "vector of item i3 holds NaN"),
    "zero.npy": (lambda path: np.save(path, spoilt(0)), "vector of item i3 is zero"),
    "object.npy": (
        lambda path: np.save(path, np.array([[print]] * NUM_ITEMS), allow_pickle=True),
        "without Python objects",
    ),
    "same.npy": (lambda path: np.save(path, np.ones((NUM_ITEMS, 3))), "have the same vector"),
    "flat.npy": (lambda path: np.save(path, np.ones(NUM_ITEMS)), "has the shape"),
    "few.parquet": (
        lambda path: pl.DataFrame({"item_id": IDS[1:], "v": spoilt(1)[1:].tolist()}).write_parquet(
            path
        ),
        "has no vector for 1 of 10 items, the first of them i0",
    ),
}


@pytest.mark.parametrize("name", VECTORS)
def test_vectors_are_looked_at_before_anything_is_written(
    items: Path, tmp_path: Path, name: str
) -> None:
    write, message = VECTORS[name]
    write(tmp_path / name)
    layout = Layout(tmp_path / "workspace")
    with pytest.raises(BadInput, match=message):
        bring_in(layout, Sources("table", items, None, tmp_path / name))
    assert not layout.params.exists()


def test_sound_vectors_are_brought_in(items: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "vectors.npy", spoilt(1))
    layout = Layout(tmp_path / "workspace")
    layout.root.mkdir()
    bring_in(layout, Sources("table", items, None, tmp_path / "vectors.npy"))
    assert "path: data/raw/vectors.npy" in layout.params.read_text()


def test_what_float16_cannot_tell_apart_is_refused() -> None:
    vectors = spoilt(1)
    assert np.isfinite(stored(vectors + 4, IDS)).all()
    with pytest.raises(BadInput, match=r"float16.* would lose .* subtract their mean"):
        stored(vectors + 10_000, IDS)
    with pytest.raises(BadInput, match="is so small that it is zero in float16"):
        stored(vectors * np.float32(1e-9), IDS)


def test_the_door_turns_what_libraries_raise_and_nothing_else() -> None:
    for raised in (pl.exceptions.ComputeError("no"), OverflowError("no"), MemoryError()):
        with (
            pytest.raises(BadInput, match=r"^x\.csv holds what cannot be read"),
            from_outside("x.csv"),
        ):
            raise raised
    with pytest.raises(KeyError), from_outside("x.csv"):
        raise KeyError("a defect of ours")


def test_whole_numbers_are_ids_as_long_as_a_float_holds_them() -> None:
    assert as_text(whole_as_integers(pl.Series([17.0, None])), "x").to_list() == ["17", None]
    assert whole_as_integers(pl.Series([1e300, 2.0])).dtype == pl.Float64
    assert whole_as_integers(pl.Series([0.5])).dtype == pl.Float64


def packed_as(suffix: str, content: bytes) -> bytes:
    if suffix == "gz":
        return gzip.compress(content)
    return bytes(pa.compress(content, "zstd", asbytes=True))


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_stream_that_fills_the_memory_is_not_unpacked(tmp_path: Path, suffix: str) -> None:
    path, small = tmp_path / f"items.csv.{suffix}", tmp_path / f"small.csv.{suffix}"
    path.write_bytes(packed_as(suffix, b"item_id,title\n" + b"a,b\n" * (17 << 20)))
    for read in (opened, readable):
        with pytest.raises(BadInput, match=r"unpacks to more than 67,108,864, 100 times"):
            read(path)
    content = b"item_id,title\n" + b"a,b\n" * 1000
    small.write_bytes(packed_as(suffix, content))
    assert opened(small).read() == content
    assert readable(small) == small
