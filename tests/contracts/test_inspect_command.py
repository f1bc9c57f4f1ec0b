"""`sidmint inspect` and `sidmint diagnose --show`: exit codes, words, JSON keys, hostile text."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner, Result

from foreign_tables import (
    IDS,
    NUM_ITEMS,
    SIZE,
    columns,
    make_codes,
    make_log,
    make_vectors,
    with_suffix,
)
from sidmint.artifacts import Artifacts
from sidmint.cli import app
from sidmint.contracts import METRICS, describe_metric
from sidmint.errors import BadInput
from sidmint.inspection.unmeasured import why_unmeasured
from sidmint.layout import Layout

OPTIONS = ("--vectors", "vectors.npy", "--interactions", "log.parquet")
HOSTILE = "\x1b[31m[bold]x[/bold]\u202e\x9b2J"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["inspect", *arguments], env={"COLUMNS": "120"})


def say(*arguments: str, code: int = 0) -> str:
    result = run(*arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout


def parsed(*arguments: str, code: int = 0) -> Any:
    return json.loads(say(*arguments, "--json", code=code))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is no workspace, with a sound table, its vectors and a log."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SIDMINT_WORKSPACE", raising=False)
    table = columns(with_suffix(make_codes()), "code_{}").rename({"code_4": "suffix"})
    table.with_columns(title=pl.lit("title ") + pl.col("item_id")).write_parquet("table.parquet")
    collapsed = columns(np.full_like(make_codes(), 3), "code_{}")
    collapsed.write_parquet("collapsed.parquet")
    np.save("vectors.npy", make_vectors())
    make_log().write_parquet("log.parquet")
    return tmp_path


def make_workspace(folder: Path, gate: str) -> None:
    (folder / "dvc.yaml").write_text("stages: {}\n")
    (folder / "params.yaml").write_text(f"evaluate: {{cutoffs: [10]}}\ngate: {gate}\n")


def test_a_sound_table_passes_and_a_collapsed_one_is_refused() -> None:
    assert say("table.parquet", "--sizes", str(SIZE)).startswith("PASSED table.parquet: ")
    text = say("collapsed.parquet", "--sizes", str(SIZE), code=1)
    assert text.startswith("REFUSED collapsed.parquet: ")
    for reason in ("collision_rate is 0.997, above", "dead_code_share_1 is 0.875, above"):
        assert reason in text


def test_bad_input_leaves_with_two_and_one_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sidmint.cli import main

    monkeypatch.setattr(sys, "argv", ["sidmint", "inspect", "nothing.csv"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    assert capsys.readouterr().err == "error: nothing.csv is not there; check the path\n"


def test_the_json_document_keeps_its_keys() -> None:
    document = parsed("table.parquet", "--sizes", str(SIZE), "--show-buckets", "2")
    assert document.keys() == {
        *("verdict", "reasons", "warnings", "rules", "not_applied", "metrics", "levels"),
        *("buckets", "read", "gate"),
    }
    assert document["read"].keys() == {
        *("file", "sha256", "items", "levels", "sizes", "sizes_from", "offsets", "suffix", "notes"),
    }
    assert (document["verdict"], document["reasons"]) == ("passed", [])
    assert (document["read"]["suffix"], document["read"]["sizes"]) == (True, [SIZE] * 3)
    assert {row["bucket"] for row in document["buckets"]} == {1, 2}
    refused = parsed("collapsed.parquet", code=1)
    assert refused["verdict"] == "refused"
    assert any("collision_rate" in reason for reason in refused["reasons"])


def test_each_file_beside_the_table_brings_the_rules_that_need_it() -> None:
    alone = parsed("table.parquet", "--sizes", str(SIZE))
    assert alone["not_applied"]["conflict_rate"] == "needs --vectors"
    assert alone["not_applied"]["retention_at_100"] == "needs --vectors and --interactions"
    assert "sidmint trained" in alone["not_applied"]["cold_coverage"]
    assert "champion" in alone["not_applied"]["champion.n_eff_share"]
    whole = parsed("table.parquet", "--sizes", str(SIZE), *OPTIONS, code=1)
    applied = {rule["metric"] for rule in whole["rules"]}
    assert {"conflict_rate", "retention_at_100", "resolved_collision_rate"} <= applied
    assert "implied codebooks" in " ".join(whole["read"]["notes"])
    for name in (*alone["metrics"], *whole["metrics"]):
        describe_metric(name)


def test_what_could_not_be_measured_does_not_refuse() -> None:
    document = parsed("table.parquet", "--sizes", str(SIZE))
    judged = {rule["name"] for rule in document["rules"]}
    assert judged.isdisjoint(document["not_applied"])
    assert {"collision_rate", "n_eff_share", "num_items"} <= judged


def test_every_metric_is_measured_or_has_a_reason() -> None:
    """With both files at hand, what is missing is what sidmint alone can know."""
    measured = parsed("table.parquet", *OPTIONS, code=1)["metrics"]
    values = {"level": "1", "k": "20", "space": "raw", "segment": "head"}
    values |= {"figure": "ndcg_at_10", "end": "low"}
    for pattern in METRICS:
        name = re.sub(r"{(\w+)}", lambda field: values[field[1]], pattern)
        reason = why_unmeasured(name, {}, True, True, 3)
        assert (name in measured) != ("sidmint trained" in reason), (name, reason)


def test_outside_a_workspace_the_default_gate_judges_and_inside_its_own(folder: Path) -> None:
    arguments = ("table.parquet", "--sizes", str(SIZE))
    assert "default gate" in parsed(*arguments)["gate"]["from"]
    strict = "{rules: {collision_rate: {max: 0.01}, prefix_hr_at_10: {min: 0}}, champion: {}}"
    make_workspace(folder, strict)
    document = parsed(*arguments, "--interactions", "log.parquet", code=1)
    assert str(folder / "params.yaml") in document["gate"]["from"]
    assert [rule["name"] for rule in document["rules"]] == ["collision_rate", "prefix_hr_at_10"]
    assert "of the gate of" in say(*arguments, code=1)


def test_a_named_workspace_that_is_none_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIDMINT_WORKSPACE", "nowhere")
    with pytest.raises(BadInput, match="no sidmint workspace"):
        say("table.parquet")


def test_people_see_verdict_then_reading_then_levels_then_figures_then_the_rest() -> None:
    text = say("table.parquet", "--sizes", str(SIZE), "--show-buckets", "1")
    parts = ("PASSED", "Read 300 items", "is a suffix (by its name)", "codes in the codebook")
    parts += ("collision_rate", "Worst shared codes", "title ", "Rules not applied")
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert "conflict_rate: needs --vectors" in text


def test_colliding_codes_without_a_suffix_are_called_codes_before_resolution() -> None:
    columns(make_codes(), "code_{}").write_csv("codes.csv")
    reason = parsed("codes.csv")["not_applied"]["resolved_collision_rate"]
    assert "codes before resolution" in reason
    assert "resolved_collision_rate" in parsed("table.parquet")["metrics"]


def test_a_table_without_collisions_says_that_moved_codes_do_not_show() -> None:
    columns(np.arange(NUM_ITEMS)[:, None] // [64, 8, 1] % 8, "code_{}").write_csv("unique.csv")
    document = parsed("unique.csv", "--no-suffix")
    assert document["metrics"]["resolved_collision_rate"] == 0
    assert "codes were moved" in " ".join(document["read"]["notes"])


def test_the_table_that_sidmint_publishes_is_read_by_its_columns() -> None:
    published = pl.read_parquet("table.parquet").with_columns(
        semantic_id=pl.concat_str("code_1", "code_2", "code_3", "suffix", separator="-")
    )
    published.drop("title").write_parquet("sids.parquet")
    plain, found = parsed("table.parquet"), parsed("sids.parquet")
    assert found["metrics"] == plain["metrics"]
    assert found["metrics"]["resolved_collision_rate"] == 0
    forced = parsed("sids.parquet", "--no-suffix")
    assert forced["read"]["levels"] == 4


def test_hostile_ids_and_titles_are_shown_as_harmless_text() -> None:
    """Neither markup nor escapes nor a change of direction reaches the terminal."""
    ids = [f"{HOSTILE}{row}" for row in range(NUM_ITEMS)]
    table = columns(make_codes(), "code_{}").with_columns(item_id=pl.Series(ids))
    table = table.with_columns(title=pl.lit(HOSTILE))
    table.write_parquet("hostile.parquet")
    for arguments in (("--show-buckets", "3"), ("--show-buckets", "3", "--json")):
        text = say("hostile.parquet", "--sizes", str(SIZE), *arguments)
        assert "[bold]x[/bold]" in text
        assert not {"\x1b", "\u202e", "\x9b"} & set(text)
    table.with_columns(code_1=pl.lit(-1)).write_parquet("hostile.parquet")
    result = run("hostile.parquet")
    assert isinstance(result.exception, BadInput)
    assert "[bold]x" in str(result.exception)
    assert not {"\x1b", "\u202e", "\x9b"} & set(str(result.exception))


@pytest.mark.parametrize("sizes", ["x", "8,,8", "8;8;8", "-8", "٣", "9" * 12])
def test_sizes_that_are_none_are_named(sizes: str) -> None:
    with pytest.raises(BadInput, match="--sizes wants whole numbers"):
        say("table.parquet", f"--sizes={sizes}")


def write_diagnosis(folder: Path, with_noise: bool) -> dict[str, float]:
    make_workspace(folder, "{}")
    levels = {"level": [1, 2], "size": [8, 8], "dead_codes": [0, 3], "perplexity": [7.5, 4.0]}
    metrics: dict[str, float] = {"n_eff_share": 0.75, "dead_codes_2": 3, "gini_1": 0.125}
    metrics |= {"effective_codebook_size_1": 6.5}
    metrics |= {"changed_code_share_1": 0.3125} if with_noise else {}
    noise = {"level": [1, 1, 2, 2], "kappa": [0.25, 1.0] * 2}
    for column in ("changed_code_share", "changed_prefix_share"):
        noise[column] = [0.1, 0.3, 0.2, 0.4]
    with Artifacts(Layout(folder)).writing("diagnose", "one") as out:
        out.table("levels", pl.DataFrame(levels))
        out.metrics(metrics)
        if with_noise:
            out.table("robustness", pl.DataFrame(noise))
    return metrics


def show(*arguments: str) -> str:
    result = CliRunner().invoke(
        app, ["diagnose", "--tokenizer", "one", "--show", *arguments], env={"COLUMNS": "120"}
    )
    if result.exception is not None:
        raise result.exception
    return result.stdout


@pytest.mark.parametrize("with_noise", [False, True])
def test_diagnose_show_prints_what_the_stage_wrote_and_writes_nothing(
    folder: Path, with_noise: bool
) -> None:
    metrics = write_diagnosis(folder, with_noise)
    files = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    text = show()
    assert re.search(r"in use +8 +5\b", text), "active codes follow from size and dead ones"
    assert re.search(r"effective codebook size +6\.5000 +-", text)
    assert re.search(r"n_eff_share +0\.7500 +higher", text)
    assert ("changed by noise of kappa" in text) == with_noise
    assert ("codes changed by noise" in text) == with_noise
    assert json.loads(show("--json")) == metrics
    assert files == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_diagnose_show_names_the_way_where_the_stage_has_not_run(folder: Path) -> None:
    make_workspace(folder, "{}")
    with pytest.raises(BadInput, match=r"diagnose.*has not run; `sidmint run`"):
        show()


def test_ids_of_an_array_are_its_rows() -> None:
    np.save("rows.npy", make_codes())
    row = parsed("rows.npy", "--show-buckets", "1")["buckets"][0]
    assert row["item_id"] in IDS
    assert row["kind"] is None
