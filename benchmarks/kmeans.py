"""Residual k-means beside faiss.Kmeans: equal points, codes, iterations and threads.

    python benchmarks/kmeans.py [--quick] [--items N] [--sizes 4096,4096,4096] [--json FILE]
    python benchmarks/kmeans.py --growth            (the exponent of time over the number of items)
    python benchmarks/kmeans.py --growth --balance 1.5      (the same, and what bounded codes cost)

Our start (k-means|| or k-means++) is in our time, the final assignment in both. Vectors are a
synthetic mixture shaped like text embeddings unless --vectors names a file.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import peers
import torch
from peers import OURS, Timing

from sidmint.quantization.kmeans import residual_kmeans


def main() -> None:
    """Run the benchmark that the command line describes."""
    asked = _arguments()
    torch.set_num_threads(asked.threads)
    sizes = [int(size) for size in asked.sizes.split(",")]
    result = growth(asked, sizes) if asked.growth else compare(asked, sizes)
    if asked.json:
        asked.json.write_text(json.dumps({"asked": vars(asked), **result}, indent=2, default=str))


def compare(asked: argparse.Namespace, sizes: list[int]) -> dict[str, object]:
    """Time and inertia of ours and of faiss on the same vectors."""
    if asked.vectors:
        vectors_ND = torch.from_numpy(np.load(asked.vectors)[: asked.items].astype(np.float32))
    else:
        vectors_ND = peers.vectors(asked.items, asked.size)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.npy"
        np.save(path, vectors_ND.numpy())
        contestants: dict[str, Callable[[], Timing]] = {
            OURS: lambda: _ours(vectors_ND, sizes, asked.iterations)
        }
        for name, faiss in peers.faiss_peers(asked.threads).items():
            contestants[name] = lambda faiss=faiss: faiss(
                peers.faiss_kmeans, path, sizes, asked.iterations, 1
            )
        timings = peers.in_turn(contestants, asked.repetitions)
    title = f"residual k-means, {tuple(vectors_ND.shape)}, {sizes}, {asked.iterations} iterations"
    rows: dict[str, object] = dict(peers.report(f"{title}, {asked.threads} threads", timings))
    inertia = {name: runs[-1].result for name, runs in timings.items()}
    for name, levels in inertia.items():
        excess = [
            100 * (ours / theirs - 1) for ours, theirs in zip(inertia[OURS], levels, strict=True)
        ]
        print(f"{name}: inertia by level {[round(level, 2) for level in levels]}", end="; ")
        print(f"ours differs by {[round(level, 2) for level in excess]} %")
    return {"timings": rows, "inertia": inertia}


def growth(asked: argparse.Namespace, sizes: list[int]) -> dict[str, object]:
    """The exponent b of time ~ N^b over four sizes, by least squares on logarithms."""
    items = [asked.items // 8, asked.items // 4, asked.items // 2, asked.items]
    vectors_ND = peers.vectors(items[-1], asked.size)
    bounds = [None] if asked.balance is None else [None, asked.balance]
    grown: dict[str, object] = {"items": items}
    for balance in bounds:
        seconds = []
        for count in items:
            timing = _ours(vectors_ND[:count], sizes, asked.iterations, balance)
            seconds.append(timing.cpu_s)
            print(f"{count:9d} items  balance {balance}  {timing.cpu_s:8.2f} CPU s", flush=True)
        exponent = float(np.polyfit(np.log(items), np.log(seconds), 1)[0])
        print(f"fit: CPU seconds grow as N^{exponent:.3f}, balance {balance}")
        grown[f"balance {balance}"] = {"cpu_s": seconds, "exponent": exponent}
    return grown


def _ours(
    vectors_ND: torch.Tensor, sizes: list[int], iterations: int, balance: float | None = None
) -> Timing:
    def fit() -> list[float]:
        levels = residual_kmeans(
            vectors_ND,
            sizes,
            torch.Generator().manual_seed(0),
            iterations,
            tolerance=0.0,
            balance=balance,
        )
        return [level.inertia[-1] for level in levels]

    return peers.timed(fit)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--size", type=int, default=384, help="D, where vectors are made up")
    parser.add_argument("--sizes", default="4096,4096,4096", help="codes of each level")
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--vectors", type=Path, help="an .npy file (N, D) to use instead")
    parser.add_argument("--growth", action="store_true", help="ours alone, at four sizes up to N")
    parser.add_argument("--balance", type=float, help="with --growth: bounded codes too")
    parser.add_argument("--quick", action="store_true", help="20,000 items, one level of 1,024")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if asked.quick:
        asked.items, asked.sizes, asked.repetitions = 20_000, "1024", 3
    return asked


if __name__ == "__main__":
    main()
