"""Assigning codes beside faiss IndexFlatL2: one index a level, equal threads, exact both.

    python benchmarks/assignment.py [--quick] [--items N] [--codes K] [--levels L] [--json FILE]
    python benchmarks/assignment.py --memory     (peak memory of ours, from a float16 file; Linux)
    python benchmarks/assignment.py --growth        (the exponent of time over the number of items)

Codewords are means of a few Lloyd iterations on a part of the vectors; these are a synthetic
mixture shaped like text embeddings unless --vectors names a file.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import peers
import torch
from peers import OURS, Timing

from sidmint.quantization.assignment import nearest
from sidmint.quantization.kmeans import cluster_means
from sidmint.quantization.residual import residual_codes


def main() -> None:
    """Run the benchmark that the command line describes."""
    asked = _arguments()
    torch.set_num_threads(asked.threads)
    if asked.memory:
        result = memory(asked)
    else:
        if asked.vectors:
            rows = np.load(asked.vectors)[: asked.items].astype(np.float32)
            vectors_ND = torch.from_numpy(rows)
        else:
            vectors_ND = peers.vectors(asked.items, asked.size)
        tables = codebooks(vectors_ND, asked.codes, asked.levels)
        result = (growth if asked.growth else compare)(asked, vectors_ND, tables)
    if asked.json:
        asked.json.write_text(json.dumps({"asked": vars(asked), **result}, indent=2, default=str))


def codebooks(vectors_ND: torch.Tensor, num_codes: int, num_levels: int) -> list[torch.Tensor]:
    """Codewords (K, D) a level: two Lloyd iterations on at most 8 K vectors."""
    left_ND, tables = vectors_ND[: 8 * num_codes], []
    for _ in range(num_levels):
        table_KD = left_ND[:num_codes].clone()
        for _ in range(2):
            table_KD = cluster_means(left_ND, nearest(left_ND, table_KD), table_KD)
        left_ND = left_ND - table_KD[nearest(left_ND, table_KD)]
        tables.append(table_KD)
    return tables


def compare(
    asked: argparse.Namespace, vectors_ND: torch.Tensor, tables: list[torch.Tensor]
) -> dict[str, object]:
    """Time of ours and of faiss on the same vectors, and in how many codes they differ."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.npy"
        np.save(path, vectors_ND.numpy())
        contestants: dict[str, Callable[[], Timing]] = {
            OURS: lambda: peers.timed(lambda: residual_codes(vectors_ND, tables).numpy())
        }
        arrays = [table.numpy() for table in tables]
        for name, faiss in peers.faiss_peers(asked.threads).items():
            contestants[name] = lambda faiss=faiss: faiss(peers.faiss_assign, path, arrays)
        timings = peers.in_turn(contestants, asked.repetitions)
    title = f"assign {tuple(vectors_ND.shape)} to {asked.levels} x {asked.codes}"
    rows: dict[str, object] = dict(peers.report(f"{title}, {asked.threads} threads", timings))
    for name, runs in timings.items():
        same = (runs[-1].result == timings[OURS][-1].result).all(axis=1).mean()
        print(f"{name}: the same codes for {100 * same:.4f} % of the items (float32 ties differ)")
    return {"timings": rows}


def growth(
    asked: argparse.Namespace, vectors_ND: torch.Tensor, tables: list[torch.Tensor]
) -> dict[str, object]:
    """The exponent b of time ~ N^b over four sizes, by least squares on logarithms."""
    items = [asked.items // 8, asked.items // 4, asked.items // 2, asked.items]
    runs = [peers.timed(lambda n=n: residual_codes(vectors_ND[:n], tables)) for n in items]
    seconds = [run.cpu_s for run in runs]
    exponent = float(np.polyfit(np.log(items), np.log(seconds), 1)[0])
    for count, spent in zip(items, seconds, strict=True):
        print(f"{count:9d} items  {spent:8.2f} CPU s")
    print(f"assign: CPU seconds grow as N^{exponent:.3f}")
    return {"items": items, "cpu_s": seconds, "exponent": exponent}


def memory(asked: argparse.Namespace) -> dict[str, object]:
    """Peak memory that the walk adds to the process, over vectors that lie in a float16 file."""
    tables = codebooks(peers.vectors(8 * asked.codes, asked.size), asked.codes, asked.levels)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.npy"
        shape = (asked.items, asked.size)
        mapped = np.lib.format.open_memmap(path, "w+", np.float16, shape)
        for start in range(0, asked.items, 1 << 16):
            count = min(1 << 16, asked.items - start)
            mapped[start : start + count] = peers.vectors(count, asked.size, seed=start).numpy()
        mapped.flush()
        del mapped
        arrays = [table.numpy() for table in tables]
        with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
            timing, added = fresh.submit(_walk_from_file, path, arrays, asked.threads).result()
    file_mib = 2 * asked.items * asked.size / 2**20
    print(f"{shape} float16 in a file of {file_mib:.0f} MiB: {timing.cpu_s:.1f} CPU s, ", end="")
    print(f"peak memory grew by {added:.0f} MiB (pages of the file included)")
    return {"peak_added_mib": added, "cpu_s": timing.cpu_s, "file_mib": file_mib}


def _walk_from_file(
    path: Path, arrays: list[np.ndarray], threads: int
) -> tuple[peers.Timing, float]:
    """Time and added peak memory of a walk, in a process that has done nothing else."""
    torch.set_num_threads(threads)
    tables = [torch.from_numpy(array) for array in arrays]
    nearest(tables[0][:1], tables[0])  # libraries load what they load
    before = _peak_mib()
    timing = peers.timed(lambda: len(residual_codes(np.load(path, mmap_mode="r"), tables)))
    return timing, _peak_mib() - before


def _peak_mib() -> float:
    """The peak of this process alone; `ru_maxrss` would count that of the one it came from."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--size", type=int, default=384, help="D, where vectors are made up")
    parser.add_argument("--codes", type=int, default=4096)
    parser.add_argument("--levels", type=int, default=3)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--vectors", type=Path, help="an .npy file (N, D) to use instead")
    parser.add_argument("--memory", action="store_true", help="ours alone, from a float16 file")
    parser.add_argument("--growth", action="store_true", help="ours alone, at four sizes up to N")
    parser.add_argument("--quick", action="store_true", help="20,000 items")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if asked.quick:
        asked.items = 20_000
    return asked


if __name__ == "__main__":
    main()
