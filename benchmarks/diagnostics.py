"""Diagnostics: seconds and memory, and semantic-id's `evaluate` beside them in the same run.

    python benchmarks/diagnostics.py [--quick] [--rounds N] [--large] [--json FILE]

Codes and codewords are made up, and so are the vectors (see `peers.vectors`). --large adds
50,000,000 rows of codes and a codebook of 65,536 codewords (minutes).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import statistics
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import peers
import torch
from peers import OURS, Timing
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_info

from sidmint.diagnostics import (
    count_codes,
    latent_variance,
    overlap,
    reconstruction,
    robustness_sweep,
)
from sidmint.quantization.residual import residual_codes
from sidmint.types import Codebooks, Floats, Ints

KAPPAS = (0.1, 0.25, 0.5, 1.0, 2.0)
REPEATS = 50
"""Of what takes about a millisecond, in one timing."""

Rows = dict[str, dict[str, float]]


def main() -> None:
    """Run the benchmark that the command line describes."""
    asked = _arguments()
    torch.set_num_threads(1)  # only makes the vectors and walks; overlap has BLAS's threads
    rows: Rows = {}
    for sizes in ((256,) * 4, (4096,) * 4):
        rows |= _alone(f"counts of {asked.items:,} x 4 codes of {sizes[0]}", asked, _counts(sizes))
    for size, width in ((asked.codes, 256), (asked.codes, 32)):
        name = f"overlap of {size:,} x {width}, 5 kappas"
        rows |= _alone(name, asked, lambda _, s=size, w=width: _overlap(s, w))
    rows |= _alone(f"robustness of {asked.peer_items:,} items, 5 kappas", asked, _robustness)
    if asked.large:
        rows |= _large()
    print(f"BLAS threads: {_blas_threads()}")
    rows |= _beside_semantic_id(asked)
    if asked.json:
        asked.json.write_text(json.dumps({"asked": vars(asked), **rows}, indent=2, default=str))


def _alone(
    name: str, asked: argparse.Namespace, make: Callable[[argparse.Namespace], Callable[[], Any]]
) -> Rows:
    """Seconds of ours over rounds: least, median, most."""
    work = make(asked)
    work()  # libraries load what they load
    runs = [peers.timed(work) for _ in range(asked.rounds)]
    walls, cpus = ([getattr(run, kind) for run in runs] for kind in ("wall_s", "cpu_s"))
    print(f"{name}: {_spread(walls)} s, {_spread(cpus)} CPU s (min median max)", flush=True)
    return {name: {"wall_s": statistics.median(walls), "cpu_s": statistics.median(cpus)}}


def _counts(sizes: Sequence[int]) -> Callable[[argparse.Namespace], Callable[[], Any]]:
    def make(asked: argparse.Namespace) -> Callable[[], Any]:
        rng = np.random.default_rng(0)
        codes = rng.integers(0, sizes, (asked.items, len(sizes)), dtype=np.int32)
        return lambda: count_codes(codes, sizes)

    return make


def _overlap(size: int, width: int) -> Callable[[], Any]:
    rng = np.random.default_rng(0)
    codewords = rng.standard_normal((size, width), dtype=np.float32)
    prior = rng.dirichlet(np.ones(size))
    # Latents of the same spread around each codeword: twice its variance.
    sigmas = [math.sqrt(kappa * 2) for kappa in KAPPAS]
    return lambda: overlap(codewords, prior, sigmas)


def _robustness(asked: argparse.Namespace) -> Callable[[], Any]:
    vectors, books, _ = _table(asked.peer_items, 384, (256,) * 3)
    tables = [torch.from_numpy(level) for level in books.levels]
    sigmas = [math.sqrt(kappa * latent_variance(vectors)) for kappa in KAPPAS]

    def encode(latent: Floats) -> Ints:
        return np.asarray(residual_codes(torch.from_numpy(latent), tables).int().numpy())

    return lambda: robustness_sweep(encode, vectors, sigmas, np.random.default_rng(0))


def _large() -> Rows:
    """Once each, with the most memory that numpy held beyond the input."""
    num_items = 50_000_000
    rng = np.random.default_rng(0)
    codes = np.empty((num_items, 4), dtype=np.int16)
    for piece in np.array_split(codes, 50):
        piece[:] = rng.integers(0, 4096, piece.shape, dtype=np.int16)
    rows: Rows = {}
    for name, work in (
        ("counts of 50,000,000 x 4 codes of 4096", lambda: count_codes(codes, (4096,) * 4)),
        ("overlap of 65,536 x 64, 5 kappas", _overlap(65_536, 64)),
    ):
        timing, peak = _with_peak(work)
        mib = peak / 2**20
        spent = f"{timing.wall_s:.1f} s, {timing.cpu_s:.1f} CPU s"
        print(f"{name}: {spent}, {mib:.0f} MiB beyond the input", flush=True)
        rows[name] = {"wall_s": timing.wall_s, "cpu_s": timing.cpu_s, "peak_mib": mib}
    return rows


def _with_peak(work: Callable[[], Any]) -> tuple[Timing, int]:
    tracemalloc.start()
    try:
        return peers.timed(work), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _beside_semantic_id(asked: argparse.Namespace) -> Rows:
    """Ours, the functions of semantic-id for the same figures, and its `evaluate` as called.

    `evaluate` also gives recall, NDCG and a rank correlation, which take nearly all of its time and
    have no counterpart here; there is no way to ask it for the rest alone.
    """
    if importlib.util.find_spec("semantic_id") is None:
        print("semantic-id: skipped, it is not installed (pip install semantic-id)")
        return {}
    sizes = (256,) * 3
    vectors, books, codes = _table(asked.peer_items, 768, sizes)
    encoder = _Described(books, list(sizes))
    contestants: dict[str, Callable[[], Timing]] = {
        f"{OURS}, counts": _repeated(lambda: _our_counts(codes, sizes)),
        "semantic-id, its parts of that": _repeated(lambda: _their_counts(codes, sizes)),
        f"{OURS}, counts and MSE": lambda: peers.timed(
            lambda: _our_counts(codes, sizes) | _our_error(vectors, books, codes)
        ),
        "semantic-id, evaluate": lambda: peers.timed(lambda: _evaluate(vectors, codes, encoder)),
    }
    timings = peers.in_turn(contestants, asked.peer_rounds)
    ours, theirs, ours_all, theirs_all = (runs for runs in timings.values())
    _check_equal(ours[-1].result, theirs[-1].result)
    _check_equal(ours_all[-1].result, theirs_all[-1].result)
    title = f"the same figures of {asked.peer_items:,} x 768, codes 3 x 256, ms of wall clock"
    return _report(title, timings, [(theirs, ours), (theirs_all, ours_all)])


class _Described:
    """What `evaluate` wants to know of an encoder: sizes, and how codes become vectors."""

    def __init__(self, books: Codebooks, sizes: list[int]) -> None:
        self.books, self.n_clusters = books, sizes

    def decode(self, codes: Ints) -> Floats:
        return self.books.decode(codes)


def _table(num_items: int, width: int, sizes: Sequence[int]) -> tuple[Floats, Codebooks, Ints]:
    """Vectors, codebooks that are residuals of some of them, and the codes that they get."""
    rows = peers.vectors(num_items, width)
    left, levels = rows.clone(), []
    for level, size in enumerate(sizes):
        levels.append(left[level * size :][:size].clone())  # others: of the same, nothing is left
        left -= levels[-1][residual_codes(left, levels[-1:])[:, 0]]
    codes = np.asarray(residual_codes(rows, levels).int().numpy())
    return rows.numpy(), Codebooks(tuple(level.numpy() for level in levels)), codes


def _our_counts(codes: Ints, sizes: Sequence[int]) -> dict[str, Any]:
    counted = count_codes(codes, sizes)
    return {
        "n_unique_codes": counted.collisions.num_distinct,
        "collision_rate": counted.collisions.collision_rate,
        "collision_rate_per_level": [
            1 - prefixes / len(codes) for prefixes in counted.branching.num_prefixes
        ],
        "code_utilization_per_level": [used.num_active / used.size for used in counted.usage],
        "code_entropy_per_level": [math.log(used.perplexity) for used in counted.usage],
    }


def _our_error(vectors: Floats, books: Codebooks, codes: Ints) -> dict[str, Any]:
    return {"quantization_mse": reconstruction(vectors, books.decode(codes)).mse}


def _their_counts(codes: Ints, sizes: Sequence[int]) -> dict[str, Any]:
    from semantic_id.utils import metrics

    rates = metrics.collision_rate_per_level(codes)
    # The first lines of its `evaluate`, which are no function of their own.
    whole = np.ascontiguousarray(codes).view(np.dtype((np.void, 4 * codes.shape[1])))
    num_distinct = len(np.unique(whole, return_counts=True)[1])
    return {
        "n_unique_codes": num_distinct,
        "collision_rate": 1 - num_distinct / len(codes),
        "collision_rate_per_level": rates,
        "code_utilization_per_level": metrics.code_utilization_per_level(codes, list(sizes)),
        "code_entropy_per_level": metrics.code_entropy_per_level(codes),
    }


def _evaluate(vectors: Floats, codes: Ints, encoder: _Described) -> Any:
    from semantic_id.utils.metrics import evaluate

    return evaluate(vectors, codes, encoder)


def _repeated(work: Callable[[], Any]) -> Callable[[], Timing]:
    """One timing of `REPEATS` calls, by the call."""

    def run() -> Timing:
        timing = peers.timed(lambda: [work() for _ in range(REPEATS)])
        return Timing(timing.wall_s / REPEATS, timing.cpu_s / REPEATS, timing.result[-1])

    return run


def _check_equal(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Stop unless the figures agree; its entropies add 1e-12 to every share."""
    for name, value in ours.items():
        if not np.allclose(value, theirs[name], rtol=1e-5, atol=1e-9):
            raise SystemExit(f"{name}: {value} is not {theirs[name]}")


def _report(
    title: str,
    timings: dict[str, list[Timing]],
    versus: Sequence[tuple[list[Timing], list[Timing]]],
) -> Rows:
    """Print and give back milliseconds and, within each round, how many times ours it took."""
    table = Table(title=title)
    for column in ("min median max", "ms", "times ours"):
        table.add_column(column, justify="left" if column == "min median max" else "right")
    rows: Rows = {}
    for name, runs in timings.items():
        beside = next((ours for theirs, ours in versus if theirs is runs), runs)
        ratios = [run.wall_s / own.wall_s for run, own in zip(runs, beside, strict=True)]
        walls = [1000 * run.wall_s for run in runs]
        table.add_row(name, _spread(walls), _spread(ratios))
        rows[name] = {
            "wall_s": statistics.median(walls) / 1000,
            "ratio": statistics.median(ratios),
            "ratio_min": min(ratios),
            "ratio_max": max(ratios),
        }
    Console().print(table)
    return rows


def _spread(values: Sequence[float]) -> str:
    shown = (min(values), statistics.median(values), max(values))
    return "  ".join(f"{value:.3g}" if value < 1000 else f"{value:,.0f}" for value in shown)


def _blas_threads() -> int:
    return max(each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--codes", type=int, default=4096)
    parser.add_argument("--peer-items", type=int, default=12_101, help="as many as Beauty has")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer-rounds", type=int, default=3, help="a round is a minute and more")
    parser.add_argument("--large", action="store_true", help="50,000,000 rows, 65,536 codewords")
    parser.add_argument("--quick", action="store_true", help="small sizes, one round")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if asked.quick:
        asked.items, asked.codes, asked.peer_items = 100_000, 1024, 1500
        asked.rounds = asked.peer_rounds = 1
    return asked


if __name__ == "__main__":
    main()
