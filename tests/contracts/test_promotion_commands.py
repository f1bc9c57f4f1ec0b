"""propose, approve, promote and retire as a user meets them: words, JSON, exit codes, MLflow."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

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


def test_the_steps_say_what_they_did_and_mlflow_follows(
    built: Built,
    mlflow: Mlflow,
) -> None:
    proposed = parsed("propose", "--tokenizer", "one")
    assert proposed.keys() == {
        *("version", "path", "where", "manifest", "status", "champion", "changed"),
    }
    assert (proposed["version"], proposed["status"]) == ("v0001", "proposed")
    assert mlflow.stand == {"v0001": "proposed"}
    assert "is in the registry v0001" in say("propose", "--tokenizer", "one")
    declined = say("decline", "v0001", "--by", "Ada", "--reason", "want to see the tail first")
    assert declined.startswith("declined v0001")
    assert "promote" not in declined
    with pytest.raises(Refused, match="declined by Ada"):
        say("promote", "v0001")
    said = say("approve", "v0001", "--by", "Ada", "--reason", "looked at 50 items")
    assert "approved v0001 (champion: nothing)" in said
    assert "next: sidmint promote v0001" in said
    assert mlflow.stand == {"v0001": "approved"}
    assert "promoted v0001 (before: nothing)" in say("promote", "v0001", "--by", "Grace")
    assert "is champion already" in say("promote", "v0001")
    built.judge("two")
    assert "published v0002" in say("publish", "--tokenizer", "two")
    assert "retired v0001 (champion: v0002)" in say("retire", "v0001", "--reason", "old")
    assert "nothing to retire" in say("retire", "v0001", "--reason", "old")
    assert mlflow.stand == {"v0001": "retired", "v0002": "champion"}
    assert mlflow.told == [
        ("register", "m", "v0001"),
        ("champion", "m", "v0001"),
        ("register", "m", "v0002"),
        ("champion", "m", "v0002"),
    ]
    assert [row["status"] for row in parsed("versions")] == ["retired", "champion"]
    assert "intact" in say("verify")


def test_a_decision_without_a_name_or_a_reason_is_bad_usage(built: Built) -> None:
    say("propose")
    for missing in (["--by", "Ada"], ["--reason", "fine"]):
        assert CliRunner().invoke(app, ["approve", "v0001", *missing]).exit_code == 2
    for empty in (["--by", " ", "--reason", "fine"], ["--by", "Ada", "--reason", ""]):
        with pytest.raises(BadInput, match="neither of them empty"):
            say("approve", "v0001", *empty)
    assert CliRunner().invoke(app, ["retire", "v0001"]).exit_code == 2


def test_where_a_person_must_approve_publish_names_the_way(built: Built) -> None:
    built.set_params(registry={"path": "registry", "model_name": "m", "approval": "person"})
    with pytest.raises(Refused, match=r"sidmint propose.*sidmint approve VERSION.*sidmint promote"):
        say("publish")
    say("propose")
    with pytest.raises(Refused, match=r"nobody approved v0001 yet.*sidmint approve v0001 --by"):
        say("promote", "v0001")
    say("approve", "v0001", "--by", "Ada", "--reason", "fine")
    assert "promoted v0001" in say("promote", "v0001")


def test_history_blame_and_diff_tell_people_what_was_loosened(built: Built) -> None:
    assert "nobody has done anything" in say("history")
    assert parsed("history") == []
    say("publish", "--tokenizer", "one")
    gate = {"rules": {"retention_at_100": {"min": 0.3}}, "champion": {}}
    built.set_params(gate=gate, seed=8)
    built.build("two", retention=0.4)
    say("publish", "--tokenizer", "two", "--by", "Ada")
    built.build("one", retention=0.2)
    with pytest.raises(Refused):
        say("publish", "--tokenizer", "one", "--by", "Eve")
    told = say("history")
    assert "published v0002" in told
    assert "gate.rules.retention_at_100: min 0.5, critical -> min 0.3, critical LOOSER" in told
    assert "refused  one by Eve" in told
    assert "- retention_at_100 is 0.200, below the 0.300 required" in told
    assert parsed("history")[0].keys() == {
        *("sequence", "at", "by", "action", "version", "tokenizer", "reason", "champion"),
        "judged",
    }
    assert parsed("history")[2]["judged"]["verdict"] == "refused"
    blamed = say("blame", "retention_at_100")
    assert "v0002  0.8 -> 0.4  worse (the largest step)" in blamed
    assert "seed: - -> 8" in blamed
    assert parsed("blame", "retention_at_100")["worst"] == "v0002"
    assert "it is the same in every version" in say("blame", "n_eff")
    shown = say("diff", "v0001", "v0002")
    assert "THE GATE WAS LOOSENED: 1 of its bounds" in shown
    assert "turnover: 0.0% of the items in both" in shown
    assert "THE GATE" not in say("diff", "v0002", "v0001")
    with pytest.raises(BadInput, match="name one"):
        say("history", "--plot", "x.svg")
