"""The commands on published versions: stable JSON keys, exit codes, and text for people."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from parted_world import put_in_parts
from releases import Built, build_workspace
from sidmint.errors import BadInput, Refused
from version_commands import Mlflow, app, parsed, say, stub_mlflow


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> Mlflow:
    return stub_mlflow(monkeypatch)


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mlflow: Mlflow) -> Built:
    monkeypatch.setenv("SIDMINT_WORKSPACE", str(tmp_path))
    return build_workspace(tmp_path)


@pytest.fixture
def published(built: Built) -> Built:
    say("publish")
    built.judge("two")
    say("publish", "--tokenizer", "two", "--by", "Grace")
    return built


def test_publish_and_rollback_say_what_they_did(built: Built, mlflow: Mlflow) -> None:
    first = parsed("publish")
    assert first.keys() == {"version", "path", "where", "manifest", "previous", "changed"}
    assert first["version"] == "v0001"
    assert "already champion" in say("publish")
    built.judge("two")
    assert "published v0002 (before: v0001)" in say("publish", "--tokenizer", "two")
    assert "rolled back to v0001 (before: v0002)" in say("rollback", "--reason", "r", "--by", "b")
    assert mlflow.told == [
        ("register", "m", "v0001"),
        ("champion", "m", "v0001"),
        ("register", "m", "v0002"),
        ("champion", "m", "v0002"),
        ("champion", "m", "v0001"),
    ]


def test_items_that_lose_their_ids_are_named(built: Built) -> None:
    say("publish")
    built.build("one", codes={"a": (0, 1), "b": (0, 2), "e": (3, 3)})
    result = CliRunner().invoke(app, ["publish", "--tokenizer", "one"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert "2 items of v0001 have no id in v0002 (c, d); " in " ".join(result.stderr.split())
    back = CliRunner().invoke(app, ["rollback"], env={"COLUMNS": "200"})
    assert "1 items of v0002 have no id in v0001 (e); " in " ".join(back.stderr.split())


def test_a_rollback_from_a_damaged_champion_is_done_and_says_what_it_cannot_tell(
    built: Built,
) -> None:
    say("publish")
    built.build("one", codes={"a": (0, 1), "b": (0, 2), "e": (3, 3)})
    say("publish", "--tokenizer", "one")
    built.store.release("v0002").file("sids.parquet").write_bytes(b"torn")
    back = CliRunner().invoke(app, ["rollback"], env={"COLUMNS": "200"})
    assert back.exit_code == 0
    assert "rolled back to v0001" in back.stdout
    assert "lost cannot be told: " in " ".join(back.stderr.split())
    assert built.store.release().version == "v0001"


def test_the_commands_answer_from_a_table_in_parts(built: Built) -> None:
    """With two workers, of which no answer tells."""
    built.set_params(execution={"workers": 2})
    say("publish", "--tokenizer", "one")
    put_in_parts(built, "two", shard_rows=2)
    assert parsed("publish", "--tokenizer", "two")["manifest"]["num_items"] == 4
    assert parsed("lookup", "d")["semantic_id"] == "2-2-0"
    assert [row["item_id"] for row in parsed("items", "0-1")["items"]] == ["a", "b"]
    found = parsed("diff", "v0001", "v0002")
    assert found["items"]["moved"] == ["d"]
    assert found["items"]["num_moved"] == 1
    assert found["examples"][0] == {
        "item_id": "d",
        "title": "d",
        "before": "3-3-0",
        "after": "2-2-0",
    }
    assert "items moved: 1  d" in say("diff", "v0001", "v0002")
    assert parsed("verify")["intact"]
    part = built.store.release().file("sids/part-00001.parquet")
    part.chmod(0o644)
    part.write_bytes(part.read_bytes()[:-1])
    refused = CliRunner().invoke(app, ["verify"], env={"COLUMNS": "200"})
    assert isinstance(refused.exception, Refused)
    assert "v0002: sids/part-00001.parquet was changed" in refused.stderr
    with pytest.raises(BadInput, match=r"sids/part-00001\.parquet is not what was published"):
        say("lookup", "d")


def test_a_failing_mlflow_warns_and_the_publish_stays(built: Built, mlflow: Mlflow) -> None:
    def fails(*_: object) -> None:
        raise OSError("no database")

    mlflow.set_champion = fails
    result = CliRunner().invoke(app, ["publish", "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["version"] == "v0001"
    assert "no database" in result.stderr
    assert "sidmint reconcile" in result.stderr
    assert built.store.release().version == "v0001"


def test_a_refusal_shows_every_reason(built: Built) -> None:
    rules = {"collision_rate": {"max": 0.1}, "n_eff": {"min": 3}}
    built.set_params(gate={"rules": rules, "champion": {}})
    built.judge("one")
    reasons = r"(?s)collision_rate is 0\.250.*n_eff is 2\.500.*--override"
    with pytest.raises(Refused, match=reasons):
        say("publish", "--tokenizer", "one")
    named = ("--by", "Ada", "--reason", "demo")
    with pytest.raises(BadInput, match="--by NAME"):
        say("publish", "--tokenizer", "one", "--override")
    with pytest.raises(BadInput, match="goes with --override"):
        say("publish", "--tokenizer", "one", *named)
    assert "overruled: n_eff is 2.500" in say("publish", "--tokenizer", "one", "--override", *named)
    assert "Ada: demo" in say("versions")
    assert "overridden by Ada" in say("show")


def test_the_json_of_each_question_keeps_its_keys(published: Built) -> None:
    assert {
        "versions": parsed("versions")[0].keys(),
        "show": parsed("show").keys(),
        "diff": parsed("diff", "v0001", "v0002").keys(),
        "history": parsed("history", "n_eff").keys(),
        "value": parsed("history", "n_eff")["values"][0].keys(),
        "verify": parsed("verify").keys(),
        "lookup": parsed("lookup", "a").keys(),
        "items": parsed("items", "0").keys(),
    } == {
        "versions": {
            *("version", "champion", "status", "tokenizer", "num_items", "parent", "created_at"),
            *("created_by", "override_by", "override_reason", "overruled"),
        },
        "show": {"version", "path", "manifest", "metrics", "verdict", "log"},
        "diff": {
            *("before", "after", "metrics", "params", "thresholds", "revisions", "items"),
            *("turnover", "churn", "aligned_churn", "examples", "codes"),
        },
        "history": {"metric", "better", "meaning", "values"},
        "value": {
            *("version", "value", "created_at", "tokenizer", "champion", "override", "status"),
        },
        "verify": {"intact", "versions", "num_files", "log_head", "problems", "notes"},
        "lookup": {
            *("version", "item_id", "semantic_id", "codes", "suffix", "tokens", "siblings"),
        },
        "items": {"version", "semantic_id", "items"},
    }


def test_every_question_answers_people_too(published: Built, tmp_path: Path) -> None:
    assert "Grace" in say("versions")
    assert "v0002" in say("show")
    assert "gate passed" in say("show", "v0001")
    assert "worse" in say("diff", "v0001", "v0002")
    assert "█" in say("history", "retention_at_100", "--plot", str(tmp_path / "plot.svg"))
    assert (tmp_path / "plot.svg").is_file()
    assert "are intact" in say("verify")
    assert "0-1-1" in say("lookup", "b", "--version", "v0001")
    assert "3 items at 0 in v0002" in say("items", "0")


def test_a_damaged_registry_leaves_with_its_problems(published: Built) -> None:
    (published.store.folder / "versions" / "v0001" / "stray").write_text("?")
    result = CliRunner().invoke(app, ["verify", "--json"])
    assert isinstance(result.exception, Refused)
    assert json.loads(result.stdout)["problems"] == ["v0001: stray is not in the manifest"]


def test_an_empty_registry_is_said_clearly(built: Built) -> None:
    assert parsed("versions") == []
    assert "nothing is published" in say("versions")
    for question in (["show"], ["lookup", "a"], ["items", "0"], ["verify"], ["history", "n_eff"]):
        with pytest.raises(BadInput, match="nothing is published"):
            say(*question)
    with pytest.raises(BadInput, match="nothing to roll back"):
        say("rollback")
