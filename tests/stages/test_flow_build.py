"""The flow `build` over small graphs: it does what `dvc repro` does, side by side."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from flows.board import showing
from flows.stage_options import STAGE_OPTIONS, StageOptions, check_options
from flows.summary import BuildSummary
from sidmint.adapters.dvc_repo import build_digest, read_plan, stale_reasons
from sidmint.errors import BadInput
from small_graph import make_small_graph, read_lock, run_dvc

# DVC uses a part of pygtrie that is going away.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")


def run_flow(root: Path, jobs: int = 2) -> BuildSummary:
    from flows.graph import build

    return build(str(root), jobs=jobs, record=False, options={})


def states(summary: BuildSummary) -> dict[str, str]:
    return {node.stage: node.state for node in summary.nodes}


@pytest.fixture(scope="module")
def shown() -> io.StringIO:
    """What the build of `built` showed, where there is no terminal."""
    return io.StringIO()


@pytest.fixture(scope="module")
def built(
    prefect_server: None, tmp_path_factory: pytest.TempPathFactory, shown: io.StringIO
) -> tuple[Path, BuildSummary]:
    root = make_small_graph(tmp_path_factory.mktemp("flow") / "workspace", ["x", "y"])
    with showing(Console(file=shown)):
        return root, run_flow(root)


def test_flow_writes_the_lock_that_plain_repro_writes(
    built: tuple[Path, BuildSummary], tmp_path: Path
) -> None:
    other = make_small_graph(tmp_path / "other", ["x", "y"])
    run_dvc(other, "repro", "-q")
    assert read_lock(built[0]) == read_lock(other)


def test_flow_runs_each_stage_of_an_empty_workspace_once(
    built: tuple[Path, BuildSummary],
) -> None:
    assert states(built[1]) == {
        "data/raw.dvc": "Cached",
        "ingest": "Ran",
        "embed": "Ran",
        "train@x": "Ran",
        "evaluate@x": "Ran",
        "train@y": "Ran",
        "evaluate@y": "Ran",
        "report": "Ran",
    }


def test_flow_shows_each_stage_as_it_ends(
    built: tuple[Path, BuildSummary], shown: io.StringIO
) -> None:
    head, *lines = (line.split() for line in shown.getvalue().splitlines())
    assert head == ["stage", "state", "seconds"]
    assert {line[0]: line[1] for line in lines} == states(built[1])
    seconds = {node.stage: f"{node.seconds:.1f}" for node in built[1].nodes if node.seconds}
    assert {line[0]: line[2] for line in lines if len(line) > 2} == seconds
    order = [line[0] for line in lines]
    assert order.index("ingest") < order.index("train@x") < order.index("report")


def test_flow_takes_lost_outputs_from_the_run_cache_and_asks_for_nothing_else(
    built: tuple[Path, BuildSummary],
) -> None:
    root, _ = built
    (root / "build/report/names.txt").unlink()
    summary = run_flow(root)
    assert states(summary) == {
        node.stage: "Restored" if node.stage == "report" else "Cached" for node in summary.nodes
    }
    assert all(node.seconds == 0 for node in summary.nodes if node.state == "Cached")
    assert (root / "build/report/names.txt").read_text() == "x\ny\n"


def test_nothing_stale_starts_neither_prefect_nor_mlflow(
    built: tuple[Path, BuildSummary],
) -> None:
    code = (
        "import sys; from flows.build import main; code = main(sys.argv[1:]);"
        "assert not {'prefect', 'mlflow'} & set(sys.modules); sys.exit(code)"
    )
    command = [sys.executable, "-c", code, "--workspace", str(built[0]), "--no-record"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "everything is up to date (8 stages)\n"), ended


def test_graph_is_that_of_dvc_yaml(built: tuple[Path, BuildSummary]) -> None:
    graph = read_plan(built[0]).graph
    assert graph.upstream == {
        "data/raw.dvc": (),
        "ingest": ("data/raw.dvc",),
        "embed": ("ingest",),
        "train@x": ("embed",),
        "evaluate@x": ("train@x",),
        "train@y": ("embed",),
        "evaluate@y": ("train@y",),
        "report": ("evaluate@x", "evaluate@y", "train@x", "train@y"),
    }
    assert graph.downstream("train@y") == ["evaluate@y", "report"]


def test_stale_nodes_are_those_whose_own_inputs_changed(
    built: tuple[Path, BuildSummary],
) -> None:
    root, _ = built
    assert stale_reasons(root) == {}
    before = build_digest(root, read_plan(root).graph)
    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(text.replace("width: 3", "width: 4"))
    reasons = stale_reasons(root)
    (root / "params.yaml").write_text(text)
    assert list(reasons) == ["embed"]
    assert "width" in reasons["embed"][0]
    assert build_digest(root, read_plan(root).graph) == before


def test_build_digest_ignores_order_and_stages_that_are_gone(
    built: tuple[Path, BuildSummary],
) -> None:
    root, _ = built
    graph = read_plan(root).graph
    before, lock = build_digest(root, graph), (root / "dvc.lock").read_text()
    parsed = read_lock(root)
    entries = dict(reversed(parsed["stages"].items())) | {"gone": {"cmd": "true"}}
    (root / "dvc.lock").write_text(json.dumps({**parsed, "stages": entries}))
    shuffled = build_digest(root, graph)
    entries["ingest"] = {**entries["ingest"], "cmd": "other"}
    (root / "dvc.lock").write_text(json.dumps({**parsed, "stages": entries}))
    changed = build_digest(root, graph)
    (root / "dvc.lock").write_text(lock)
    assert shuffled == before != changed


def test_stage_options_name_stages_of_the_real_dvc_yaml(repository: Path) -> None:
    import yaml

    stages = yaml.safe_load((repository / "dvc.yaml").read_text())["stages"]
    check_options(STAGE_OPTIONS, set(stages))


def test_an_option_for_a_stage_that_is_not_there_is_refused() -> None:
    with pytest.raises(BadInput, match=r"options for trian, but dvc\.yaml has the stages train"):
        check_options({"trian": StageOptions()}, {"train"})


@pytest.mark.slow
def test_a_changed_raw_file_goes_all_the_way_and_back(prefect_server: None, tmp_path: Path) -> None:
    root = make_small_graph(tmp_path / "workspace", ["x"])
    run_dvc(root, "repro", "-q")
    first = read_lock(root)
    (root / "data/raw/b.txt").write_text("bb\n")
    run_flow(root)
    assert (root / "build/embed/size.txt").read_text().split() == ["5"]
    (root / "data/raw/b.txt").unlink()
    after = states(run_flow(root))
    assert after["data/raw.dvc"] == "Ran"
    assert after["ingest"] == after["embed"] == "Restored"
    # train@x read only a folder that is again what it was when it last ran
    assert read_lock(root) == first


@pytest.mark.slow
def test_a_fan_out_of_sixteen_all_end_well(prefect_server: None, tmp_path: Path) -> None:
    names = [f"n{number:02}" for number in range(16)]
    root = make_small_graph(tmp_path / "workspace", names)
    summary = run_flow(root, jobs=16)
    assert summary.count("Ran") == 3 + 2 * 16
    assert len((root / "build/report/names.txt").read_text().split()) == 16
    other = make_small_graph(tmp_path / "other", names)
    run_dvc(other, "repro", "-q")
    assert read_lock(root) == read_lock(other)
