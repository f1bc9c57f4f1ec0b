"""`sidmint choose`: what it prints, writes and leaves with, and what it refuses to read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from typer.testing import CliRunner, Result

from html_page import Page
from sidmint.artifacts import Artifacts
from sidmint.choosing.tries import LINES, read_rows
from sidmint.cli import app
from sidmint.errors import BadInput, Refused
from sidmint.layout import Layout
from sidmint.params import load_params
from sidmint.result_versions import differing_versions
from sidmint.stages.assign import assign
from sidmint.stages.train import train
from small_graph import run_dvc
from workspaces import NO_CHAMPION, sidmint
from worlds import category_paths, neighbour_pairs, smooth_items

NUM_ITEMS, NUM_USERS = 300, 120
ASKED = ("--tokenizers", "rq_kmeans,random", "--seeds", "2", "--minutes", "10")
Rows = Sequence[Mapping[str, Any]]
PARAMS = """\
# The catalogue of a small shop.
seed: 7

train:
  tokenizers: [rq_vae, rq_kmeans]  # both until we know
  fit_on: all

tokenizers:
  rq_vae:
    sizes: [16, 16, 16]
    hidden: [16]   # small
    latent_dim: 8
    steps: 60
    start_steps: 60
  rq_kmeans: {sizes: [16, 16, 16], iterations: 20}

# Nothing below may change.
recommend: {recommender: popularity, seeds: 1, cutoffs: [5, 10, 20], threads: 1, credit: item}
gate:
  rules:
    num_items: {min: 10, severity: critical}
    collision_rate: {max: 0.9, severity: critical}   # loose
report: {title: "Mugs & <b>Teapots</b>"}
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop as ingest, embed and pairs would have left it, and the tries of one `answer`."""
    root = tmp_path_factory.mktemp("shop") / "w"
    (root / "data").mkdir(parents=True)
    artifacts = Artifacts(Layout(root))
    artifacts.layout.params.write_text(PARAMS, encoding="utf-8")
    artifacts.layout.champion.write_text(json.dumps(NO_CHAMPION))
    (root / "dvc.yaml").write_text("stages: {}\n")
    write_shop(artifacts)
    with pytest.MonkeyPatch.context() as patch:
        stand_in_for_mlflow(patch)
        patch.chdir(root)
        answer()
    return root


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Rows]:
    """What MLflow was told; nothing is opened."""
    return stand_in_for_mlflow(monkeypatch)


@pytest.fixture
def workspace(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorded: object
) -> Artifacts:
    """A copy of the shop, and the tests stand in it."""
    shutil.copytree(template, tmp_path / "w")
    monkeypatch.chdir(tmp_path / "w")
    return Artifacts(Layout(tmp_path / "w"))


def stand_in_for_mlflow(patch: pytest.MonkeyPatch) -> list[Rows]:
    from sidmint.adapters import mlflow_tries

    calls: list[Rows] = []
    patch.delenv("SIDMINT_WORKSPACE", raising=False)
    patch.setattr(
        mlflow_tries, "record_tries", lambda layout, name, rows: calls.append(rows) or len(rows)
    )
    return calls


def write_shop(
    artifacts: Artifacts, num_items: int = NUM_ITEMS, num_users: int = NUM_USERS
) -> None:
    """Users walk from an item to one that is like it; the last step is held out."""
    vectors = smooth_items(num_items)
    ids = [f"i{row:04}" for row in range(num_items)]
    near = np.argsort(-vectors @ vectors.T, axis=1)
    drawn = np.random.default_rng(0)
    events = []
    for user in range(num_users):
        item = int(drawn.integers(num_items))
        for position, split in enumerate(("train", "train", "validation", "test")):
            events.append((f"u{user:04}", ids[item], position, None, split))
            item = int(near[item, drawn.integers(1, 4)])
    columns = {
        "user_id": pl.String,
        "item_id": pl.String,
        "position": pl.Int64,
        "timestamp": pl.Int64,
        "split": pl.String,
    }
    with artifacts.writing("ingest") as out:
        items = {"item_id": ids, "title": ids, "categories": category_paths(vectors)}
        standing = {"cold": [False] * num_items, "standing": ["warm"] * num_items}
        out.table("items", pl.DataFrame(items | standing))
        out.table("interactions", pl.DataFrame(events, columns, orient="row"))
    with artifacts.writing("embed") as out:
        out.array("embeddings", vectors.astype(np.float16))
    pairs = neighbour_pairs(vectors) if num_users else neighbour_pairs(vectors[:0].reshape(0, 24))
    with artifacts.writing("pairs") as out:
        out.table(
            "pairs",
            pl.DataFrame(
                {
                    "trigger": [ids[row] for row in pairs.triggers],
                    "target": [ids[row] for row in pairs.targets],
                    "score": pairs.scores,
                },
                {"trigger": pl.String, "target": pl.String, "score": pl.Float32},
            ),
        )


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["choose", *arguments], env={"COLUMNS": "220"})


def answer(*arguments: str) -> dict[str, Any]:
    result = run(*ASKED, "--json", *arguments)
    assert result.exit_code == 0, result.output + repr(result.exception)
    return dict(json.loads(result.stdout))


def test_json_holds_the_answer_its_reason_and_every_finalist(workspace: Artifacts, recorded):
    found = answer()
    assert found["chosen"]["tokenizer"] == "rq_kmeans"
    assert found["chosen"]["settings"]["iterations"] == 20  # those of params.yaml
    assert found["sentence"].startswith("Take rq_kmeans 3 x 16")
    assert found["quality"] == "retention of item-to-item hits at 30"  # a tenth of the items
    assert found["sizes"][0] == {"sizes": [16, 16, 16], "reason": "yours, of params.yaml"}
    assert {each["num_seeds"] for each in found["finalists"]} == {2}
    assert {"collision_rate", "noisy_code_share", "id_bits", "retention_at_30"} <= set(
        found["chosen"]["metrics"]
    )
    rows = read_rows(workspace.layout.tries)
    assert [len(call) for call in recorded] == [len(rows)]


def test_a_run_that_was_made_before_makes_no_try_and_says_the_same(workspace: Artifacts):
    shutil.rmtree(workspace.layout.tries)
    first = answer()
    lines = (workspace.layout.tries / LINES).read_bytes()
    second = answer()
    assert first["num_tries_made"] == len(read_rows(workspace.layout.tries))
    assert second["num_tries_made"] == 0
    assert (workspace.layout.tries / LINES).read_bytes() == lines
    spent = {"seconds": 0, "num_tries_made": 0}
    assert second | spent == first | spent


def test_apply_changes_the_tokenizer_and_no_other_line(workspace: Artifacts):
    before = PARAMS.splitlines()
    found = answer("--apply")
    assert found["applied"]
    after = workspace.layout.params.read_text(encoding="utf-8").splitlines()
    sizes = found["chosen"]["settings"]["sizes"]
    changed = [line for line in after if line not in before]
    gone = [line for line in before if line not in after]
    assert [line.split(":")[0].strip() for line in gone] in (
        ["tokenizers"],
        ["tokenizers", "rq_kmeans"],
    )
    assert len(changed) == len(gone)
    params = yaml.safe_load("\n".join(after))
    assert params["train"] == {"tokenizers": ["rq_kmeans"], "fit_on": "all"}
    assert params["tokenizers"]["rq_kmeans"] == {"sizes": sizes, "iterations": 20}
    known = yaml.safe_load(PARAMS)
    assert {key: params[key] for key in known if key not in ("train", "tokenizers")} == {
        key: known[key] for key in known if key not in ("train", "tokenizers")
    }
    assert params["tokenizers"]["rq_vae"] == known["tokenizers"]["rq_vae"]


def test_what_is_applied_is_what_train_then_makes(workspace: Artifacts):
    """The codes of the first seed on all items are those of stages train and assign."""
    found = answer("--apply")
    params = load_params(workspace.layout.params)
    train(params, workspace, "rq_kmeans")
    assign(params, workspace, "rq_kmeans")
    row = next(
        each
        for each in read_rows(workspace.layout.tries)
        if each.settings == found["chosen"]["settings"] and each.seed == 0
    )
    codes = np.load(workspace.layout.tries / "codes" / f"{row.key}.npy")
    assert np.array_equal(codes, workspace.codes("codes", "rq_kmeans"))


def test_a_tokenizer_that_params_did_not_have_is_written_with_its_sizes(workspace: Artifacts):
    result = run("--tokenizers", "rq_opq", "--seeds", "1", "--apply", "--minutes", "10")
    assert result.exit_code == 0, result.output + repr(result.exception)
    params = yaml.safe_load(workspace.layout.params.read_text(encoding="utf-8"))
    assert params["train"]["tokenizers"] == ["rq_opq"]
    assert list(params["tokenizers"]["rq_opq"]) == ["sizes"]


def test_the_page_loads_nothing_escapes_everything_and_is_whole(workspace: Artifacts, tmp_path):
    answer("--html", str(tmp_path / "choice.html"))
    html = (tmp_path / "choice.html").read_text(encoding="utf-8")
    page = Page(html)
    assert not page.unbalanced
    assert not page.open
    assert "<b>Teapots" not in html
    assert "Mugs & <b>Teapots</b>" in page.text
    assert "Take rq_kmeans" in page.text
    assert not page.all("script")
    assert "default-src 'none'" in html
    assert "http://" not in html.replace("http://www.w3.org/", "")
    assert len(page.all("svg")) == 3
    for reference in page.all("a"):
        assert (reference["href"] or "").startswith("#")


def test_people_get_a_row_a_finalist_the_answer_and_a_line_a_try(workspace: Artifacts):
    result = run(*ASKED)
    assert result.exit_code == 0
    assert "Take rq_kmeans" in result.stdout
    assert "Intervals hold together at 95%" in result.stdout
    assert "minutes left" in result.stderr
    tried = [line for line in result.stderr.splitlines() if "minutes left" in line]
    rows = len(read_rows(workspace.layout.tries))
    assert len(tried) >= rows  # one that was found is told too


def test_a_gate_that_refuses_all_applies_nothing_and_leaves_with_1(workspace: Artifacts):
    params = PARAMS.replace("collision_rate: {max: 0.9", "relative_mse: {max: 0.0001")
    workspace.layout.params.write_text(params, encoding="utf-8")
    result = run("--tokenizers", "rq_kmeans", "--seeds", "1", "--apply", "--minutes", "10")
    assert isinstance(result.exception, Refused)
    assert "relative_mse is" in str(result.exception)
    assert workspace.layout.params.read_text(encoding="utf-8") == params


def test_without_a_log_neighbours_are_asked_for_and_what_wants_pairs_is_left_out(
    workspace: Artifacts,
):
    write_shop(workspace, num_users=0)
    result = run(
        "--tokenizers", "rq_kmeans,drq_vae_cl", "--seeds", "1", "--minutes", "10", "--json"
    )
    assert result.exit_code == 0, repr(result.exception)
    found = json.loads(result.stdout)
    assert found["quality"] == "nearest neighbours still among the first 10"
    assert found["left_out"][0] == {
        "label": "drq_vae_cl",
        "reason": "it learns from item pairs, and there are none",
    }
    with pytest.raises(BadInput, match="no interaction log"):
        raise run("--with-recommender").exception  # type: ignore[misc]


def test_few_users_are_told_and_neighbours_are_asked_for(workspace: Artifacts):
    write_shop(workspace, num_users=5)
    result = run("--tokenizers", "rq_kmeans", "--seeds", "1", "--minutes", "10", "--json")
    assert result.exit_code == 0
    assert "fewer than 30 users" in result.stderr
    assert json.loads(result.stdout)["quality"].startswith("nearest neighbours")


def test_two_hundred_items_get_sizes_that_fit_them(workspace: Artifacts):
    write_shop(workspace, num_items=200)
    found = answer()
    assert [each["sizes"] for each in found["sizes"]] == [[16, 16, 16], [16, 16, 16, 16]]


def test_a_recommender_compares_the_finalists_where_it_is_asked(workspace: Artifacts):
    found = answer("--with-recommender")
    assert found["quality"] == "NDCG@10 of popularity on held-out events"
    assert {each["label"] for each in found["retention"]} == {
        each["label"] for each in found["finalists"]
    }
    kept = sorted((workspace.layout.tries / "gains").iterdir())
    assert len(kept) == sum(each["num_seeds"] for each in found["finalists"])
    gains = {path: np.load(path) for path in kept}
    assert {len(each) for each in gains.values()} == {NUM_USERS}
    mean = sum(each["num_seeds"] * each["quality"] for each in found["finalists"]) / len(kept)
    assert mean == pytest.approx(np.mean([each.mean() for each in gains.values()]))
    before = [path.stat().st_mtime_ns for path in kept]
    assert answer("--with-recommender")["finalists"] == found["finalists"]
    assert [path.stat().st_mtime_ns for path in kept] == before


def test_the_champion_is_what_churn_is_measured_against(workspace: Artifacts):
    """The champion's codes are those of the first seed: only its names differ."""
    row = next(
        each
        for each in read_rows(workspace.layout.tries)
        if (each.name, each.sizes, each.seed) == ("rq_kmeans", (16,) * 3, 0)
    )
    codes = np.load(workspace.layout.tries / "codes" / f"{row.key}.npy")
    ids = workspace.items()["item_id"]
    columns = {f"code_{level + 1}": 15 - codes[:, level] for level in range(3)}
    folder = workspace.layout.champion_folder
    folder.mkdir(parents=True)
    pl.DataFrame({"item_id": ids, **columns}).reverse().write_parquet(folder / "sids.parquet")
    metrics = {"collision_rate": 0.2, "n_eff_share": 0.5, "retention_at_100": 0.5}
    metrics["relative_mse"] = 0.9
    champion = {"version": "v0001", "tokenizer": "rq_kmeans", "metrics": metrics}
    workspace.layout.champion.write_text(json.dumps(champion))
    answer()
    same = next(
        each
        for each in read_rows(workspace.layout.tries)
        if (each.name, each.sizes, each.seed) == ("rq_kmeans", (16,) * 3, 0)
        and "churn" in each.metrics
    )
    assert same.metrics["churn"] > 0.9
    assert same.metrics["aligned_churn"] == 0
    others = [each for each in read_rows(workspace.layout.tries) if len(each.sizes) == 4]
    assert {each.metrics["churn"] for each in others if "churn" in each.metrics} == {1.0}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--tokenizers", "rq_kmean"), "unknown tokenizer 'rq_kmean'.*did you mean rq_kmeans"),
        (("--tokenizers", "rq_vae,rq_vae"), "each once"),
        (("--minutes", "0"), "wants a time above 0, got 0"),
        (("--minutes", "nan"), "wants a time above 0"),
        (("--minutes", "-3"), "wants a time above 0"),
        (("--html", "nowhere/at/all.html"), "a folder that is there"),
    ],
)
def test_bad_input_is_named_before_any_time_is_spent(
    workspace: Artifacts, arguments: tuple[str, ...], told: str
):
    before = (workspace.layout.tries / LINES).read_bytes()
    result = run(*arguments)
    assert isinstance(result.exception, BadInput)
    assert result.exception.exit_code == 2
    with pytest.raises(BadInput, match=told):
        raise result.exception
    assert (workspace.layout.tries / LINES).read_bytes() == before


def test_too_little_time_leaves_with_1_and_says_what_would_help(workspace: Artifacts):
    shutil.rmtree(workspace.layout.tries)
    result = run("--tokenizers", "rq_kmeans", "--minutes", "0.000001")
    assert isinstance(result.exception, Refused)
    assert "raise --minutes" in str(result.exception)


def test_stopped_it_keeps_what_had_ended_and_leaves_with_130(
    workspace: Artifacts, monkeypatch: pytest.MonkeyPatch
):
    from sidmint.choosing.measuring import Attempt, Measuring, Tried

    shutil.rmtree(workspace.layout.tries)
    make = Measuring.__call__

    def stopped(self: Measuring, attempt: Attempt) -> Tried:
        if attempt.candidate.name == "random":
            raise KeyboardInterrupt
        return make(self, attempt)

    monkeypatch.setattr(Measuring, "__call__", stopped)
    result = run(*ASKED)
    assert result.exit_code == 130
    assert "goes on" in result.stderr
    assert {row.name for row in read_rows(workspace.layout.tries)} == {"rq_kmeans"}


def test_stages_that_have_not_run_are_named(workspace: Artifacts):
    shutil.rmtree(workspace.layout.stage("embed"))
    result = run("--tokenizers", "rq_kmeans")
    assert isinstance(result.exception, BadInput)
    assert "stage 'embed' has not run" in str(result.exception)


def test_under_dvc_what_stages_read_of_the_installed_sidmint_is_level_first(
    workspace: Artifacts, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(workspace.layout.root / ".site"))
    run_dvc(workspace.layout.root, "init", "-q", "--no-scm")
    assert differing_versions(workspace.layout)
    assert run(*ASKED).exit_code == 0
    assert not differing_versions(workspace.layout)


def test_outside_a_workspace_the_command_leaves_with_2(tmp_path: Path):
    assert "no sidmint workspace" in sidmint(tmp_path, "choose", code=2)
