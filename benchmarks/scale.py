"""From ingest to publish at 1, 3 and 10 million items: seconds and memory of every stage.

    python benchmarks/scale.py [--items 1000000 3000000 10000000] [--engine local|ray]
                               [--scratch FOLDER] [--shard-rows 250000] [--workers 2]

Each size is a workspace of its own on a catalogue of `scale_world`, `rq_kmeans` 3 x 1,024 on
128 dimensions, fitted on a draw of 262,144 items; 1,000 cases are searched among all items, and
no recommender is trained. Each stage is a process of its own; when it has ended it is a line of
docs/results/scale_chain.jsonl. A run that was ended goes on with the stage that is missing; its
workspace lies under --scratch until all of its stages are measured. 10 million items want about
40 GB there.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from row_files import put_rows, read_lines
from scale_world import write_world
from stage_processes import measure

from chain import commands

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results" / "scale_chain.jsonl"
TOKENIZER = "rq_kmeans"


def main() -> None:
    """Measure what is missing in docs/results/scale_chain.jsonl."""
    asked = _arguments()
    for num_items in asked.items:
        root = asked.scratch / f"scale-{asked.engine}-{num_items}"
        todo = [*commands([TOKENIZER]), ["publish", "--tokenizer", TOKENIZER], ["verify"]]
        todo.append(["lookup", "0000000000"])
        done = {_place(row) for row in read_lines(RESULTS)}
        places = [(asked.engine, num_items, asked.shard_rows, " ".join(each)) for each in todo]
        if done.issuperset(places):
            continue
        is_there = (root / "params.yaml").exists()
        if not is_there:
            make_workspace(root, num_items, asked.engine, asked.workers, asked.shard_rows)
        for command, place in zip(todo, places, strict=True):
            if is_there and place in done:
                continue
            before, measured = kept_bytes(root), measure(root, command)
            row = {
                "engine": asked.engine,
                "num_items": num_items,
                "shard_rows": asked.shard_rows,
                "workers": asked.workers,
                "kept_bytes": kept_bytes(root) - before,
                **asdict(measured),
            }
            put_rows(RESULTS, [row], _place)
            print(
                f"{num_items:>11,} {row['stage']:32s} {row['wall_s']:8.1f} s {row['cpu_s']:8.1f} s "
                f"CPU, peak {row['peak_without_mapped_files_mib']:6.0f} MiB "
                f"({row['peak_mib']:.0f} with files)",
                flush=True,
            )
        shutil.rmtree(root, ignore_errors=True)


def make_workspace(
    root: Path,
    num_items: int,
    engine: str,
    workers: int,
    shard_rows: int,
    num_dimensions: int = 128,
    size: int = 1024,
) -> None:
    """A workspace at `root` on a catalogue of `scale_world`; params.yaml is written last."""
    shutil.rmtree(root, ignore_errors=True)
    write_world(root / "world", num_items, num_dimensions, min(shard_rows, num_items))
    measure(root.parent, ["new", str(root / "new")])
    for path in (root / "new").iterdir():
        path.rename(root / path.name)
    raw = root / "data" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for path in (root / "world").iterdir():
        path.rename(raw / path.name)
    params = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    params["ingest"] = {
        "source": "table",
        "items": "data/raw/items",
        "interactions": "data/raw/interactions",
    }
    params["embed"] = {"encoder": "precomputed", "path": "data/raw/vectors"}
    params["train"] |= {"tokenizers": [TOKENIZER], "fit_on": "all", "fit_rows": 256 * size}
    params["tokenizers"] = {TOKENIZER: {"sizes": [size] * 3}}
    params["diagnose"] |= {"noise": [1.0]}
    params["evaluate"] |= {"most_cases": 1000}
    params["recommend"] = None
    params["gate"]["rules"] = {
        name: rule
        for name, rule in params["gate"]["rules"].items()
        if rule["severity"] == "critical" and name in ("num_null_ids", "resolved_collision_rate")
    }
    params["execution"] = {"engine": engine, "workers": workers, "shard_rows": shard_rows}
    text = yaml.safe_dump(params, sort_keys=False)
    (root / "params.yaml").write_text(text, encoding="utf-8")


def kept_bytes(root: Path) -> int:
    """Of files that the stages and the registry of the workspace keep."""
    folders = (root / "data" / "build", root / "registry")
    files = (path for folder in folders for path in folder.rglob("*"))
    return sum(path.stat().st_size for path in files if path.is_file())


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["engine"], row["num_items"], row["shard_rows"], row["stage"]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sizes = [1_000_000, 3_000_000, 10_000_000]
    parser.add_argument("--items", type=int, nargs="+", default=sizes)
    parser.add_argument("--engine", choices=("local", "ray"), default="local")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--shard-rows", type=int, default=250_000)
    parser.add_argument("--scratch", type=Path, default=Path("scale-scratch"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
