"""The gate stage: reads four stages and the champion, writes one verdict on one table."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from gate_world import by_definition, verdict, workspace
from sidmint.errors import BadInput
from sidmint.gate.thresholds import GateParams
from sidmint.gate.verdict import Verdict
from sidmint.params import Params
from sidmint.stages.gate import gate
from workspaces import NO_CHAMPION

CHAMPION = {"collision_rate": 0.1, "n_eff_share": 0.9, "relative_mse": 0.4}


def test_a_healthy_table_passes_and_the_verdict_says_on_which_bytes(tmp_path: Path):
    artifacts = workspace(tmp_path)
    outcome = gate(Params(), artifacts, "t", by_definition)
    judged = verdict(artifacts)
    table = artifacts.folder("assign", "t") / "sids.parquet"
    assert judged.passed
    assert judged.table_sha256 == hashlib.sha256(table.read_bytes()).hexdigest()
    assert judged.thresholds_sha256 == GateParams().digest()
    assert judged.champion is None
    assert len(judged.not_applied) == 4
    assert outcome.headline == f"t PASSED: {len(judged.rules)} of {len(judged.rules)} rules hold"


def test_a_refusal_is_a_result_with_its_reasons(tmp_path: Path):
    artifacts = workspace(tmp_path, collision_rate=0.412)
    outcome = gate(Params(), artifacts, "t", by_definition)
    stored = artifacts.json("gate", "verdict", "t")
    assert stored["passed"] is False
    assert stored["blocked_by"] == ["collision_rate is 0.412, above the 0.300 allowed"]
    assert outcome.headline == "t REFUSED: collision_rate is 0.412, above the 0.300 allowed"


def test_a_warning_is_told_and_does_not_block(tmp_path: Path):
    artifacts = workspace(tmp_path, cold_coverage=0.5)
    outcome = gate(Params(), artifacts, "t", by_definition)
    assert verdict(artifacts).passed
    assert len(verdict(artifacts).warnings) == 1
    assert "Warnings: cold_coverage is 0.500" in outcome.headline


def _unasked(root: Path, champion: dict[str, Any] = NO_CHAMPION, **evaluated: float) -> Verdict:
    """The verdict on a table of a catalogue whose profile counts no interaction."""
    artifacts = workspace(root, champion)
    items = artifacts.items()
    with artifacts.writing("ingest") as out:
        out.table("items", items)
        out.json("profile", {"interactions": 0})
    cases = artifacts.table("evaluate", "cases", "t")
    with artifacts.writing("evaluate", "t") as out:
        out.metrics(evaluated)
        out.table("cases", cases)
    with artifacts.writing("segments", "t") as out:
        out.metrics({"num_cold_items": 2})
    gate(Params(), artifacts, "t", by_definition)
    return verdict(artifacts)


def test_without_a_log_rules_on_events_are_named_and_not_judged(tmp_path: Path):
    judged = _unasked(tmp_path)
    assert judged.passed
    left_out = {name: why for name, _, why in (each.partition(": ") for each in judged.not_applied)}
    assert left_out.pop("champion.collision_rate") == "no champion yet"
    assert left_out.pop("champion.n_eff_share") == "no champion yet"
    assert left_out.pop("champion.relative_mse") == "no champion yet"
    assert left_out == dict.fromkeys(
        ("champion.retention_at_100", "cold_coverage", "retention_at_100"),
        "there is no interaction log",
    )


def test_a_profile_that_counts_no_events_is_not_believed_where_somebody_was_asked(tmp_path: Path):
    judged = _unasked(tmp_path, num_cases=9)
    assert "retention_at_100 is missing" in judged.blocked_by


def test_a_champion_that_users_were_asked_about_is_not_replaced_unasked(tmp_path: Path):
    metrics = {**CHAMPION, "retention_at_100": 0.5}
    champion = {"version": "v0003", "tokenizer": "t", "metrics": metrics}
    judged = _unasked(tmp_path, champion)
    assert judged.blocked_by == ("retention_at_100 is missing",)
    assert "retention_at_100: there is no interaction log" in judged.not_applied


def test_a_champion_of_content_alone_leaves_open_what_it_was_never_asked(tmp_path: Path):
    content = {**CHAMPION, "num_items": 2, "num_cold_items": 2}
    champion = {"version": "v0003", "tokenizer": "t", "metrics": content}
    artifacts = workspace(tmp_path / "a", champion)
    gate(Params(), artifacts, "t", by_definition)
    why = "the champion was published without an interaction log"
    assert verdict(artifacts).passed
    assert verdict(artifacts).not_applied == (f"champion.retention_at_100: {why}",)
    # A champion that had a log and lacks the figure all the same leaves nothing open.
    champion = {**champion, "metrics": {**content, "num_cold_items": 1}}
    artifacts = workspace(tmp_path / "b", champion)
    gate(Params(), artifacts, "t", by_definition)
    assert not verdict(artifacts).passed


def test_a_candidate_worse_than_its_champion_is_refused(tmp_path: Path):
    metrics = {**CHAMPION, "collision_rate": 0.01, "relative_mse": 0.33, "retention_at_100": 0.8}
    champion = {"version": "v0003", "tokenizer": "other", "metrics": metrics, "unknown": 1}
    artifacts = workspace(tmp_path, champion)
    gate(Params(), artifacts, "t", by_definition)
    judged = verdict(artifacts)
    assert judged.champion == "v0003"
    assert judged.not_applied == ()
    assert judged.blocked_by == (
        "collision_rate rose by 0.090 against champion v0003 (0.010 -> 0.100); "
        "at most 0.050 is allowed",
        "relative_mse rose by 0.070 against champion v0003 (0.330 -> 0.400); "
        "at most 0.050 is allowed",
    )


def test_a_champion_that_lacks_the_metric_refuses(tmp_path: Path):
    champion = {"version": "v0003", "tokenizer": "t", "metrics": {"collision_rate": 0.1}}
    artifacts = workspace(tmp_path, champion)
    gate(Params(), artifacts, "t", by_definition)
    assert set(verdict(artifacts).blocked_by) == {
        "champion v0003 has no relative_mse to compare with",
        "champion v0003 has no retention_at_100 to compare with",
    }
    assert "champion v0003 has no n_eff_share to compare with" in verdict(artifacts).warnings


def test_a_metric_nobody_measured_refuses(tmp_path: Path):
    artifacts = workspace(tmp_path)
    (artifacts.folder("evaluate", "t") / "metrics.json").write_text("{}", encoding="utf-8")
    gate(Params(), artifacts, "t", by_definition)
    assert verdict(artifacts).blocked_by == ("retention_at_100 is missing",)


def test_nan_in_a_metrics_file_refuses_and_is_written_as_text(tmp_path: Path):
    artifacts = workspace(tmp_path)
    path = artifacts.folder("evaluate", "t") / "metrics.json"
    path.write_text('{"retention_at_100": NaN}', encoding="utf-8")
    gate(Params(), artifacts, "t", by_definition)
    assert not verdict(artifacts).passed
    assert artifacts.json("gate", "measurements", "t")["retention_at_100"] == "nan"


def test_a_judge_without_answers_refuses_every_rule(tmp_path: Path):
    artifacts = workspace(tmp_path)
    gate(Params(), artifacts, "t", lambda *_: [])
    assert not any(rule.passed for rule in verdict(artifacts).rules)


def test_two_values_under_one_name_are_an_error(tmp_path: Path):
    artifacts = workspace(tmp_path)
    with artifacts.writing("segments", "t") as out:
        out.metrics({"cold_coverage": 1.0, "n_eff_share": 0.8})
    with pytest.raises(BadInput, match=r"n_eff_share of t is 0\.9 by diagnose and 0\.8"):
        gate(Params(), artifacts, "t", by_definition)
    assert not (tmp_path / "data/build/gate/t").exists()


@pytest.mark.parametrize("text", ["", "[]", '{"version": "v1"}'])
def test_a_champion_file_that_is_none_is_an_error_that_names_it(tmp_path: Path, text: str):
    artifacts = workspace(tmp_path)
    artifacts.layout.champion.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=r"champion\.json"):
        gate(Params(), artifacts, "t", by_definition)
    artifacts.layout.champion.unlink()
    with pytest.raises(BadInput, match=r"champion\.json is not there"):
        gate(Params(), artifacts, "t", by_definition)


def test_great_expectations_judges_twice_to_the_same_bytes_and_keeps_data_docs(tmp_path: Path):
    from sidmint.adapters.gx_gate import judge

    artifacts = workspace(tmp_path, cold_coverage=0.5)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    written = []
    for _ in range(2):
        gate(Params(), artifacts, "t", judge)
        folder = artifacts.folder("gate", "t")
        written.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert written[0] == written[1]
    assert set(written[0]) == {"measurements.json", "verdict.json"}
    gate(Params(), artifacts, "t", by_definition)
    assert (artifacts.folder("gate", "t") / "verdict.json").read_bytes() == (
        written[0]["verdict.json"]
    )
    new = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    outside = [p for p in new if not p.is_relative_to(artifacts.layout.data_docs)]
    assert sorted(path.name for path in outside) == ["measurements.json", "verdict.json"]
    assert next(artifacts.layout.data_docs.rglob("index.html")).is_file()
