"""What may be published: only a clean yes of the gate about these very bytes, or an override."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from releases import CODES, Built, build_workspace, case_table
from sidmint.errors import BadInput, Refused
from sidmint.gate.verdict import RuleResult
from sidmint.params import load_params, parse_params
from sidmint.publishing.history import list_versions
from sidmint.publishing.release import Override, rollback
from sidmint.publishing.verify import verify

WHY = Override(by="Ada", reason="a demo tonight")


@pytest.fixture
def built(tmp_path: Path) -> Built:
    return build_workspace(tmp_path / "w")


def rule(**changes: Any) -> RuleResult:
    held = RuleResult("n_eff_share", "n_eff_share", 0.9, ">= 0.6", "critical", True, "it holds")
    return replace(held, **changes)


def test_the_leader_on_select_by_is_published(built: Built) -> None:
    published = built.publish()
    assert (published.version, published.manifest["tokenizer"]) == ("v0001", "one")
    assert (published.previous, published.changed) == (None, True)


def test_where_lower_is_better_the_lowest_leads(built: Built) -> None:
    for name, retention, conflicts in (("two", 0.7, 0.1), ("one", 0.8, 0.2)):
        with built.artifacts.writing("evaluate", name) as out:
            out.table("cases", case_table(len(CODES)))
            out.metrics({"retention_at_100": retention, "conflict_rate": conflicts})
    gate = {"select_by": "conflict_rate", "rules": {"conflict_rate": {"max": 1}}, "champion": {}}
    built.set_params(gate=gate)
    built.judge("one")
    built.judge("two")
    assert built.publish().manifest["tokenizer"] == "two"


def test_a_tie_goes_to_the_name_that_sorts_first(built: Built) -> None:
    built.set_params(train={"tokenizers": ["two", "one"]})
    built.build("two", retention=0.8)
    assert built.publish().manifest["tokenizer"] == "one"


def test_a_leader_that_did_not_pass_leads_nothing(built: Built) -> None:
    built.build("one", retention=0.4)
    assert built.publish().manifest["tokenizer"] == "two"


def test_a_refusal_names_every_reason_of_every_candidate(built: Built) -> None:
    rules = {"retention_at_100": {"min": 0.75}, "n_eff": {"min": 3}, "num_null_ids": {"max": 0}}
    built.set_params(gate={"rules": rules, "champion": {}})
    before = built.layout.champion.read_bytes()
    for name in ("one", "two"):
        built.judge(name)
    with pytest.raises(Refused) as refused:
        built.publish()
    for reason in ("retention_at_100 is 0.700", "n_eff is 2.500", "num_null_ids is missing"):
        assert reason in str(refused.value)
    assert str(refused.value).count("n_eff is 2.500, below the 3 required") == 2
    assert refused.value.exit_code == 1
    assert built.store.versions() == []
    assert built.store.champion() is None
    assert built.layout.champion.read_bytes() == before


@pytest.mark.parametrize("value", [None, "nan", "inf", "0.9", True, math.nan, math.inf])
def test_a_critical_rule_never_holds_of_what_is_no_number(built: Built, value: Any) -> None:
    built.judge("one", rules=(rule(value=value),))
    with pytest.raises((Refused, BadInput)):
        built.publish("one")


@pytest.mark.parametrize(
    "changes",
    [
        {"passed": False},
        {"passed": "yes"},
        {"blocked_by": ["something"]},
        {"rules": []},
        {"rules": "none"},
        {"champion": 3, "tokenizer": None},
    ],
    ids=str,
)
def test_a_verdict_that_was_edited_is_not_believed(built: Built, changes: dict[str, Any]) -> None:
    built.judge("one", changes=changes)
    with pytest.raises((Refused, BadInput)):
        built.publish("one")


def test_a_refusal_edited_into_a_pass_is_not_believed(built: Built) -> None:
    built.judge("one", refused=True, changes={"passed": True})
    with pytest.raises(BadInput, match="contradicts its own rules"):
        built.publish("one", WHY)


def test_a_verdict_cut_down_to_what_holds_is_not_believed(built: Built) -> None:
    for left in ((rule(),), (rule(severity="warning"),)):
        built.judge("one", rules=left)
        with pytest.raises(Refused, match="lacks the rule retention_at_100") as refused:
            built.publish("one", WHY)
        assert "has a rule n_eff_share, which params.yaml does not ask for" in str(refused.value)


def test_a_failed_warning_refuses_nothing(built: Built) -> None:
    rules = {"retention_at_100": {"min": 0.5}, "n_eff": {"min": 3, "severity": "warning"}}
    built.set_params(gate={"rules": rules, "champion": {}})
    built.judge("one")
    assert built.publish("one").changed


def test_thresholds_changed_after_the_verdict_refuse(built: Built) -> None:
    gate = {"rules": {"retention_at_100": {"min": 0.1}}}
    built.set_params(gate=gate)
    with pytest.raises(Refused, match=r"the gate section of params\.yaml was changed"):
        built.publish("one")
    built.judge("one")
    assert built.publish("one").changed


def test_a_verdict_about_another_table_is_stale(built: Built) -> None:
    verdict = built.artifacts.json("gate", "verdict", "one")
    built.build("one", codes=CODES | {"a": (1, 1)})
    with built.artifacts.writing("gate", "one") as out:
        out.json("verdict", verdict)
    with pytest.raises(Refused, match="stale verdict"):
        built.publish("one")


def test_a_verdict_of_another_tokenizer_is_stale(built: Built) -> None:
    built.judge("one", changes={"tokenizer": "two"})
    with pytest.raises(Refused, match="stale verdict"):
        built.publish("one")


def test_a_parameter_changed_after_the_run_refuses(built: Built) -> None:
    lock = {"stages": {"train@one": {"params": {"params.yaml": {"seed": 7}}}}}
    (built.root / "dvc.lock").write_text(yaml.safe_dump(lock))
    built.set_params(seed=8)
    with pytest.raises(Refused, match=r"seed in params\.yaml was changed after train@one had run"):
        built.publish("one")
    built.set_params(seed=7)
    manifest = built.publish("one").manifest
    assert manifest["dvc_lock_sha256"] == manifest["files"]["dvc.lock"]["sha256"]


@pytest.mark.parametrize(
    "missing",
    [
        "gate/one",
        "assign/one",
        "train/one/tokenizer.safetensors",
        "evaluate/one",
        "evaluate/one/cases.parquet",
    ],
)
def test_a_stage_that_has_not_run_is_named(built: Built, missing: str) -> None:
    path = built.layout.build / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(BadInput, match="is not there"):
        built.publish("one", WHY)
    assert built.store.versions() == []


def test_an_unknown_tokenizer_is_bad_input(built: Built) -> None:
    with pytest.raises(BadInput, match="unknown tokenizer 'three'"):
        built.publish("three")
    with pytest.raises(BadInput, match="unknown tokenizer"):
        built.publish("../one")


def test_metrics_that_stages_disagree_about_are_bad_input(built: Built) -> None:
    with built.artifacts.writing("diagnose", "one") as out:
        out.metrics({"num_items": 5})
    with pytest.raises(BadInput, match="num_items of one is 4 by assign and 5 by diagnose"):
        built.judge("one")


def test_an_override_publishes_and_is_written_down_for_ever(built: Built) -> None:
    built.build("one", retention=0.4)
    said = ["retention_at_100 is 0.400, below the 0.500 required"]
    published = built.publish("one", WHY)
    assert published.manifest["override"] == {"by": "Ada", "reason": "a demo tonight"}
    assert published.manifest["overruled"] == said
    entry = built.store.log.entries()[-1]
    assert (entry["by"], entry["reason"], entry["override"]) == ("Ada", "a demo tonight", True)
    assert entry["overruled"] == said


@pytest.mark.parametrize(("by", "reason"), [("", "r"), ("b", ""), ("  ", "r"), ("b", "\n")])
def test_an_override_wants_a_name_and_a_reason(by: str, reason: str) -> None:
    with pytest.raises(BadInput, match="--by NAME and --reason TEXT"):
        Override(by=by, reason=reason)


def test_publishing_the_champions_table_again_does_nothing(built: Built) -> None:
    first = built.publish("one")
    before = {p: p.read_bytes() for p in built.store.folder.rglob("*") if p.is_file()}
    again = built.publish("one")
    assert (again.version, again.changed, first.changed) == ("v0001", False, True)
    assert {p: p.read_bytes() for p in built.store.folder.rglob("*") if p.is_file()} == before


def test_the_snapshot_for_the_gate_follows_publish_and_rollback(built: Built) -> None:
    built.publish("one")
    built.judge("two")
    built.publish("two")
    snapshot = json.loads(built.layout.champion.read_text())
    assert snapshot["version"] == "v0002"
    assert snapshot["tokenizer"] == "two"
    assert snapshot["metrics"]["retention_at_100"] == 0.7
    rollback(built.params, built.layout, by="test")
    assert json.loads(built.layout.champion.read_text())["version"] == "v0001"


def test_rolling_back_goes_back_step_by_step_and_not_to_and_fro(built: Built) -> None:
    for tokenizer in ("one", "two", "one"):
        built.judge(tokenizer)
        built.publish(tokenizer)
    back = [rollback(built.params, built.layout, by="t").version for _ in range(2)]
    assert back == ["v0002", "v0001"]
    with pytest.raises(BadInput, match="no champion before it"):
        rollback(built.params, built.layout)
    ahead = rollback(built.params, built.layout, to="v0003", reason="v1 is worse", by="t")
    assert (ahead.version, ahead.previous) == ("v0003", "v0001")
    assert not rollback(built.params, built.layout, to="v0003").changed
    assert rollback(built.params, built.layout).version == "v0001"
    assert verify(built.store).problems == ()
    assert [entry["action"] for entry in built.store.log.entries()].count("rollback") == 4


def test_a_version_that_was_never_champion_cannot_become_it_by_rollback(built: Built) -> None:
    built.publish("one")
    versions = built.store.folder / "versions"
    shutil.copytree(versions / "v0001", versions / "v0007")
    with pytest.raises(BadInput, match="v0007 is in no line of the log"):
        rollback(built.params, built.layout, to="v0007")
    built.judge("two")
    assert built.publish("two").version == "v0008"


@pytest.mark.parametrize("name", ["../v0001", "v0001/..", "", ".", "a/b", "v0001\n", "\0"])
def test_a_version_name_with_a_path_in_it_is_bad_input(built: Built, name: str) -> None:
    built.publish("one")
    with pytest.raises(BadInput, match="cannot be used as a name"):
        built.store.release(name)


def test_a_registry_outside_the_workspace_is_bad_input(built: Built) -> None:
    built.set_params(registry={"path": "../elsewhere", "model_name": "m"})
    with pytest.raises(BadInput, match="outside the workspace"):
        built.publish("one")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        *[(path, "no plain folder name") for path in ("", ".", "~", "~/r", ".dvc", ".sidmint")],
        *[(path, "no plain folder name") for path in ("a//b", "a\0b", "x" * 300, "-r", "a b")],
        *[
            (path, "the project itself keeps")
            for path in ("data/build", "data/raw/r", "src", "data")
        ],
        *[(path, "is an address") for path in ("file:///tmp/x", "gs://bucket/r")],
        *[(path, "outside the workspace") for path in ("../r", "a/../../r", "/tmp/r")],
    ],
)
def test_a_registry_that_is_no_folder_of_its_own_is_refused(path: str, why: str) -> None:
    with pytest.raises(BadInput, match=rf"registry\.path .*{why}.*name a folder such as"):
        parse_params({"registry": {"path": path}}, "params.yaml")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("link", "which the project itself keeps"),
        ("notes.txt", r"notes\.txt is a file"),
        ("notes.txt/registry", r"notes\.txt is a file"),
        ("params.yaml", r"params\.yaml is a file"),
    ],
)
def test_a_registry_that_leads_elsewhere_is_refused_when_params_are_read(
    built: Built, path: str, why: str
) -> None:
    (built.root / "notes.txt").write_text("mine")
    (built.root / "link").symlink_to(built.layout.build)
    built.set_params(registry={"path": path, "model_name": "m"})
    with pytest.raises(BadInput, match=rf"registry\.path {path!r}.*{why}"):
        load_params(built.layout.params)


def test_a_registry_that_is_a_file_is_named(built: Built) -> None:
    folder = built.store.folder
    folder.write_text("mine")
    with pytest.raises(BadInput, match="registry is a file, where the registry wants a folder"):
        built.publish("one")
    assert folder.read_text() == "mine"


def test_a_champion_with_a_number_beyond_floats_is_bad_input(built: Built) -> None:
    snapshot = '{"version": "v0001", "tokenizer": "t", "metrics": {"n_eff": 1%s}}' % ("0" * 400)
    built.layout.champion.write_text(snapshot)
    with pytest.raises(BadInput, match="beyond what a float can hold"):
        built.judge("one")


def test_an_unknown_version_names_its_neighbour(built: Built) -> None:
    with pytest.raises(BadInput, match="nothing is published"):
        built.store.release()
    with pytest.raises(BadInput, match="empty"):
        built.store.release("v0001")
    built.publish("one")
    with pytest.raises(BadInput, match="did you mean v0001"):
        built.store.release("v001")


@pytest.mark.parametrize("name", ["", "../../../evil", "a/b", "a\0", "x" * 65])
def test_a_model_name_with_a_path_in_it_is_bad_input(built: Built, name: str) -> None:
    built.set_params(registry={"path": "registry", "model_name": name})
    with pytest.raises(BadInput, match="model_name"):
        built.publish("one")
    assert not built.store.folder.exists()


@pytest.mark.parametrize(
    "text", ["", "[]", "[" * 100_000, '{"n_eff": "2"}', '{"n_eff": 1%s}' % ("0" * 400)]
)
def test_a_metrics_file_without_numbers_is_bad_input(built: Built, text: str) -> None:
    (built.layout.stage("diagnose", "one") / "metrics.json").write_text(text)
    with pytest.raises(Refused, match=r"diagnose/metrics\.json has other bytes"):
        built.publish("one", WHY)
    with pytest.raises(BadInput, match=r"diagnose/one/metrics\.json"):
        built.judge("one")


@pytest.mark.parametrize("text", ["{}", '{"files": {}}', "[" * 100_000, "[]", "1"])
def test_a_manifest_of_no_known_form_is_bad_input(built: Built, text: str) -> None:
    built.publish("one")
    manifest = built.store.release().file("manifest.json")
    manifest.chmod(0o644)
    manifest.write_text(text)
    with pytest.raises(BadInput, match=r"manifest\.json"):
        list_versions(built.store)
    with pytest.raises(BadInput, match=r"manifest\.json"):
        built.publish("one")
    assert verify(built.store).problems
