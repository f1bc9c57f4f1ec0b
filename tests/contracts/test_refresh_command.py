"""`sidmint refresh`: what it prints and leaves with, and what it refuses to read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from embed_world import catalogue
from refresh_world import (
    NUM_PUBLISHED,
    WIDTH,
    Refreshing,
    copy_of,
    names,
    refreshing_world,
    vectors_of_world,
)
from releases import Built, build_workspace
from sidmint.cli import refresh as command
from sidmint.cli import versions
from sidmint.errors import BadInput, Refused
from sidmint.params import parse_params
from sidmint.stages.assign import assign
from sidmint.stages.embed import embed
from sidmint.tokenizers import make_tokenizer, storage
from version_commands import Mlflow, stub_mlflow
from workspaces import tree_digests

app = typer.Typer()
versions.register(app)
command.register(app)


@pytest.fixture(autouse=True)
def mlflow(monkeypatch: pytest.MonkeyPatch) -> Mlflow:
    return stub_mlflow(monkeypatch)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Refreshing:
    return refreshing_world(tmp_path_factory.mktemp("world") / "w")


@pytest.fixture
def world(template: Refreshing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refreshing:
    monkeypatch.setenv("SIDMINT_WORKSPACE", str(tmp_path / "w"))
    return copy_of(template, tmp_path / "w")


def say(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})
    if result.exception is not None:
        raise result.exception
    return str(result.stdout)


def items_file(folder: Path, item_ids: list[str], **columns: list[Any]) -> str:
    path = folder / "new.csv"
    pl.DataFrame({"item_id": item_ids, **columns}).write_csv(path)
    return str(path)


def vectors_file(folder: Path, vectors: np.ndarray) -> str:
    np.save(folder / "new.npy", vectors)
    return str(folder / "new.npy")


def given(folder: Path, num: int = 9, **world: Any) -> tuple[str, ...]:
    vectors = vectors_file(folder, vectors_of_world(num, **({"seed": 2} | world)))
    return (items_file(folder, names(num, "new")), "--vectors", vectors)


def test_new_items_are_published_beside_the_champion(
    world: Refreshing, tmp_path: Path, mlflow: Mlflow
) -> None:
    found = json.loads(say("refresh", *given(tmp_path), "--by", "ana", "--json"))
    assert found.keys() == {
        *("champion", "version", "path", "published", "passed", "reasons", "warnings"),
        *("num_read", "num_new", "num_known", "changed", "moved", "metrics"),
    }
    assert (found["champion"], found["version"], found["published"]) == ("v0001", "v0001.1", True)
    assert (found["num_read"], found["num_new"], found["reasons"]) == (9, 9, [])
    assert found["metrics"]["num_items"] == NUM_PUBLISHED + 9
    assert mlflow.told == [("register", "m", "v0001.1"), ("champion", "m", "v0001.1")]
    assert mlflow.stand == {"v0001": "published", "v0001.1": "champion"}
    assert world.built.store.log.entries()[-1]["by"] == "ana"
    assert "v0001.1" in say("versions")
    assert "9 new items, 0 moved; trained as v0001" in say("show")
    assert say("lookup", "new-0003")
    assert "are intact" in say("verify")
    assert "rolled back to v0001 (before: v0001.1)" in say("rollback")


def test_people_read_what_happened(world: Refreshing, tmp_path: Path) -> None:
    arguments = given(tmp_path)
    dry = say("refresh", *arguments, "--dry-run")
    assert "9 items read: 9 new, 0 changed, 0 as published in v0001" in dry
    assert "refresh_error_ratio" in dry
    assert "squared error of new items / of published ones" in dry
    assert "nothing was written (--dry-run)" in dry
    assert world.built.store.versions() == ["v0001"]
    assert "published v0001.1 (before: v0001)" in say("refresh", *arguments)
    again = say("refresh", *arguments)
    assert "9 items read: 0 new, 0 changed, 9 as published in v0001.1" in again
    assert "nothing to do: no version was made" in again
    assert world.built.store.versions() == ["v0001", "v0001.1"]


def test_changed_texts_are_named(world: Refreshing, tmp_path: Path) -> None:
    vectors = vectors_of_world(NUM_PUBLISHED, seed=1)[[77, 1]]
    arguments = (items_file(tmp_path, names(2)), "--vectors", vectors_file(tmp_path, vectors))
    assert "text changed: item-0000; their ids stay (--move-changed" in say("refresh", *arguments)
    found = json.loads(say("refresh", *arguments, "--move-changed", "--dry-run", "--json"))
    assert found["changed"] == found["moved"] == ["item-0000"]


def test_a_refusal_leaves_with_1_and_prints_the_figures_all_the_same(
    world: Refreshing, tmp_path: Path
) -> None:
    arguments = given(tmp_path, 60, seed=6, shift=3.0)
    before = tree_digests(world.built.root)
    for further in ([], ["--dry-run"]):
        result = CliRunner().invoke(app, ["refresh", *arguments, "--json", *further])
        assert isinstance(result.exception, Refused)
        assert result.exception.exit_code == 1
        assert "retrain" in str(result.exception)
        found = json.loads(result.stdout)
        assert (found["passed"], found["published"], found["version"]) == (False, False, None)
        assert any("refresh_shift_" in reason for reason in found["reasons"])
    assert tree_digests(world.built.root) == before


def bad_column(folder: Path) -> tuple[str, ...]:
    (folder / "new.csv").write_text("sku,title\na,b\n")
    return (str(folder / "new.csv"),)


def empty_file(folder: Path) -> tuple[str, ...]:
    (folder / "new.csv").write_text("item_id,title\n")
    return (str(folder / "new.csv"), "--vectors", vectors_file(folder, vectors_of_world(1, 0)[:0]))


def no_such_file(folder: Path) -> tuple[str, ...]:
    return (str(folder / "none.csv"),)


def twice(folder: Path) -> tuple[str, ...]:
    return (items_file(folder, ["a", "a"]), "--vectors", vectors_file(folder, np.ones((2, WIDTH))))


def no_vectors(folder: Path) -> tuple[str, ...]:
    return (items_file(folder, ["a"]),)


def other_width(folder: Path) -> tuple[str, ...]:
    return (items_file(folder, ["a"]), "--vectors", vectors_file(folder, np.ones((1, WIDTH + 1))))


def other_rows(folder: Path) -> tuple[str, ...]:
    return (items_file(folder, ["a", "b"]), "--vectors", vectors_file(folder, np.ones((1, WIDTH))))


def other_ids(folder: Path) -> tuple[str, ...]:
    table = pl.DataFrame({"item_id": ["b"], "vector": [[1.0] * WIDTH]})
    table.write_parquet(folder / "v.parquet")
    return (items_file(folder, ["a"]), "--vectors", str(folder / "v.parquet"))


def named_source(folder: Path) -> tuple[str, ...]:
    vectors = vectors_file(folder, np.ones((1, WIDTH)))
    return (items_file(folder, ["a"]), "--vectors", f"image={vectors}")


def two_files(folder: Path) -> tuple[str, ...]:
    vectors = vectors_file(folder, np.ones((1, WIDTH)))
    return (items_file(folder, ["a"]), "--vectors", vectors, "--vectors", vectors)


def no_number(folder: Path) -> tuple[str, ...]:
    vectors = vectors_file(folder, np.full((1, WIDTH), np.nan))
    return (items_file(folder, ["a"]), "--vectors", vectors)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (bad_column, "new.csv lacks the column item_id; it has sku, title"),
        (empty_file, "new.csv has no rows"),
        (no_such_file, "none.csv is not there"),
        (twice, "item_id a stands in rows 1, 2"),
        (no_vectors, "came ready-made from data/raw/v.npy, so those of new items must too"),
        (other_width, "the new vectors have 9 dimensions, those of v0001 8"),
        (other_rows, "new.npy has 1 rows and new.csv has 2"),
        (other_ids, "has no vector for 1 of 1 items, the first of them a"),
        (named_source, "have one source, data/raw/v.npy; leave out the name before"),
        (two_files, "say whose each is: NAME=FILE"),
        (no_number, "the vector of item a holds NaN or infinity"),
    ],
)
def test_bad_input_leaves_with_2_and_changes_nothing(
    world: Refreshing, tmp_path: Path, arguments: Any, words: str
) -> None:
    before = tree_digests(world.built.root)
    with pytest.raises(BadInput) as caught:
        say("refresh", *arguments(tmp_path))
    assert words in str(caught.value)
    assert caught.value.exit_code == 2
    assert tree_digests(world.built.root) == before


def test_nothing_published_is_nothing_to_refresh(world: Refreshing, tmp_path: Path) -> None:
    (world.built.store.folder / "champion.json").unlink()
    with pytest.raises(BadInput, match="nothing is published"):
        say("refresh", *given(tmp_path))


@pytest.fixture(scope="module")
def text_template(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Forty items with texts, embedded from them; `one` is published over them."""
    root = tmp_path_factory.mktemp("text") / "w"
    built = build_workspace(root)
    nouns, colours = ("desk", "lamp", "chair", "vase"), ("red", "blue", "oak", "steel", "grey")
    titles = [f"{colour} {noun} {size}" for noun in nouns for colour in colours for size in "SL"]
    here = catalogue(root, {"item_id": [f"i{n:02d}" for n in range(40)], "title": titles})
    embed(parse_params({"embed": {"template": "{title}"}}, "params.yaml"), here)
    vectors = here.embeddings().vectors
    tokenizer = make_tokenizer("one", {"type": "rq_kmeans", "sizes": [4, 4]})
    tokenizer.fit(vectors, seed=1, device="cpu")
    with here.writing("train", "one") as out:
        storage.save(tokenizer, out.folder, "all", 40)
    assign(parse_params({}, "params.yaml"), here, "one")
    with here.writing("diagnose", "one") as out:
        out.metrics({"reconstruction_mse": 1e-3})
    built.judge("one")
    built.publish("one")
    return built


@pytest.fixture
def texts(text_template: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Built:
    monkeypatch.setenv("SIDMINT_WORKSPACE", str(tmp_path / "w"))
    copied = copy_of(Refreshing(text_template), tmp_path / "w").built
    copied.set_params(refresh={"rules": {"refresh_decodable_1": {"min": 1}}})
    return copied


def test_text_is_read_as_the_champions_encoder_reads_it(texts: Built, tmp_path: Path) -> None:
    titles = texts.artifacts.items()["title"].to_list()
    file = items_file(
        tmp_path, ["i00", "i01", "n1"], title=[titles[0], "a green lawn mower", "red desk M"]
    )
    found = json.loads(say("refresh", file, "--json"))
    assert (found["num_known"], found["changed"], found["num_new"]) == (1, ["i01"], 1)
    assert found["version"] == "v0001.1"
    shown = json.loads(say("neighbours", "n1", "--k", "3", "--json"))
    assert shown["version"] == "v0001.1"
    assert {row["item_id"] for row in shown["items"]} & {"i00", "i01"}


def test_columns_are_mapped_as_params_say(texts: Built, tmp_path: Path) -> None:
    texts.set_params(ingest={"columns": {"item_id": "sku", "items.title": "name"}})
    path = tmp_path / "new.jsonl"
    path.write_text('{"sku": "n1", "name": "red desk M"}\n')
    assert json.loads(say("refresh", str(path), "--json"))["num_new"] == 1
    path.write_text('{"sku": "n2", "title": "red desk M"}\n')
    with pytest.raises(
        BadInput, match=r"lacks the column 'name' that ingest\.columns\.items\.title"
    ):
        say("refresh", str(path))


def test_a_file_is_read_in_the_encoding_of_the_catalogue(texts: Built, tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    path.write_bytes("item_id,title\nn1,étagère red desk M\n".encode("latin-1"))
    with pytest.raises(BadInput, match=r"new\.csv"):
        say("refresh", str(path))
    texts.set_params(
        ingest={"source": "table", "items": "data/raw/items.csv", "encoding": "latin-1"}
    )
    assert json.loads(say("refresh", str(path), "--json"))["num_new"] == 1


def test_a_column_of_the_template_is_wanted(texts: Built, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"names the column 'title', which the items lack"):
        say("refresh", items_file(tmp_path, ["n1"]))


def test_vectors_beside_texts_are_refused(texts: Built, tmp_path: Path) -> None:
    file = items_file(tmp_path, ["n1"], title=["red desk"])
    with pytest.raises(BadInput, match="makes its vectors from text"):
        say("refresh", file, "--vectors", vectors_file(tmp_path, np.ones((1, 256))))
