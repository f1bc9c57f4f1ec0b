"""What the benchmarks share: data, faiss in a process of its own, timing in turn.

faiss runs in a separate process, so that its OpenMP threads and torch's never spin against
each other. Its wheel brings an OpenBLAS that does not know every processor and then falls back
to the kernel for one of 2004. So it is timed twice: as installed, and with the kernel that
numpy's newer OpenBLAS chooses here (`OPENBLAS_CORETYPE`), where the two differ.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_info

OURS = "sidmint"


@dataclass(frozen=True)
class Timing:
    """One run: wall and processor seconds, and what it came to."""

    wall_s: float
    cpu_s: float
    result: Any = None


def timed(work: Callable[[], Any]) -> Timing:
    """Run once and time it."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return Timing(time.perf_counter() - wall, time.process_time() - cpu, result)


def in_turn(
    contestants: dict[str, Callable[[], Timing]], repetitions: int
) -> dict[str, list[Timing]]:
    """Every contestant once, then every one again: what disturbs one disturbs them all.

    Each run is printed as it ends, since one can take minutes and the rest may be cut off.
    """
    timings: dict[str, list[Timing]] = {name: [] for name in contestants}
    for repetition in range(1, repetitions + 1):
        for name, run in contestants.items():
            timing = run()
            timings[name].append(timing)
            print(
                f"[{repetition}/{repetitions}] {name}: {timing.wall_s:.2f} s wall, "
                f"{timing.cpu_s:.2f} s CPU",
                flush=True,
            )
    return timings


def report(title: str, timings: dict[str, list[Timing]]) -> dict[str, dict[str, float]]:
    """Print seconds and ratios to ours, min / median / max over repetitions; give them back.

    A ratio is formed within a repetition. Processor seconds are steadier than wall seconds
    where other work runs on the machine.
    """
    table = Table(title=title)
    for column in ("", "wall s", "CPU s", "wall / ours", "CPU / ours (min median max)"):
        table.add_column(column, justify="left" if not column else "right")
    rows: dict[str, dict[str, float]] = {}
    for name, runs in timings.items():
        pairs = list(zip(runs, timings[OURS], strict=True))
        walls = sorted(run.wall_s / ours.wall_s for run, ours in pairs)
        cpus = sorted(run.cpu_s / ours.cpu_s for run, ours in pairs)
        row = {
            "wall_s": statistics.median(run.wall_s for run in runs),
            "cpu_s": statistics.median(run.cpu_s for run in runs),
        }
        for kind, ratios in (("wall", walls), ("cpu", cpus)):
            row |= {f"{kind}_ratio_min": ratios[0], f"{kind}_ratio_max": ratios[-1]}
            row[f"{kind}_ratio"] = statistics.median(ratios)
        spreads = [
            f"{row[f'{kind}_ratio_min']:.2f}  {row[f'{kind}_ratio']:.2f}  "
            f"{row[f'{kind}_ratio_max']:.2f}"
            for kind in ("wall", "cpu")
        ]
        table.add_row(name, f"{row['wall_s']:.2f}", f"{row['cpu_s']:.2f}", *spreads)
        rows[name] = row
    Console().print(table)
    return rows


def vectors(num_items: int, size: int, seed: int = 0, num_topics: int = 2000) -> torch.Tensor:
    """Rows (N, D) like text embeddings: topics on a decaying spectrum, of norm 1. Synthetic."""
    generator = torch.Generator().manual_seed(seed)
    spectrum_D = torch.arange(1, size + 1).pow(-0.5)
    topics_TD = torch.randn(num_topics, size, generator=generator) * spectrum_D
    topics_TD += 0.3 * torch.randn(size, generator=generator) * spectrum_D
    rotation_DD, _ = torch.linalg.qr(torch.randn(size, size, generator=generator))
    rows_ND = torch.empty(num_items, size)
    for rows_BD in torch.split(rows_ND, 1 << 16):
        topics_B = torch.randint(num_topics, (len(rows_BD),), generator=generator)
        noise_BD = torch.randn(len(rows_BD), size, generator=generator) * spectrum_D
        mixed_BD = (topics_TD[topics_B] + 0.7 * noise_BD) @ rotation_DD
        rows_BD.copy_(torch.nn.functional.normalize(mixed_BD, dim=1))
    return rows_ND


class Faiss:
    """faiss in its own process, with as many threads and the kernel it is told."""

    def __init__(self, threads: int, kernel: str | None = None) -> None:
        self.process = ProcessPoolExecutor(1, get_context("spawn"), _set_up, (threads, kernel))

    def __call__(self, task: Callable[..., Timing], *arguments: Any) -> Timing:
        """Run a task of this module over there."""
        return self.process.submit(task, *arguments).result()


def faiss_peers(threads: int) -> dict[str, Faiss]:
    """Faiss as installed and, where that differs, with a kernel that fits the processor."""
    if importlib.util.find_spec("faiss") is None:
        Console().print("faiss: skipped, faiss-cpu is not installed")
        return {}
    installed = Faiss(threads)
    kernel = installed.process.submit(_blas_kernel, "faiss").result()
    fitting = _blas_kernel("numpy")
    peers = {f"faiss as installed (BLAS kernel {kernel})": installed}
    if fitting not in {kernel, "unknown"}:
        peers[f"faiss with BLAS kernel {fitting}"] = Faiss(threads, fitting)
    return peers


def faiss_kmeans(path: Path, sizes: Sequence[int], iterations: int, seed: int) -> Timing:
    """Residual k-means by faiss.Kmeans on all points; the result is the inertia of each level."""
    import faiss

    residual_ND = np.load(path)

    def fit() -> list[float]:
        left_ND, inertia = residual_ND, []
        for num_codes in sizes:
            kmeans = faiss.Kmeans(
                left_ND.shape[1],
                num_codes,
                niter=iterations,
                seed=seed,
                min_points_per_centroid=1,
                max_points_per_centroid=len(left_ND),
            )
            kmeans.train(left_ND)
            _, codes_N1 = kmeans.index.search(left_ND, 1)
            left_ND = left_ND - kmeans.centroids[codes_N1[:, 0]]
            inertia.append(float(np.square(left_ND, dtype=np.float64).sum()))
        return inertia

    return timed(fit)


def faiss_assign(path: Path, codebooks: Sequence[np.ndarray]) -> Timing:
    """The residual walk by one IndexFlatL2 a level; the result is the codes (N, L)."""
    import faiss

    residual_ND = np.load(path)

    def walk() -> np.ndarray:
        left_ND, codes = residual_ND, []
        for codebook_KD in codebooks:
            index = faiss.IndexFlatL2(codebook_KD.shape[1])
            index.add(codebook_KD)
            codes.append(index.search(left_ND, 1)[1][:, 0])
            left_ND = left_ND - codebook_KD[codes[-1]]
        return np.stack(codes, axis=1)

    return timed(walk)


def _set_up(threads: int, kernel: str | None) -> None:
    if kernel is not None:
        os.environ["OPENBLAS_CORETYPE"] = kernel
    import faiss

    faiss.omp_set_num_threads(threads)


def _blas_kernel(library: str) -> str:
    """The processor that a library's OpenBLAS takes this one for."""
    for info in threadpool_info():
        if info.get("internal_api") == "openblas" and library in info["filepath"]:
            return str(info["architecture"])
    return "unknown"
