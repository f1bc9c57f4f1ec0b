"""A small graph of cheap shell stages with every shape that the real one has.

A folder under `dvc add`, a matrix, and stages that depend on the folder which holds the
outputs of a matrix. The stages have names of the real dvc.yaml.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

_DVC_YAML = """
stages:
  ingest:
    cmd: mkdir -p build/ingest && cat data/raw/*.txt > build/ingest/all.txt
    deps: [data/raw]
    outs: [build/ingest]
  embed:
    cmd: mkdir -p build/embed && wc -c < build/ingest/all.txt > build/embed/size.txt
    deps: [build/ingest]
    params: [width]
    outs: [build/embed]
  train:
    matrix:
      name: ${names}
    cmd: mkdir -p build/train/${item.name} && echo ${item.name} > build/train/${item.name}/name.txt
    deps: [build/embed]
    outs: ["build/train/${item.name}"]
  evaluate:
    matrix:
      name: ${names}
    cmd: mkdir -p build/evaluate && cp -r build/train/${item.name} build/evaluate
    deps: ["build/train/${item.name}"]
    outs: ["build/evaluate/${item.name}"]
  report:
    cmd: mkdir -p build/report && cat build/evaluate/*/name.txt > build/report/names.txt
    deps: [build/train, build/evaluate]
    outs: [build/report]
"""


def make_small_graph(root: Path, names: list[str], **commands: str) -> Path:
    """The workspace at `root`, nothing run yet; `commands` replaces commands of stages."""
    stages: dict[str, Any] = yaml.safe_load(_DVC_YAML)
    for stage, command in commands.items():
        stages["stages"][stage]["cmd"] = command
    (root / "data" / "raw").mkdir(parents=True)
    (root / "data" / "raw" / "a.txt").write_text("a\n")
    (root / "params.yaml").write_text(yaml.safe_dump({"names": names, "width": 3}))
    (root / "dvc.yaml").write_text(yaml.safe_dump(stages, sort_keys=False))
    run_dvc(root, "init", "-q", "--no-scm")
    run_dvc(root, "add", "-q", "data/raw")
    return root


def run_dvc(root: Path, *arguments: str) -> None:
    """Run dvc in the workspace; fails with what it printed."""
    command = [sys.executable, "-m", "dvc", *arguments]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def read_lock(root: Path) -> Any:
    """dvc.lock, parsed: the order of its entries is that in which stages ended."""
    return yaml.safe_load((root / "dvc.lock").read_text())
