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
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from sidmint.contracts import STAGES, TOKENIZER_STAGES

REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Measured:
    """One process: wall and CPU seconds, peak resident memory in MiB."""

    stage: str
    wall_s: float
    cpu_s: float
    peak_mib: float


def main() -> None:
    """Run the benchmark that the command line describes."""
    asked = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        root = _workspace(Path(folder) / "clone", asked)
        rows = [_measure(root, command) for command in _commands(asked.tokenizers.split(","))]
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
    _measure(root, command)
    path = root / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    params["train"]["tokenizers"] = asked.tokenizers.split(",")
    for name in params["train"]["tokenizers"]:
        params["tokenizers"].setdefault(name, {})["sizes"] = [
            int(size) for size in asked.sizes.split(",")
        ]
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    return root


def _commands(tokenizers: list[str]) -> list[list[str]]:
    commands: list[list[str]] = []
    for stage in STAGES:
        if stage in TOKENIZER_STAGES:
            commands += [[stage, "--tokenizer", name] for name in tokenizers]
        else:
            commands.append([stage])
    return commands


def _measure(root: Path, command: list[str]) -> Measured:
    start = time.perf_counter()
    child = os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "sidmint", "--workspace", str(root), *command],
        os.environ,
    )
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit(f"sidmint {' '.join(command)} failed")
    return Measured(
        stage=" ".join(command),
        wall_s=round(time.perf_counter() - start, 2),
        cpu_s=round(usage.ru_utime + usage.ru_stime, 2),
        peak_mib=round(usage.ru_maxrss / 1024, 1),
    )


if __name__ == "__main__":
    main()
