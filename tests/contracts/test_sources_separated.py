"""CSV as people have it: a file is the table that was written into it, or says what it is not."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import polars as pl
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidmint.artifacts import Artifacts
from sidmint.errors import BadInput
from sidmint.layout import Layout
from sidmint.params import load_params, parse_params
from sidmint.sources.bring_in import Sources, bring_in
from sidmint.sources.detect import Reading, propose
from sidmint.sources.frames import read_frame
from sidmint.sources.item_ids import FORMS, in_form, joined
from sidmint.sources.numbers import as_amounts
from sidmint.stages.ingest import ingest

texts = st.text(alphabet=st.sampled_from("abé,;\t|\"'\n .0"), min_size=1, max_size=12).filter(
    lambda text: text.strip() == text
)
tables = st.lists(st.tuples(texts, texts, texts), min_size=3, max_size=12)


def _written(rows: list[tuple[str, ...]], separator: str, quoting: int, line_end: str) -> str:
    """By Python's csv module, which knows nothing of ours."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=separator, quoting=quoting, lineterminator=line_end)
    writer.writerow(["id", "name", "price"])
    writer.writerows(rows)
    return out.getvalue()


def _frame(rows: list[tuple[str, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, ["id", "name", "price"], orient="row")


@settings(max_examples=150, deadline=None)
@given(
    tables,
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_a_table_in_quotes_comes_back_whatever_its_fields_hold(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, ...]],
    separator: str,
    line_end: str,
    has_mark: bool,
) -> None:
    text = _written(rows, separator, csv.QUOTE_ALL, line_end)
    path = tmp_path_factory.getbasetemp() / "quoted.csv"
    path.write_bytes((b"\xef\xbb\xbf" if has_mark else b"") + text.encode())
    assert read_frame(path).equals(_frame(rows))


@pytest.mark.parametrize("separator", list(",;\t|"))
def test_line_breaks_in_quotes_are_no_rows_whatever_the_separator(
    separator: str, tmp_path: Path
) -> None:
    rows = [(f"{n:06}", f"a, b; c\nand {n}", "1,5") for n in range(400)]
    path = tmp_path / "t.csv"
    path.write_text(_written(rows, separator, csv.QUOTE_MINIMAL, "\n"), newline="")
    assert read_frame(path).equals(_frame(rows))


def test_commas_in_text_do_not_outvote_the_separator(tmp_path: Path) -> None:
    rows = [(f"x{n}", "red, soft, big", "3") for n in range(20)]
    lines = ["id;name;price", *(";".join(row) for row in rows)]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    assert read_frame(tmp_path / "t.csv").equals(_frame(rows))


def test_a_single_column_and_blank_lines_are_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id\na\nb\n")
    assert read_frame(tmp_path / "t.csv")["id"].to_list() == ["a", "b"]
    (tmp_path / "u.csv").write_text("id,name\na,x\n\nb,y\n\n\n")
    assert read_frame(tmp_path / "u.csv").rows() == [("a", "x"), ("b", "y")]


ROWS = [("0001", 'a, "b"\nc', "1"), ("2", "d", "3")]


@pytest.mark.parametrize(
    "suffix", ["csv.zst", "csv.zip", "zip", "csv.gz", "jsonl.zst", "jsonl.zip"]
)
def test_a_packed_table_reads_like_a_plain_one(suffix: str, tmp_path: Path) -> None:
    is_json = suffix.startswith("jsonl")
    frame = _frame(ROWS)
    content = (frame.write_ndjson() if is_json else frame.write_csv()).encode()
    path = tmp_path / f"t.{suffix}"
    if suffix.endswith("zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("folder/t.jsonl" if is_json else "folder/t.csv", content)
            archive.writestr("__MACOSX/._t.csv", b"\0")
    else:
        kind = "gzip" if suffix.endswith("gz") else "zstd"
        with pyarrow.output_stream(str(path), compression=kind) as stream:
            stream.write(content)
    assert read_frame(path).equals(frame)


def test_a_zip_of_two_tables_or_of_none_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "t.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", "id\n1\n")
        archive.writestr("b.csv", "id\n1\n")
    with pytest.raises(BadInput, match=r"t.zip holds 2 files \(a.csv, b.csv\)"):
        read_frame(path)
    with zipfile.ZipFile(path, "w"):
        pass
    with pytest.raises(BadInput, match=r"holds 0 files \(none\)"):
        read_frame(path)
    path.write_bytes(b"PK\x03\x04 and nothing else")
    with pytest.raises(BadInput, match="no readable"):
        read_frame(path)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le"])
def test_another_encoding_is_read_when_it_is_named(encoding: str, tmp_path: Path) -> None:
    rows = [("1", "Käse; crème", "2"), ("2", "señor", "3")]
    path = tmp_path / "t.csv"
    path.write_bytes(_written(rows, ";", csv.QUOTE_MINIMAL, "\r\n").encode(encoding))
    assert read_frame(path, encoding).equals(_frame(rows))
    if encoding != "utf-16":  # which has a mark
        with pytest.raises(BadInput, match="--encoding"):
            read_frame(path)
    else:
        assert read_frame(path).equals(_frame(rows))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"id,name\na,x\nb,y\0z\n", "line 3 holds a NUL byte"),
        (b"id,name\na,x\nb,caf\xe9\n", "line 3 is not UTF-8 text.*--encoding latin-1"),
        (b"id,name\na,x\nb,caf\xc3", "line 3 is not UTF-8 text"),
        (b'id,name\na,"x\ny"\nb,c,d\n', "line 4 has 3 fields where the first line names 2"),
        (b'id,name\na,x\nb,"never closed\nc,d\n', "row that begins in line 3.*ends with its quote"),
        (b'id,name\na,x\nb,"y"z\n', "row that begins in line 3.*doubled"),
        (b"", "is empty"),
    ],
    ids=["nul", "latin", "cut", "fields", "open", "stray", "empty"],
)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
def test_what_no_table_is_is_named_by_its_line(
    content: bytes, told: str, packed: bool, tmp_path: Path
) -> None:
    path = tmp_path / ("t.csv.gz" if packed else "t.csv")
    if packed:
        with pyarrow.output_stream(str(path), compression="gzip") as stream:
            stream.write(content)
    else:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=rf"(?s){told}"):
        read_frame(path)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (["1.299,50 €", "12,5", "1.299", "7"], [1299.5, 12.5, 1299.0, 7.0]),
        (["$1,299.50", "12.5", "1,299", "7"], [1299.5, 12.5, 1299.0, 7.0]),
        (["1 299,50", "1'299.00", "-3,1"], [1299.5, 1299.0, -3.1]),
        (["1,234,567", "1.234.567"], [1234567.0, 1234567.0]),
        (["1,299", "2,500"], [1299.0, 2500.0]),
        (["0,299", "0.125"], [0.299, 0.125]),
        (["call us", "", None, "12-15"], [None, None, None, None]),
    ],
    ids=["comma", "point", "mixed", "thousands", "unsaid", "small", "none"],
)
def test_amounts_say_themselves_which_mark_is_the_decimal_one(
    written: list[str | None], meant: list[float | None]
) -> None:
    assert as_amounts(pl.Series("price", written)).to_list() == meant


def _two_files(folder: Path, item_ids: list[str], event_ids: list[str]) -> tuple[Path, Path]:
    names = [f"thing {n}" for n in range(len(item_ids))]
    pl.DataFrame({"sku": item_ids, "name": names}).write_csv(folder / "i.csv")
    users = [n // 10 for n in range(len(event_ids))]
    pl.DataFrame({"uid": users, "sku": event_ids}).write_csv(folder / "e.csv")
    return folder / "i.csv", folder / "e.csv"


EVENTS = [(7 * user + 3 * n) % 40 for user in range(60) for n in range(10)]


@pytest.mark.parametrize(
    ("in_items", "in_log", "form"),
    [
        ("{:06}", "{}", "number"),
        ("{}", "{}.0", "number"),
        ("A{}", " A{} ", "trimmed"),
        ("A{}", "a{}", "lower"),
    ],
)
def test_ids_that_one_form_joins_are_refused_with_it_and_joined_by_it(
    in_items: str, in_log: str, form: str, tmp_path: Path
) -> None:
    item_ids = [in_items.format(n) for n in range(40)]
    paths = _two_files(tmp_path, item_ids, [in_log.format(n) for n in EVENTS])
    told = rf"do not meet: at best 0%.*--id-format {form}`.*then 100.0% .* now 0.0% are"
    with pytest.raises(BadInput, match=told):
        propose(*paths)
    proposal = propose(*paths, "table", Reading(id_format=form))
    assert any("in 100.0% of the interactions, where as written it is 0.0%" in note
               for note in proposal.notes)  # fmt: skip


def test_a_part_of_the_ids_that_does_not_meet_is_told_with_its_form(tmp_path: Path) -> None:
    item_ids = [str(n) for n in range(40)]
    paths = _two_files(tmp_path, item_ids, [f"{n:02}" for n in EVENTS])
    # Of forty ids ten have a zero in front: a quarter of the events.
    with pytest.raises(BadInput, match=r"interactions are on items.*number.*then 100.0%.*75.2%"):
        propose(*paths)


def test_ids_that_meet_in_no_form_are_refused_as_before(tmp_path: Path) -> None:
    paths = _two_files(tmp_path, [f"x{n}" for n in range(40)], [f"y{n}" for n in EVENTS])
    with pytest.raises(BadInput, match="do not meet") as error:
        propose(*paths)
    assert "--id-format" not in str(error.value)


def test_joined_ids_have_the_spelling_of_the_items() -> None:
    items = pl.Series("item_id", ["000017", "A1", "0"])
    events = pl.Series("item_id", ["17", "017.0", "A1", "0", "99"])
    found = joined(events, items, "number", "i.csv")
    assert found.to_list() == ["000017", "000017", "A1", "0", "99"]
    with pytest.raises(BadInput, match=r"'17' and '017' are one id under ingest.id_format number"):
        joined(events, pl.Series(["17", "017"]), "number", "i.csv")


@given(st.lists(st.text(alphabet="0012.A a", max_size=6), max_size=10), st.sampled_from([*FORMS]))
def test_a_form_of_a_form_is_itself(ids: list[str], form: str) -> None:
    once = in_form(pl.Series("id", ids, dtype=pl.String), form)
    assert in_form(once, form).equals(once)


def test_what_init_is_told_of_files_is_what_ingest_reads_them_by(tmp_path: Path) -> None:
    """Latin-1 with semicolons, ids with zeros in one file alone: from init to the catalogue."""
    files = tmp_path / "files"
    files.mkdir()
    rows = [(f"{n:06}", f"Käse {n}\nfrisch", "1.299,50") for n in range(40)]
    text = _written(rows, ";", csv.QUOTE_MINIMAL, "\r\n")
    (files / "i.csv").write_bytes(text.encode("latin-1"))
    log = [(f"u{user}", str((7 * user + 3 * n) % 40)) for user in range(60) for n in range(10)]
    pl.DataFrame(log, ["user", "id"], orient="row").write_csv(files / "e.csv")
    layout = Layout(tmp_path / "w")
    layout.raw.mkdir(parents=True)
    reading = Reading("latin-1", "number")
    bring_in(layout, Sources("table", files / "i.csv", files / "e.csv", None, None, reading))
    params, artifacts = load_params(layout.params), Artifacts(layout)
    assert (params.ingest.encoding, params.ingest.id_format) == ("latin-1", "number")
    ingest(params, artifacts, lambda *_, **__: [])
    items = artifacts.items()
    assert items["item_id"].to_list() == [f"{n:06}" for n in range(40)]
    assert items["title"][3] == "Käse 3\nfrisch"
    assert items["price"].to_list() == [1299.5] * 40
    assert set(artifacts.interactions()["item_id"]) == set(items["item_id"])


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"source": "table", "encoding": "klingon"}, "no encoding of text that Python knows"),
        ({"source": "table", "encoding": "base64"}, "no encoding of text"),
        ({"source": "movielens", "encoding": "latin-1"}, "are of source table"),
        ({"source": "synthetic", "id_format": "number"}, "are of source table"),
        ({"source": "table", "id_format": "upper"}, "id_format"),
    ],
)
def test_a_reading_that_nothing_can_follow_is_refused(section: dict[str, str], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        parse_params({"ingest": section}, "params.yaml")
