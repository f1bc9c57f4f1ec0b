"""Tables in parts that DVC knows by their manifest: nothing is hashed or kept twice."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import yaml

from sidmint.adapters.dvc_repo import (
    PARTS_PATTERN,
    lacks_parts,
    repro_command,
    repro_environment,
    tracks_manifests_alone,
)
from sidmint.execution.shards import part_name
from small_graph import make_small_graph, run_dvc

pytestmark = pytest.mark.slow  # each case calls DVC six times

TABLE = "data/build/ingest/table"
WRITE_TABLE = f"""
from pathlib import Path
import polars as pl
from sidmint.execution.splitting import split
text = Path("data/raw/a.txt").read_text()
split(pl.DataFrame({{"key": ["x"], "text": [text]}}), Path("{TABLE}"), "key", text, 1)
"""


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    command = f"{sys.executable} write_table.py"
    root = make_small_graph(tmp_path / "workspace", ["x"], ingest=command)
    (root / "write_table.py").write_text(WRITE_TABLE)
    graph = (root / "dvc.yaml").read_text().replace("- build/ingest", "- data/build/ingest")
    (root / "dvc.yaml").write_text(graph)
    (root / ".dvcignore").write_text(f"{PARTS_PATTERN}\n")
    return root


def ingest(root: Path, text: str) -> str | None:
    """What lies in the part after `text` came in; None where there is none."""
    (root / "data" / "raw" / "a.txt").write_text(text)
    run_dvc(root, "add", "-q", "data/raw")
    subprocess.run(repro_command("ingest", root), cwd=root, env=repro_environment(), check=True)
    part = root / TABLE / part_name(0)
    return pl.read_parquet(part)["text"].item() if part.exists() else None


def test_a_part_is_made_anew_where_a_cache_of_runs_could_not_give_it_back(graph: Path) -> None:
    assert [ingest(graph, text) for text in ("a\n", "b\n", "a\n")] == ["a\n", "b\n", "a\n"]
    (output,) = yaml.safe_load((graph / "dvc.lock").read_text())["stages"]["ingest"]["outs"]
    assert output["nfiles"] == 1


@pytest.mark.parametrize("lost", [TABLE, f"{TABLE}/{part_name(0)}"])
def test_what_dvc_cannot_give_back_is_made_anew(graph: Path, lost: str) -> None:
    assert ingest(graph, "a\n") == "a\n"
    assert not lacks_parts("ingest", graph)
    shutil.rmtree(graph / lost) if (graph / lost).is_dir() else (graph / lost).unlink()
    assert lacks_parts("ingest", graph)
    assert ingest(graph, "a\n") == "a\n"


def test_parts_of_somebody_else_stay_data(graph: Path) -> None:
    ingest(graph, "a\n")
    raw = graph / "data" / "raw" / "part-00000-c000.snappy.parquet"
    raw.write_text("theirs")
    run_dvc(graph, "add", "-q", "data/raw")
    assert yaml.safe_load((graph / "data" / "raw.dvc").read_text())["outs"][0]["nfiles"] == 2


def test_without_the_line_dvc_keeps_parts_as_everything_else(graph: Path) -> None:
    (graph / ".dvcignore").write_text(f"# not {PARTS_PATTERN}\n")
    assert not tracks_manifests_alone(graph)
    assert "--no-run-cache" not in repro_command("ingest", graph)
    assert [ingest(graph, text) for text in ("a\n", "b\n", "a\n")] == ["a\n", "b\n", "a\n"]
    (output,) = yaml.safe_load((graph / "dvc.lock").read_text())["stages"]["ingest"]["outs"]
    assert output["nfiles"] == 2
