"""`sidmint recommend --user ID | --history A,B,C`: answers that can be counted by hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import typer
from safetensors.numpy import load_file
from typer.testing import CliRunner

from embed_world import write_embedding
from releases import CODES, Built, build_workspace, sid_table
from sidmint.cli import stages, versions
from sidmint.embedding import known_rows, vectors_in_table
from sidmint.errors import BadInput
from sidmint.recommenders import Sequences
from sidmint.recommenders.id_table import id_table_of
from sidmint.recommenders.storage import make_recommender, save

app = typer.Typer()
stages.register(app)
versions.register(app)

A, B, C, D = range(4)
TRAINED_ON = [[A, C], [A, C], [A, B], [D], [D], [D], [D]]
"""After a came c twice and b once. Events: a 3, b 1, c 2, d 4; popularity is a fifth of them."""
LOG = {
    "user_id": ["user-1", "user-1", "user-2"],
    "item_id": ["d", "a", "d"],
    "position": [0, 1, 0],
}
CIRCLE = np.stack([np.cos(np.deg2rad([0, 10, 30, 180])), np.sin(np.deg2rad([0, 10, 30, 180]))], 1)


def publish_with(root: Path, name: str, settings: dict[str, Any]) -> Path:
    """`one` is published with a recommender fitted on `TRAINED_ON` and vectors on a circle."""
    built = build_workspace(root)
    write_embedding(built.artifacts, CIRCLE)
    with built.artifacts.writing("ingest") as out:
        titles = ["[b]one[/b]", None, "three", "four"]
        out.table("items", pl.DataFrame({"item_id": list("abcd"), "title": titles}))
        out.table("interactions", pl.DataFrame(LOG))
    table = id_table_of(sid_table(CODES), built.artifacts.embeddings().vectors)
    recommender = make_recommender(name, settings, "test")
    recommender.fit(Sequences.of(TRAINED_ON), table, seed=0)
    with built.artifacts.writing("recommend", "one") as out:
        save(recommender, table, out.folder)
        out.metrics({})
    built.judge("one")
    built.publish("one")
    return root


@pytest.fixture(scope="module")
def chain_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish_with(tmp_path_factory.mktemp("chain") / "w", "last_item", {})


@pytest.fixture
def world(chain_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Built:
    """A copy in which `last_item` answers."""
    root = tmp_path / "w"
    monkeypatch.setenv("SIDMINT_WORKSPACE", str(root))
    return Built(Path(shutil.copytree(chain_world, root)))


def say(*arguments: str, command: str = "recommend") -> str:
    result = CliRunner().invoke(app, [command, *arguments], env={"COLUMNS": "200"})
    if result.exception is not None:
        raise result.exception
    return str(result.stdout)


def answer(*arguments: str) -> Any:
    return json.loads(say(*arguments, "--json"))


def listed(*arguments: str) -> dict[str, float]:
    """Items in the order of the list, with their scores."""
    return {row["item_id"]: row["score"] for row in answer(*arguments)["items"]}


def refused(*arguments: str) -> str:
    with pytest.raises(BadInput) as caught:
        say(*arguments)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_what_followed_the_newest_item_comes_first_then_what_is_popular(world: Built) -> None:
    found = listed("--history", "a")
    assert list(found) == ["c", "b", "d"]
    assert list(found.values()) == pytest.approx([2 + 2 / 5, 1 + 1 / 5, 4 / 5])
    # Nothing followed d, and a history's own items are left out.
    assert list(listed("--history", "a,d")) == ["c", "b"]
    assert list(listed("--history", " d , a ,")) == ["c", "b"]
    assert list(listed("--history", "d")) == ["a", "c", "b"]
    assert list(listed("--history", "a", "--k", "1")) == ["c"]


def test_a_user_is_answered_as_the_history_in_the_log_is(world: Built) -> None:
    assert answer("--user", "user-1") == answer("--history", "d,a")
    assert answer("--user", "user-2") == answer("--history", "d")


def test_a_users_events_on_items_that_came_later_are_left_out_and_counted(world: Built) -> None:
    log = world.artifacts.interactions()
    later = log.filter(log["user_id"] == "user-1").head(1).with_columns(item_id=pl.lit("z"))
    log.vstack(later).write_parquet(world.layout.stage("ingest") / "interactions.parquet")
    result = CliRunner().invoke(app, ["recommend", "--user", "user-1", "--json"])
    assert "1 of the user's 3 events are on items that the recommender of v0001" in result.stderr
    assert json.loads(result.stdout) == answer("--history", "d,a")


def test_the_json_keeps_its_keys(world: Built) -> None:
    found = answer("--history", "a")
    assert found.keys() == {"version", "recommender", "items"}
    assert (found["version"], found["recommender"]) == ("v0001", "last_item")
    assert found["items"][0].keys() == {"item_id", "semantic_id", "score"}
    assert found["items"][0]["semantic_id"] == "0-2-0"


def test_people_see_titles_and_nothing_in_them_is_markup(world: Built) -> None:
    said = say("--user", "user-2")
    assert "after 1 items, by the last_item of v0001" in said
    places = [line.split() for line in said.splitlines()[2:]]
    assert places == [
        ["1", "a", "0-1-0", "0.600", "[b]one[/b]"],
        ["2", "c", "0-2-0", "0.400", "three"],
        ["3", "b", "0-1-1", "0.200"],
    ]


def test_semantic_knn_on_one_item_lists_its_neighbours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = publish_with(tmp_path / "w", "semantic_knn", {"last": 1})
    monkeypatch.setenv("SIDMINT_WORKSPACE", str(root))
    near = json.loads(say("c", "--json", command="neighbours"))["items"]
    found = listed("--history", "a,c", "--k", "4")
    assert list(listed("--history", "c")) == [row["item_id"] for row in near] == ["b", "a", "d"]
    assert list(found) == ["b", "d"]
    assert list(found.values()) == pytest.approx(np.cos(np.deg2rad([20, 150])), abs=1e-3)


def test_unknown_users_and_items_are_answered_with_near_ones(world: Built) -> None:
    said = refused("--user", "usr-2")
    assert said.startswith("user 'usr-2' has no event in the log; did you mean user-2")
    assert refused("--user", "zz") == "user 'zz' has no event in the log"
    assert refused("--history", "a,bb") == "v0001 has no item 'bb'; did you mean b?"
    assert refused("--history", "zz") == "v0001 has no item 'zz'"
    assert "--history wants item ids" in refused("--history", " , ")


def test_one_question_at_a_time(world: Built) -> None:
    for arguments in ([], ["--user", "user-1", "--history", "a"]):
        assert "give one of --tokenizer, --champion, --user and --history" in refused(*arguments)


def test_without_a_published_recommender_it_says_so(world: Built) -> None:
    shutil.rmtree(world.layout.stage("recommend", "two"))
    with world.artifacts.writing("recommend", "two") as out:
        out.metrics({})
    world.judge("two")
    world.publish("two")
    assert "v0002 holds no recommender" in refused("--history", "a")
    shutil.rmtree(world.store.folder)
    assert "nothing is published yet" in refused("--history", "a")


def test_a_published_sasrec_gives_its_item_vectors_to_embed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"width": 4, "heads": 1, "layers": 1, "epochs": 1}
    root = publish_with(tmp_path / "w", "sasrec", small)
    monkeypatch.setenv("SIDMINT_WORKSPACE", str(root))
    file = root / "data" / "raw" / "sasrec.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    asked = ["export", "--format", "item-vectors", "--output", str(file)]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0, result.output
    written = pl.read_parquet(file)
    assert written["item_id"].to_list() == list("abcd")
    kept = root / "registry/versions/v0001/recommender/recommender.safetensors"
    learned = load_file(kept)["items"]
    order = np.argsort(id_table_of(sid_table(CODES)).order())
    assert np.array_equal(np.stack(written["vector"].to_list()), learned[order])
    ids, vectors = vectors_in_table(written, "item_id", "sasrec.parquet")
    known = known_rows(vectors, ids, ["d", "new", "a"], "sasrec.parquet")
    assert np.isnan(known[1]).all()
    assert np.array_equal(known[2], vectors[0])


def test_a_recommender_that_reads_ids_has_no_item_vectors(
    chain_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIDMINT_WORKSPACE", str(chain_world))
    asked = ["export", "--format", "item-vectors", "--output", str(tmp_path / "v.parquet")]
    with pytest.raises(BadInput, match="last_item of v0001 reads ids and has no vector an item"):
        CliRunner().invoke(app, asked, catch_exceptions=False)
    assert not (tmp_path / "v.parquet").exists()
