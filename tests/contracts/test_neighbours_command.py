"""`sidmint neighbours`: known neighbours, the same answers by plain faiss, and what it refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from embed_world import ITEMS, catalogue, write_embedding
from releases import Built, build_workspace, sid_table
from sidmint.cli import versions
from sidmint.errors import BadInput
from sidmint.neighbours import build_index, save_index
from sidmint.params import parse_params
from sidmint.publishing.files import NEIGHBOURS
from sidmint.stages.assign import assign
from sidmint.stages.embed import embed
from sidmint.tokenizers import make_tokenizer, storage

app = typer.Typer()
versions.register(app)
DEGREES = {"a": 0, "b": 10, "c": 30, "d": 180}
"""Where items stand on a circle. Their ids: a 0-1-0, b 0-1-1, c 0-2-0, d 3-3-0."""
TEMPLATE = "{title}. {brand}. {categories}"


def circle() -> np.ndarray:
    """Vectors (4, 2) at those angles, of different lengths."""
    angles = np.deg2rad(list(DEGREES.values()))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * [[1], [40], [0.5], [3]]


@pytest.fixture(scope="module")
def round_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`one` is published over items on a circle."""
    built = build_workspace(tmp_path_factory.mktemp("circle") / "w")
    write_embedding(built.artifacts, circle())
    built.judge("one")
    built.publish("one")
    return built.root


@pytest.fixture(scope="module")
def text_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`one` is a real tokenizer, published over four items with texts."""
    root = tmp_path_factory.mktemp("text") / "w"
    built = build_workspace(root)
    here = catalogue(root)
    params = parse_params({"embed": {"template": TEMPLATE}}, "params.yaml")
    embed(params, here)
    tokenizer = make_tokenizer("one", {"type": "rq_kmeans", "sizes": [2, 2]})
    tokenizer.fit(here.embeddings().vectors, seed=1, device="cpu")
    with here.writing("train", "one") as out:
        storage.save(tokenizer, out.folder, "all", 4)
    assign(params, here, "one")
    built.judge("one")
    built.publish("one")
    return root


@pytest.fixture
def world(round_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Built:
    return opened(round_world, tmp_path, monkeypatch)


@pytest.fixture
def texts(text_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Built:
    return opened(text_world, tmp_path, monkeypatch)


def opened(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Built:
    """A copy of a world, and the commands' workspace."""
    root = tmp_path / "w"
    monkeypatch.setenv("SIDMINT_WORKSPACE", str(root))
    return Built(Path(shutil.copytree(template, root)))


def say(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["neighbours", *arguments], env={"COLUMNS": "200"})
    if result.exception is not None:
        raise result.exception
    return str(result.stdout)


def parsed(*arguments: str) -> Any:
    return json.loads(say(*arguments, "--json"))


def refused(*arguments: str) -> str:
    with pytest.raises(BadInput) as caught:
        say(*arguments)
    assert caught.value.exit_code == 2
    return str(caught.value)


def column(answer: Any, key: str) -> list[Any]:
    return [row[key] for row in answer["items"]]


def test_neighbours_come_by_angle_with_the_codes_they_share(world: Built) -> None:
    found = parsed("c")
    assert found.keys() == {"version", "tokenizer", "item_id", "text", "semantic_id", "items"}
    assert (found["version"], found["tokenizer"]) == ("v0001", "one")
    assert (found["item_id"], found["text"], found["semantic_id"]) == ("c", None, "0-2-0")
    assert column(found, "rank") == [1, 2, 3]
    assert column(found, "item_id") == ["b", "a", "d"]
    assert column(found, "semantic_id") == ["0-1-1", "0-1-0", "3-3-0"]
    assert column(found, "shared_prefix") == [1, 1, 0]
    degrees = np.rad2deg(np.arccos(column(found, "similarity")))
    np.testing.assert_allclose(degrees, [20, 30, 150], atol=0.05)
    # a and b share both codes; their suffixes differ and are not counted.
    assert column(parsed("a", "--k", "1"), "shared_prefix") == [2]


def test_people_see_the_titles_and_nothing_in_them_is_markup(world: Built) -> None:
    frame = world.artifacts.items()
    named = frame.with_columns(title=frame["title"] + " [bold]desk[/bold]")
    with world.artifacts.writing("ingest") as out:
        out.table("items", named)
    said = say("a", "--k", "1")
    assert "like a (0-1-0 by one), in v0001:" in said
    assert said.splitlines()[-1].split() == [
        "1",
        "b",
        "0.985",
        "0-1-1",
        "2",
        "b",
        "[bold]desk[/bold]",
    ]


def test_the_manifest_says_what_a_reader_needs(texts: Built) -> None:
    manifest = texts.store.release().manifest
    assert NEIGHBOURS in manifest["files"]
    assert manifest["neighbours"] == {
        "file": NEIGHBOURS,
        "metric": "cosine",
        "dimensions": 256,
        "num_items": 4,
        "encoder": {
            "name": "wordllama",
            "model": "wordllama-l2-supercat-256",
            "template": TEMPLATE,
            "unit_norm": True,
            "second": None,
        },
    }


def test_the_readme_reads_a_release_without_sidmint_to_the_same_answers(texts: Built) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    block = next(b for b in readme.split("```python\n") if b.startswith("import faiss"))
    code = block.split("```")[0].replace("B004756YJA", "b").replace("[None], 11", "[None], 4")
    code += """
import json, sys
listed = table[rows[0]]["item_id", "semantic_id"].rows()
print(json.dumps([[*row, float(cosine)] for row, cosine in zip(listed, cosines[0])]))
assert not [name for name in sys.modules if name.startswith("sidmint")]
"""
    folder = texts.store.release().folder
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    itself, *others = json.loads(ended.stdout.splitlines()[-1])
    ours = parsed("b")
    assert itself[:2] == ["b", ours["semantic_id"]]
    keys = ("item_id", "semantic_id", "similarity")
    assert others == [[row[key] for key in keys] for row in ours["items"]]


def test_the_text_of_an_item_finds_it_and_gets_its_codes(texts: Built) -> None:
    found = parsed("--text", "Pine desk. Office > Desks")
    assert (found["item_id"], found["text"]) == (None, "Pine desk. Office > Desks")
    assert column(found, "item_id")[:2] == ["b", "a"]
    assert found["items"][0]["similarity"] == pytest.approx(1, abs=1e-3)
    codes = texts.artifacts.codes("codes", "one")[1].tolist()
    assert found["semantic_id"] == "-".join(map(str, codes))
    assert found["items"][0]["shared_prefix"] == 2
    staplers = column(parsed("--text", "a stapler, yellow", "--k", "2"), "item_id")
    assert sorted(staplers) == ["c", "d"]
    said = say("--text", "Pine desk. Office > Desks")
    assert f'like "Pine desk. Office > Desks" ({found["semantic_id"]} by one), in v0001' in said


def test_before_anything_is_published_the_build_answers(texts: Built) -> None:
    by_release = parsed("b")
    assert parsed("b", "--from", "data") == by_release | {"version": None}
    shutil.rmtree(texts.store.folder)
    assert parsed("b") == by_release | {"version": None}
    assert "nothing is published" in refused("b", "--from", "champion")
    shutil.rmtree(texts.layout.build / "assign")
    without_ids = parsed("b")
    assert column(without_ids, "item_id") == column(by_release, "item_id")
    assert (without_ids["tokenizer"], without_ids["semantic_id"]) == (None, None)
    assert (
        set(column(without_ids, "semantic_id"))
        == {None}
        == set(column(without_ids, "shared_prefix"))
    )
    assert parsed("--text", "Oak desk")["semantic_id"] is None
    assert " - " in say("b")


def test_the_release_answers_whatever_the_build_holds_now(world: Built) -> None:
    before = parsed("a")
    write_embedding(world.artifacts, circle()[[0, 3, 1, 2]])  # a 0, b 180, c 10, d 30 degrees
    assert parsed("a") == before
    assert column(before, "item_id") == ["b", "c", "d"]
    assert column(parsed("a", "--from", "data"), "item_id") == ["c", "d", "b"]


def test_an_unknown_item_is_answered_with_near_ids(texts: Built) -> None:
    world = ITEMS | {"item_id": ["desk-1", "desk-2", "stapler-1", "stapler-2"]}
    here = catalogue(texts.root, world)
    shutil.rmtree(texts.layout.build / "assign")
    said = refused("stapler-3", "--from", "data")
    assert "data/build has no item 'stapler-3' among its 4 items; did you mean stapler-" in said
    assert "desk" not in said
    assert here.items().height == 4
    assert "has no item 'zzz' among its 4 items" in refused("zzz")


def test_one_of_item_and_text_is_wanted(world: Built) -> None:
    for arguments in ([], ["a", "--text", "desk"]):
        assert "give an item id or --text, one of the two" in refused(*arguments)


def test_a_text_is_refused_where_no_encoder_made_the_vectors(world: Built) -> None:
    said = refused("--text", "desk")
    assert "came ready-made from data/raw/v.npy" in said
    assert "ask with an item id" in said


def test_a_text_is_refused_where_vectors_have_a_second_part(texts: Built) -> None:
    summary = texts.artifacts.folder("embed") / "embed.json"
    second = {"second": {"path": "data/raw/images.parquet", "weight": 1.0}}
    summary.write_text(json.dumps(json.loads(summary.read_text()) | second))
    said = refused("--text", "desk", "--from", "data")
    assert "second part from data/raw/images.parquet" in said


@pytest.mark.parametrize("text", ["", "  \n"])
def test_a_text_without_words_is_refused(texts: Built, text: str) -> None:
    assert "--text wants words" in refused("--text", text)


def test_another_encoder_than_the_indexs_is_refused(texts: Built) -> None:
    save_index(build_index(circle()), texts.artifacts.folder("embed") / NEIGHBOURS)
    said = refused("--text", "desk", "--from", "data")
    assert "gives vectors of 256 dimensions, the index of data/build holds 2" in said


@pytest.mark.parametrize("name", [NEIGHBOURS, "sids.parquet"])
def test_a_file_that_is_not_what_was_published_is_refused(world: Built, name: str) -> None:
    path = world.store.release().folder / name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(data))
    assert f"{name} is not what was published: its sha256" in refused("a")
    path.unlink()
    assert "`sidmint verify v0001`" in refused("a")


def test_a_release_of_before_has_no_index_and_says_so(world: Built) -> None:
    path = world.store.release().folder / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["neighbours"]
    path.chmod(0o644)
    path.write_text(json.dumps(manifest))
    assert "v0001 holds no index of neighbours" in refused("a")
    assert parsed("a", "--from", "data")["items"]


def test_a_build_out_of_step_is_refused(world: Built) -> None:
    write_embedding(world.artifacts, circle()[:3])
    said = refused("a", "--from", "data")
    assert "the index of data/build holds 3 items, its table 4; `sidmint run`" in said


def test_a_table_of_other_items_than_the_index_cannot_be_published(world: Built) -> None:
    with world.artifacts.writing("assign", "two") as out:
        out.table("sids", sid_table({"a": (0, 1), "b": (0, 2), "d": (2, 2), "e": (3, 3)}))
        out.metrics({"num_items": 4, "collision_rate": 0.0})
    world.judge("two")
    with pytest.raises(BadInput, match="list other items than each other"):
        world.publish("two")
    assert world.store.versions() == ["v0001"]


def test_an_item_among_more_equals_than_are_listed_is_not_its_own_neighbour(world: Built) -> None:
    write_embedding(world.artifacts, np.array([[1, 0], [1, 0], [1, 0], [-1, 0]]))
    for item in "abc":
        others = sorted(set("abc") - {item})
        assert column(parsed(item, "--from", "data", "--k", "2"), "item_id") == others
        (one,) = column(parsed(item, "--from", "data", "--k", "1"), "item_id")
        assert one in others
