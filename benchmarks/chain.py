"""Time and memory of every stage of the chain on one catalogue, each as its own process.

    python benchmarks/chain.py --items ITEMS --interactions EVENTS [--vectors VECTORS]
                               [--tokenizers rq_kmeans,rq_vae] [--sizes 256,256,256]

Clones the committed repository into a temporary folder, runs `sidmint init` on the files,
then the stages one after another, and prints wall seconds, CPU seconds and peak memory of each.
The figures are of this machine and this moment; compare runs, not numbers in a text.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from dataclasses import asdict
from pathlib import Path

import yaml
from stage_processes import measure

from sidmint.contracts import STAGES, TOKENIZER_STAGES

REPOSITORY = Path(__file__).resolve().parents[1]


def main() -> None:
    """Run the benchmark that the command line describes."""
    asked = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        root = _workspace(Path(folder) / "clone", asked)
        rows = [measure(root, command) for command in commands(asked.tokenizers.split(","))]
    for row in rows:
        print(
            f"{row.stage:24s} {row.wall_s:8.1f} s  {row.cpu_s:8.1f} s CPU {row.peak_mib:8.0f} MiB"
        )
    total, peak = sum(row.wall_s for row in rows), max(row.peak_mib for row in rows)
    print(f"{'all, one after another':24s} {total:8.1f} s  {'':14s} {peak:8.0f} MiB")
    results = REPOSITORY / "benchmarks" / "results"
    results.mkdir(exist_ok=True)
    (results / "chain.json").write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", required=True)
    parser.add_argument("--interactions", required=True)
    parser.add_argument("--vectors")
    parser.add_argument("--tokenizers", default="rq_kmeans")
    parser.add_argument("--sizes", default="256,256,256")
    return parser.parse_args()


def _workspace(root: Path, asked: argparse.Namespace) -> Path:
    subprocess.run(["git", "clone", "-q", str(REPOSITORY), str(root)], check=True)
    command = ["init", "--items", asked.items, "--interactions", asked.interactions]
    command += ["--vectors", asked.vectors] if asked.vectors else []
    measure(root, command)
    path = root / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    params["train"]["tokenizers"] = asked.tokenizers.split(",")
    for name in params["train"]["tokenizers"]:
        params["tokenizers"].setdefault(name, {})["sizes"] = [
            int(size) for size in asked.sizes.split(",")
        ]
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    return root


def commands(tokenizers: list[str]) -> list[list[str]]:
    """Every stage of the chain, one after another."""
    commands: list[list[str]] = []
    for stage in STAGES:
        if stage in TOKENIZER_STAGES:
            commands += [[stage, "--tokenizer", name] for name in tokenizers]
        else:
            commands.append([stage])
    return commands


if __name__ == "__main__":
    main()
