"""`sidmint export`: files that read back to the published table, deltas that add up."""

from __future__ import annotations

import csv
import json
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from releases import CODES, Built, build_workspace, case_table, sid_table
from sidmint.cli import versions
from sidmint.disk import digest
from sidmint.errors import BadInput
from sidmint.inspection.files import read_table
from sidmint.inspection.layout import lay_out
from sidmint.publishing.table_changes import changed_ids, table_changes

app = typer.Typer()
versions.register(app)


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Built:
    """v0001 of CODES with suffixes; v0002: c gone, e new, d elsewhere, a and b as they were."""
    built = build_workspace(tmp_path / "w")
    monkeypatch.setenv("SIDMINT_WORKSPACE", str(built.root))
    monkeypatch.chdir(tmp_path)
    built.publish("one")
    built.build("two", codes={"a": (0, 1), "b": (0, 1), "d": (2, 2), "e": (0, 0)})
    built.publish("two")
    return built


def export(*arguments: str) -> Any:
    result = CliRunner().invoke(app, ["export", *arguments, "--json"])
    if result.exception is not None:
        raise result.exception
    return json.loads(result.stdout)


def refused(*arguments: str) -> str:
    with pytest.raises(BadInput) as caught:
        export(*arguments)
    assert caught.value.exit_code == 2
    return str(caught.value)


def published(built: Built, version: str) -> pl.DataFrame:
    return pl.read_parquet(built.store.release(version).folder / "sids.parquet")


def test_the_index_holds_the_tokens_of_every_item(built: Built) -> None:
    said = export("v0001", "--output", "index.json")
    assert (said["version"], said["format"], said["since"]) == ("v0001", "index-json", None)
    assert said["sha256"] == digest(Path("index.json"))
    assert json.loads(Path("index.json").read_text()) == {
        "a": ["<a_0>", "<b_1>", "<c_0>"],
        "b": ["<a_0>", "<b_1>", "<c_1>"],
        "c": ["<a_0>", "<b_2>", "<c_0>"],
        "d": ["<a_3>", "<b_3>", "<c_0>"],
    }


@pytest.mark.parametrize("form", ["index-json", "csv", "parquet"])
@pytest.mark.parametrize("token", ["<{letter}_{code}>", "<{letter}{code}>"])
def test_inspect_reads_an_export_back_to_the_published_parts(
    built: Built, form: str, token: str
) -> None:
    name = {"index-json": "t.json", "csv": "t.csv", "parquet": "t.parquet"}[form]
    options = ["--prefix-format", token] if form == "index-json" else []
    export("v0001", "--format", form, "--output", name, *options)
    raw = read_table(Path(name))
    table = published(built, "v0001")
    assert raw.item_ids.to_list() == table["item_id"].to_list()
    np.testing.assert_array_equal(raw.numbers, table.select("code_1", "code_2", "suffix"))
    read = lay_out(raw, sizes=[4, 8], suffix=True)
    np.testing.assert_array_equal(read.codes.values, table.select("code_1", "code_2"))
    assert read.as_published is not None
    ids = ["-".join(map(str, parts)) for parts in read.as_published.tolist()]
    assert ids == table["semantic_id"].to_list()


def test_a_table_without_suffixes_has_no_token_of_one(built: Built) -> None:
    built.build("one", codes=CODES | {"b": (0, 7)}, suffixed=False)
    built.publish("one")
    export("--output", "index.json")
    assert json.loads(Path("index.json").read_text())["b"] == ["<a_0>", "<b_7>"]


def test_codes_are_written_as_the_format_says(built: Built) -> None:
    export("v0001", "--output", "index.json", "--prefix-format", "[L{level}C{code}]")
    assert json.loads(Path("index.json").read_text())["d"] == ["[L1C3]", "[L2C3]", "[L3C0]"]


@pytest.mark.parametrize(
    "form",
    ["<{code}>", "<{letter}>", "", "<{letter}_{code!r}>", "{letter}{code}{0}", "{letter.x}{code}"],
)
def test_a_format_that_mixes_levels_or_holds_other_braces_is_refused(
    built: Built, form: str
) -> None:
    assert "--prefix-format" in refused("--output", "i.json", "--prefix-format", form)
    assert not Path("i.json").exists()


def test_a_format_that_runs_level_and_code_together_is_refused(built: Built) -> None:
    """Code 10 of level 1 and code 0 of level 11 would both be 110."""
    codes = {"a": (0,) * 12, "b": (11, *(0,) * 11)}
    with built.artifacts.writing("train", "one") as out:
        out.text("tokenizer.safetensors", "weights")
        out.json("tokenizer", {"name": "one", "config": {"sizes": [12] * 12}})
    built.catalogue(sorted(codes))
    with built.artifacts.writing("assign", "one") as out:
        out.table("sids", sid_table(codes))
        out.metrics({"num_items": 2})
    for stage in ("diagnose", "evaluate"):
        with built.artifacts.writing(stage, "one") as out:
            out.metrics({"retention_at_100": 0.8})
            out.table("cases", case_table(2))
    built.judge("one")
    built.publish("one")
    said = refused("--output", "i.json", "--prefix-format", "{level}{code}")
    assert 'writes "110" for two codes' in said
    export("--output", "i.json", "--prefix-format", "{level}-{code}")
    assert json.loads(Path("i.json").read_text())["b"][:2] == ["1-11", "2-0"]


def test_parquet_is_the_published_file_byte_for_byte(built: Built) -> None:
    said = export("--format", "parquet", "--output", "t.parquet")
    release = built.store.release("v0002")
    assert said["sha256"] == release.manifest["files"]["sids.parquet"]["sha256"]
    assert Path("t.parquet").read_bytes() == release.file("sids.parquet").read_bytes()


def test_csv_is_the_table_with_a_header(built: Built) -> None:
    export("v0001", "--format", "csv", "--output", "t.csv")
    assert Path("t.csv").read_bytes() == (
        b"item_id,code_1,code_2,suffix,semantic_id\n"
        b"a,0,1,0,0-1-0\nb,0,1,1,0-1-1\nc,0,2,0,0-2-0\nd,3,3,0,3-3-0\n"
    )


def publish_ids(built: Built, *items: str) -> None:
    built.build("one", codes={item: (0, n) for n, item in enumerate(sorted(items))})
    built.publish("one")


def test_odd_ids_survive_csv_and_json(built: Built) -> None:
    odd = ['say "hi"', "a,b", "two\nlines", "sch\u00f6n", "\u2028", "\\", "007", " x "]
    publish_ids(built, *odd)
    export("--format", "csv", "--output", "t.csv")
    with Path("t.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert [row[0] for row in rows[1:]] == sorted(odd)
    export("--output", "t.json")
    assert list(json.loads(Path("t.json").read_text())) == sorted(odd)
    assert read_table(Path("t.json")).item_ids.to_list() == sorted(odd)


@pytest.mark.parametrize("risky", ["=1+1", "+1", "-abc", "@cmd", "\tx", "\rx"])
def test_ids_that_a_spreadsheet_would_run_are_refused_in_csv_alone(
    built: Built, risky: str
) -> None:
    publish_ids(built, "plain", risky)
    said = refused("--format", "csv", "--output", "t.csv")
    assert f"1 item ids begin like a formula, the first of them {risky!r}" in said
    assert not Path("t.csv").exists()
    export("--format", "csv", "--output", "t.csv", "--allow-formulas")
    with Path("t.csv").open(encoding="utf-8", newline="") as file:
        assert risky in [row[0] for row in csv.reader(file)]
    export("--output", "t.json")
    assert risky in json.loads(Path("t.json").read_text())


def test_a_delta_names_what_came_went_and_moved(built: Built) -> None:
    said = export("--format", "delta", "--since", "v0001", "--output", "d.json")
    assert (said["since"], said["version"]) == ("v0001", "v0002")
    assert json.loads(Path("d.json").read_text()) == {
        "since": "v0001",
        "version": "v0002",
        "added": {"e": "0-0-0"},
        "removed": {"c": "0-2-0"},
        "moved": {"d": ["3-3-0", "2-2-0"]},
    }
    export("--format", "delta", "--since", "v0001", "--output", "d.parquet")
    assert pl.read_parquet("d.parquet").rows() == [
        ("c", "removed", "0-2-0", None),
        ("d", "moved", "3-3-0", "2-2-0"),
        ("e", "added", None, "0-0-0"),
    ]


def test_a_version_differs_from_itself_in_nothing(built: Built) -> None:
    export("v0002", "--format", "delta", "--since", "v0002", "--output", "d.json")
    delta = json.loads(Path("d.json").read_text())
    assert (delta["added"], delta["removed"], delta["moved"]) == ({}, {}, {})
    export("v0002", "--format", "delta", "--since", "v0002", "--output", "d.parquet")
    empty = pl.read_parquet("d.parquet")
    assert (empty.height, empty.columns) == (0, ["item_id", "change", "before", "after"])


tables = st.dictionaries(
    st.sampled_from("abcdefgh"), st.tuples(st.integers(0, 1), st.integers(0, 2)), min_size=1
)


@given(before=tables, after=tables)
def test_a_delta_applied_to_the_older_table_gives_the_newer(
    before: dict[str, tuple[int, ...]], after: dict[str, tuple[int, ...]]
) -> None:
    old, new = sid_table(before), sid_table(after)
    changes = changed_ids(old, new)
    ids = dict(old.select("item_id", "semantic_id").rows())
    for item, change, was, is_now in changes.rows():
        assert ids.get(item) == was
        assert change == ("added" if was is None else "removed" if is_now is None else "moved")
        ids[item] = is_now
    wanted = dict(new.select("item_id", "semantic_id").rows())
    assert {item: each for item, each in ids.items() if each is not None} == wanted
    counted = table_changes(lambda: [(old, new)]).items
    for change in ("added", "removed", "moved"):
        named = changes.filter(pl.col("change") == change)["item_id"].to_list()
        assert tuple(named) == getattr(counted, change)


def test_equal_tables_give_equal_bytes(built: Built) -> None:
    for form, suffix in (("index-json", "json"), ("csv", "csv"), ("parquet", "parquet")):
        one, two = (
            export("--format", form, "--output", f"{n}.{suffix}")["sha256"] for n in ("a", "b")
        )
        assert one == two
    delta = ("--format", "delta", "--since", "v0001")
    for suffix in ("json", "parquet"):
        one, two = (export(*delta, "--output", f"{n}-d.{suffix}")["sha256"] for n in ("a", "b"))
        assert one == two


def test_a_file_that_is_there_is_replaced_by_force_alone(built: Built) -> None:
    Path("t.json").write_text("mine")
    assert "t.json is there already; give another name, or --force" in refused("--output", "t.json")
    assert Path("t.json").read_text() == "mine"
    export("--output", "t.json", "--force")
    assert "e" in json.loads(Path("t.json").read_text())
    Path("link.json").symlink_to("gone.json")
    assert "link.json is there already" in refused("--output", "link.json")
    export("--output", "link.json", "--force")
    assert not Path("link.json").is_symlink()
    assert not Path("gone.json").exists()
    assert sorted(os.listdir()) == ["link.json", "t.json", "w"]


def test_a_file_that_appears_meanwhile_is_not_replaced(
    built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sidmint.publishing import new_file

    def racing(path: Path) -> str:
        Path("t.json").write_text("theirs")
        return digest(path)

    monkeypatch.setattr(new_file, "digest", racing)
    assert "is there already" in refused("--output", "t.json")
    assert Path("t.json").read_text() == "theirs"
    assert sorted(os.listdir()) == ["t.json", "w"]


def test_a_write_that_fails_leaves_nothing(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    from sidmint.errors import StorageFailed

    Path("t.parquet").write_text("mine")

    def full(source: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr("sidmint.publishing.exporting.shutil.copyfile", full)
    with pytest.raises(StorageFailed, match=r"No space left.*t\.parquet is as it was"):
        export("--format", "parquet", "--output", "t.parquet", "--force")
    assert Path("t.parquet").read_text() == "mine"
    assert sorted(os.listdir()) == ["t.parquet", "w"]


def test_an_export_is_an_ordinary_file(built: Built) -> None:
    export("--format", "parquet", "--output", "t.parquet")
    mask = os.umask(0o022)
    os.umask(mask)
    assert stat.S_IMODE(Path("t.parquet").stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["v0009", "--output", "t.json"], "there is no version 'v0009'"),
        (["--output", "w"], "is a folder"),
        (["--output", "nowhere/t.json"], "the folder nowhere is not there"),
        (["--output", "w/registry/t.json"], "lies in the registry"),
        (["--output", "w/registry/versions/../t.json"], "lies in the registry"),
        (["--output", "t.json", "--since", "v0001"], "--since goes with --format delta"),
        (["--output", "t.json", "--allow-formulas"], "--allow-formulas goes with --format csv"),
        (
            ["--output", "t.csv", "--format", "csv", "--prefix-format", "<{letter}_{code}>"],
            "--prefix-format goes with --format index-json",
        ),
        (["--output", "t.json", "--format", "delta"], "wants --since VERSION"),
        (["--output", "t.json", "--format", "delta", "--since", "v0008"], "no version 'v0008'"),
        (
            ["--output", "t.csv", "--format", "delta", "--since", "v0001"],
            "a delta is written as .json or .parquet",
        ),
    ],
)
def test_what_cannot_be_exported_is_named_and_nothing_written(
    built: Built, arguments: list[str], said: str
) -> None:
    before = sorted(built.root.parent.rglob("*"))
    assert said in refused(*arguments)
    assert sorted(built.root.parent.rglob("*")) == before


@pytest.mark.parametrize("form", ["index-json", "csv", "parquet", "delta"])
def test_a_changed_table_is_not_exported(built: Built, form: str) -> None:
    path = built.store.release("v0001").folder / "sids.parquet"
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(data))
    arguments = ["--since", "v0001"] if form == "delta" else ["v0001"]
    said = refused(*arguments, "--format", form, "--output", "t.json")
    assert "is not what was published: its sha256" in said
    assert not Path("t.json").exists()
