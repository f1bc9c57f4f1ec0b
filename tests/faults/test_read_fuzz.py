"""Files of the user's own, of any content: every reader answers, or says what is wrong.

Tables of items and of events as CSV, JSON Lines and Parquet, vectors as .npy, .npz and Parquet, and
tokenizer.json, each with values that no reader expects, or damaged. What comes is an answer or one
of our own errors, never another exception.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sidmint.catalogue import build_catalogue, build_without_log
from sidmint.errors import SidmintError
from sidmint.inspection import inspect_table
from sidmint.params import IngestParams, Params
from sidmint.sources import SOURCES, SourceFiles
from sidmint.sources.detect import propose
from sidmint.sources.vectors import read_vectors
from sidmint.tokenizers import make_tokenizer
from sidmint.tokenizers.storage import DESCRIPTION, TENSORS, load, save

EACH = int(os.environ.get("SIDMINT_FUZZ_EXAMPLES", "60"))
"""Examples a test, of four tests; 500 make two thousand."""

slowly = settings(
    max_examples=EACH,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.generate,),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

ROWS = 12
TYPES: dict[str, pa.DataType] = {
    "text": pa.string(),
    "large text": pa.large_string(),
    "view": pa.string_view(),
    "bytes": pa.binary(),
    "bytes view": pa.binary_view(),
    "fixed bytes": pa.binary(4),
    "int": pa.int64(),
    "uint": pa.uint64(),
    "float": pa.float64(),
    "half": pa.float16(),
    "bool": pa.bool_(),
    "decimal": pa.decimal128(38, 2),
    "time": pa.timestamp("ns", "UTC"),
    "seconds": pa.timestamp("s"),
    "day": pa.date32(),
    "clock": pa.time64("us"),
    "span": pa.duration("us"),
    "list": pa.list_(pa.string()),
    "lists": pa.list_(pa.list_(pa.int64())),
    "floats": pa.list_(pa.float32()),
    "fixed": pa.list_(pa.float32(), 3),
    "record": pa.struct([("a", pa.string()), ("b", pa.list_(pa.binary()))]),
    "words": pa.dictionary(pa.int32(), pa.string()),
    "nothing": pa.null(),
}
EDGES = st.sampled_from(
    [0, 1, -1, 7, 2**31, 2**53 + 1, 2**62, 2**63 - 1, -(2**63), 1_700_000_000, 20_240_131]
)
TEXTS = st.sampled_from(
    [
        "",
        " ",
        "a",
        "1",
        "01",
        "1.0",
        "1e400",
        "-1",
        "inf",
        "nan",
        "9" * 400,
        "é",
        "\x00",
        "2024-01-31",
    ]
) | st.text(max_size=4)


def of_type(kind: str) -> st.SearchStrategy[Any]:
    """Values that a Parquet column of `kind` can hold."""
    match kind:
        case "text" | "large text" | "view" | "words":
            return TEXTS
        case "bytes" | "bytes view":
            return st.binary(max_size=4)
        case "fixed bytes":
            return st.binary(min_size=4, max_size=4)
        case "int" | "span":
            return EDGES
        case "time" | "seconds":
            return EDGES
        case "uint":
            return EDGES.map(abs)
        case "float":
            return st.floats()
        case "half":
            return st.floats(width=16).map(np.float16)
        case "bool":
            return st.booleans()
        case "decimal":
            return st.decimals(-(10**30), 10**30, places=2)
        case "day":
            return st.integers(-(10**6), 10**6)
        case "clock":
            return st.integers(0, 86_399_999_999)
        case "list":
            return st.lists(TEXTS, max_size=3)
        case "lists":
            return st.lists(st.lists(EDGES, max_size=2), max_size=2)
        case "floats":
            return st.lists(st.floats(width=32), max_size=4)
        case "fixed":
            return st.lists(st.floats(width=32), min_size=3, max_size=3)
        case "record":
            return st.fixed_dictionaries(
                {"a": TEXTS, "b": st.lists(st.binary(max_size=2), max_size=2)}
            )
    return st.none()


ITEM_NAMES = (
    "item_id",
    "title",
    "brand",
    "categories",
    "price",
    "description",
    "asin",
    "code_1",
    "codes",
)
EVENT_NAMES = ("user_id", "item_id", "timestamp", "position", "rating", "asin")


@st.composite
def columns(draw: st.DrawFn, names: tuple[str, ...], usual: dict[str, list[Any]]) -> pa.Table:
    """A sound table in which one to three columns hold what nobody expects."""
    table = pa.table(usual)
    for name in draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True)):
        kind = draw(st.sampled_from(sorted(TYPES)))
        num = table.num_rows
        values = draw(st.lists(of_type(kind) | st.none(), min_size=num, max_size=num))
        column = pa.array(values, type=TYPES[kind])
        place = table.column_names.index(name) if name in table.column_names else None
        table = (
            table.append_column(name, column)
            if place is None
            else table.set_column(place, name, column)
        )
    return table


ITEMS = {"item_id": [str(n) for n in range(ROWS)], "title": [f"thing {n % 5}" for n in range(ROWS)]}
EVENTS = {
    "user_id": [f"u{n % 4}" for n in range(4 * ROWS)],
    "item_id": [str(n * 7 % ROWS) for n in range(4 * ROWS)],
    "timestamp": [1_700_000_000 + n for n in range(4 * ROWS)],
}


def as_parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def as_csv(table: pa.Table) -> bytes:
    """With no quote around anything, as a program writes that does not know of quotes."""
    lines = [table.column_names, *(row.values() for row in table.to_pylist())]
    return b"".join(
        b",".join(v if isinstance(v, bytes) else str(v).encode("utf-8", "replace") for v in line)
        + b"\n"
        for line in lines
    )


def as_json_lines(table: pa.Table) -> bytes:
    rows = (json.dumps(row, default=repr) for row in table.to_pylist())
    return "\n".join(rows).encode()


WRITERS = {".parquet": as_parquet, ".csv": as_csv, ".jsonl": as_json_lines, ".tsv": as_csv}


@st.composite
def files(
    draw: st.DrawFn, names: tuple[str, ...], usual: dict[str, list[Any]]
) -> tuple[str, bytes]:
    """A suffix and the bytes of such a table; one in three is damaged too."""
    suffix = draw(st.sampled_from(sorted(WRITERS)))
    try:
        data = WRITERS[suffix](draw(columns(names, usual)))
    except (pa.ArrowException, OverflowError, ValueError):
        data = b""  # what cannot even be written
    if draw(st.integers(0, 2)) == 0:
        at = draw(st.integers(0, len(data)))
        data = (
            data[:at]
            + draw(st.sampled_from([b"", b"\r", b'"', b"\xff", b"\x00", b"9" * 400]))
            + data[at + draw(st.integers(0, 2)) :]
        )
    return suffix, data


def ask(*questions: Callable[[], object]) -> None:
    """Every question has an answer, or one of our errors."""
    for question in questions:
        with suppress(SidmintError):
            question()


def catalogue(items: Path, events: Path | None, columns: dict[str, str]) -> None:
    """What `ingest` makes of two files, or of the items alone."""
    params = IngestParams.model_validate({"source": "table", "columns": columns})
    raw = SOURCES["table"](params, SourceFiles(items, events), 1)
    if raw.interactions is None:
        build_without_log(raw.items, raw.items_name)
        return
    build_catalogue(raw.items, raw.interactions, min_interactions=1, cold_share=0.1, seed=1)


def proposed(items: Path, events: Path | None) -> None:
    catalogue(items, events, dict(propose(items, events).columns))


@slowly
@given(items=files(ITEM_NAMES, ITEMS), events=files(EVENT_NAMES, EVENTS), which=st.integers(0, 2))
def test_tables_of_any_content(items: Any, events: Any, which: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        items = items if which != 1 else (".parquet", as_parquet(pa.table(ITEMS)))
        events = events if which != 2 else (".parquet", as_parquet(pa.table(EVENTS)))
        ours, log = Path(name, "items" + items[0]), Path(name, "log" + events[0])
        ours.write_bytes(items[1])
        log.write_bytes(events[1])
        ask(
            lambda: proposed(ours, log),
            lambda: proposed(ours, None),
            lambda: catalogue(ours, log, {}),
            lambda: catalogue(ours, None, {}),
        )


CODES = {
    "item_id": ITEMS["item_id"],
    "code_1": [n % 3 for n in range(ROWS)],
    "code_2": list(range(ROWS)),
}
CODE_NAMES = ("item_id", "code_1", "code_2", "suffix", "semantic_id", "codes", "title")


@slowly
@given(
    table=files(CODE_NAMES, CODES),
    events=files(EVENT_NAMES, EVENTS),
    vectors=files(("item_id", "vector", "x_0"), {"item_id": ITEMS["item_id"]}),
    which=st.integers(0, 2),
)
def test_tables_made_elsewhere(table: Any, events: Any, vectors: Any, which: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        table = table if which == 0 else (".parquet", as_parquet(pa.table(CODES)))
        codes, log = Path(name, "codes" + table[0]), Path(name, "log" + events[0])
        codes.write_bytes(table[1])
        log.write_bytes(events[1])
        theirs = Path(name, "vectors" + vectors[0])
        theirs.write_bytes(vectors[1])
        ask(
            lambda: inspect_table(codes, Params()),
            lambda: inspect_table(codes, Params(), interactions_path=log),
            lambda: inspect_table(codes, Params(), vectors_path=theirs),
            lambda: read_vectors(theirs, "vectors", "item_id", lambda: (ITEMS["item_id"], "items")),
        )


@st.composite
def arrays(draw: st.DrawFn) -> bytes:
    """A numpy file: of any type and shape, with a header that lies, or damaged."""
    kind = draw(
        st.sampled_from(["f4", "f2", "f8", "i4", "u8", "c8", "b1", "U3", "M8[s]", "V4", "O"])
    )
    shape = tuple(draw(st.lists(st.integers(0, 13), max_size=3)))
    shape = draw(st.sampled_from([shape, (ROWS, 3), (ROWS, 2)]))
    seed = draw(st.integers(0, 9))
    values = np.random.default_rng(seed).integers(0, 5, shape)
    array = values.astype("i8").astype(kind) if kind != "V4" else np.zeros(shape, "V4")
    out = io.BytesIO()
    if draw(st.booleans()):
        np.save(out, array, allow_pickle=True)
    else:
        np.savez_compressed(out, **{f"a{n}": array for n in range(draw(st.integers(0, 2)))})
    data = out.getvalue()
    damage = draw(st.sampled_from(["no", "no", "byte", "cut", "shape"]))
    if damage == "byte":
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.binary(max_size=3)) + data[at + 1 :]
    if damage == "cut":
        data = data[: draw(st.integers(0, len(data)))]
    if damage == "shape":
        claim = draw(st.sampled_from([b"(10**9, )", b"(-1,)", b"9" * 30, b"None", b"((((" * 20]))
        data = data.replace(b"(12, 3)", claim).replace(b"(12, 2)", claim)
    return data


@slowly
@given(data=arrays(), suffix=st.sampled_from([".npy", ".npz"]))
def test_arrays_of_any_content(data: bytes, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        path, codes = Path(name, "array" + suffix), Path(name, "codes.parquet")
        path.write_bytes(data)
        codes.write_bytes(as_parquet(pa.table(CODES)))
        ask(
            lambda: inspect_table(path, Params()),
            lambda: inspect_table(codes, Params(), vectors_path=path),
            lambda: read_vectors(path, "vectors", "item_id", lambda: (ITEMS["item_id"], "items")),
        )


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.sampled_from(
        [0, -1, 2**63, 10**400, 1e308, float("nan"), "", "\ud800", "rq_vae", "a" * 99]
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer on disk."""
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer = make_tokenizer("pq", {"sizes": (4, 3)})
    tokenizer.fit(np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32))
    save(tokenizer, folder, "all", 20)
    return folder


@slowly
@given(data=st.data())
def test_a_tokenizer_of_any_description(saved: Path, data: st.DataObject) -> None:
    whole = json.loads((saved / DESCRIPTION).read_text())
    text = json.dumps(whole).encode()
    kind = data.draw(st.sampled_from(["key", "value", "setting", "bytes", "whole", "tensors"]))
    tensors = (saved / TENSORS).read_bytes()
    match kind:
        case "key":
            del whole[data.draw(st.sampled_from(sorted(whole)))]
            text = json.dumps(whole).encode()
        case "value":
            whole[data.draw(st.sampled_from(sorted(whole)))] = data.draw(json_values)
            text = json.dumps(whole).encode()
        case "setting":
            whole["config"][data.draw(st.sampled_from(sorted(whole["config"])))] = data.draw(
                json_values
            )
            text = json.dumps(whole).encode()
        case "whole":
            text = json.dumps(data.draw(json_values)).encode()
        case "bytes":
            at = data.draw(st.integers(0, len(text)))
            text = text[:at] + data.draw(st.binary(max_size=3)) + text[at + 1 :]
        case "tensors":
            at = data.draw(st.integers(0, len(tensors)))
            tensors = tensors[:at] + data.draw(st.binary(max_size=3)) + tensors[at + 1 :]
            whole["digest"] = hashlib.sha256(tensors).hexdigest()
            text = json.dumps(whole).encode()
    with tempfile.TemporaryDirectory() as name:
        Path(name, DESCRIPTION).write_bytes(text)
        Path(name, TENSORS).write_bytes(tensors)
        ask(lambda: load(Path(name)))
