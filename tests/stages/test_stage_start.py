"""What the start and the end of a stage's process cost, and that nothing else differs by it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sidmint.adapters.dvc_repo import repro_command, repro_environment
from small_graph import make_small_graph

BEFORE = "from sidmint.garbage import collect_rarely; collect_rarely()"


def said(code: str) -> str:
    """What a process of its own prints; it must leave with 0."""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small workspace with files that are named like modules."""
    root = make_small_graph(tmp_path_factory.mktemp("graph") / "workspace", ["x"])
    for name in ("dvc.py", "sidmint.py", "typing.py"):
        (root / name).write_text("raise SystemExit('taken for a module')")
    return root


def test_stages_that_multiply_no_matrices_are_read_without_torch() -> None:
    stages = "ingest, embed, pairs, segments, gate, report"
    heavy = "'torch', 'scipy.stats', 'great_expectations', 'mlflow', 'prefect'"
    code = f"import sys; from sidmint.stages import {stages}; print({{{heavy}}} & set(sys.modules))"
    assert said(code) == "set()\n"


def test_garbage_cycles_are_still_collected_while_a_command_works() -> None:
    code = (
        f"{BEFORE}\n"
        "class Node: made = freed = 0\n"
        "def freed(): Node.freed += 1\n"
        "import weakref\n"
        "for _ in range(300_000):\n"
        "    node = Node(); node.itself = node; Node.made += 1; weakref.finalize(node, freed)\n"
        "print(Node.freed > 0.5 * Node.made)"
    )
    assert said(code) == "True\n"


@pytest.mark.parametrize(("before", "walked"), [("", "walked\n"), (BEFORE, "")])
def test_the_end_of_a_command_walks_over_no_cycle(before: str, walked: str) -> None:
    code = (
        f"{before}\n"
        "class Node:\n"
        "    def __del__(self): print('walked')\n"
        "node = Node(); node.itself = node; del node"
    )
    assert said(code) == walked


def test_what_asked_to_be_told_of_the_end_is_told(tmp_path: Path) -> None:
    code = (
        f"{BEFORE}\n"
        "import logging, tempfile, atexit\n"
        f"left = tempfile.TemporaryDirectory(dir={str(tmp_path)!r})\n"
        f"logging.basicConfig(filename={str(tmp_path / 'log')!r})\n"
        "logging.warning('kept'); atexit.register(print, 'told')"
    )
    assert said(code) == "told\n"
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
    assert "kept" in (tmp_path / "log").read_text()


def test_a_node_is_run_by_dvc_whatever_lies_in_the_workspace(graph: Path) -> None:
    ended = in_graph(graph, repro_command("ingest", graph))
    assert ended.returncode == 0, ended
    assert "ingest:" in (graph / "dvc.lock").read_text()


def test_a_node_that_fails_leaves_as_dvc_leaves(graph: Path) -> None:
    arguments = repro_command("nosuch", graph)[4:]
    ours = in_graph(graph, repro_command("nosuch", graph))
    dvcs = in_graph(graph, [sys.executable, "-P", "-m", "dvc", *arguments])
    assert ours.returncode == dvcs.returncode != 0
    assert (ours.stdout, ours.stderr) == (dvcs.stdout, dvcs.stderr)


def in_graph(graph: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=graph, env=repro_environment(), capture_output=True, text=True
    )
