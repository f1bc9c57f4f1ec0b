"""Tables in parts that DVC knows by their manifest: nothing is hashed or kept twice."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from sidmint.adapters.dvc_repo import (
    PARTS_PATTERN,
    repro_command,
    repro_environment,
    tracks_manifests_alone,
)
from sidmint.execution.shards import part_name
from small_graph import make_small_graph, run_dvc

TABLE = "build/ingest/table"
WRITE = f"mkdir -p {TABLE} && cat data/raw/a.txt | tee {TABLE}/parts.json > {TABLE}/{part_name(0)}"


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    root = make_small_graph(tmp_path / "workspace", ["x"], ingest=WRITE)
    (root / ".dvcignore").write_text(f"{PARTS_PATTERN}\n")
    return root


def ingest(root: Path, text: str) -> bytes | None:
    """What lies in the part after `text` came in; None where there is none."""
    (root / "data" / "raw" / "a.txt").write_text(text)
    run_dvc(root, "add", "-q", "data/raw")
    subprocess.run(repro_command("ingest", root), cwd=root, env=repro_environment(), check=True)
    part = root / TABLE / part_name(0)
    return part.read_bytes() if part.exists() else None


def test_a_part_is_made_anew_where_a_cache_of_runs_could_not_give_it_back(graph: Path) -> None:
    assert [ingest(graph, text) for text in ("a\n", "b\n", "a\n")] == [b"a\n", b"b\n", b"a\n"]
    (output,) = yaml.safe_load((graph / "dvc.lock").read_text())["stages"]["ingest"]["outs"]
    assert output["nfiles"] == 1


def test_without_the_line_dvc_keeps_parts_as_everything_else(graph: Path) -> None:
    (graph / ".dvcignore").write_text("__pycache__\n")
    assert not tracks_manifests_alone(graph)
    assert "--no-run-cache" not in repro_command("ingest", graph)
    assert [ingest(graph, text) for text in ("a\n", "b\n", "a\n")] == [b"a\n", b"b\n", b"a\n"]
    (output,) = yaml.safe_load((graph / "dvc.lock").read_text())["stages"]["ingest"]["outs"]
    assert output["nfiles"] == 2
