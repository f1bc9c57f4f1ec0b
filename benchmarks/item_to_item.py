"""Item-to-item search beside faiss IndexFlatIP: exact ranks of all targets, and their top 201.

    python benchmarks/item_to_item.py [--quick] [--items N] [--size D] [--cases T] [--threads N]
                                      [--beside T] [--catalogue FOLDER] [--json FILE]

Three parts: the whole evaluation of a real catalogue; the search for `--beside` targets beside
faiss, in turn; the whole evaluation of N items and T cases with its peak memory (Linux). N
vectors are a synthetic mixture shaped like text embeddings. faiss gives the best 201 of each
query and no rank beyond them; ours gives the rank and the ties of every target.
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
import polars as pl
import torch
from peers import OURS, Timing

from sidmint.catalogue import build_catalogue
from sidmint.contracts import Interactions, Items
from sidmint.evaluation import Cases, Ranks, held_out_cases, item_to_item, random_negatives
from sidmint.evaluation.cosines import CosineSearch, directions
from sidmint.evaluation.pool import Pool
from sidmint.quantization.kmeans import residual_kmeans
from sidmint.quantization.residual import residual_codes
from sidmint.types import Codebooks, Floats, Ints

TOP = 201
"""What faiss returns: the query and 200 others, the largest cutoff of DRQ 5.5."""


def main() -> None:
    """Run the benchmark that the command line describes."""
    asked = _arguments()
    torch.set_num_threads(asked.threads)
    result: dict[str, object] = {}
    if asked.catalogue.is_dir():
        result["catalogue"] = catalogue(asked)
    else:
        print(f"{asked.catalogue}: skipped, there is no such folder")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.npy"
        np.save(path, peers.vectors(asked.items, asked.size).numpy())
        result["beside"] = beside_faiss(asked, path)
        result["whole"] = whole(asked, path)
    if asked.json:
        asked.json.write_text(json.dumps({"asked": vars(asked), **result}, indent=2, default=str))


def catalogue(asked: argparse.Namespace) -> dict[str, float]:
    """The evaluation of 3 x 256 codes on a real catalogue: the last event of each user is asked."""
    items = pl.read_parquet(asked.catalogue / "items.parquet")
    interactions = pl.read_parquet(asked.catalogue / "interactions.parquet")
    vectors = np.load(asked.catalogue / "minilm_l6_v2.npy").astype(np.float32)
    built = build_catalogue(
        items, interactions, min_interactions=5, cold_share=0.05, seed=0, item_set="core"
    )
    rows = items.select(Items.ITEM_ID).with_row_index("row")
    events = built.interactions.join(rows, on=Interactions.ITEM_ID, maintain_order="left")
    cases = held_out_cases(
        users=events[Interactions.USER_ID].rank("dense").to_numpy().astype(np.int64),
        positions=events[Interactions.POSITION].to_numpy().astype(np.int64),
        items=events["row"].to_numpy().astype(np.int64),
        held_out=events[Interactions.SPLIT].is_in(["test", "cold"]).to_numpy(),
    )
    codes, codebooks = _coded(vectors, num_codes=256)
    timing = _evaluate(vectors, codes, codebooks, cases)
    print(f"{asked.catalogue.name}: {vectors.shape}, {len(cases):,} cases, {_told(timing)}")
    return {"cases": len(cases), "wall_s": timing.wall_s, "cpu_s": timing.cpu_s}


def beside_faiss(asked: argparse.Namespace, path: Path) -> dict[str, object]:
    """Ours and faiss for the same queries; and whether the targets faiss finds rank as we say."""
    vectors = np.load(path)
    cases = _cases(vectors, asked.beside)
    search = CosineSearch(Pool.of(vectors))
    contestants: dict[str, Callable[[], Timing]] = {
        OURS: lambda: peers.timed(lambda: search.rank(cases))
    }
    for name, faiss in peers.faiss_peers(asked.threads).items():
        contestants[name] = lambda faiss=faiss: faiss(faiss_search, path, cases.queries)
    timings = peers.in_turn(contestants, asked.repetitions)
    title = f"search {len(cases):,} targets in {vectors.shape}, {asked.threads} threads"
    rows: dict[str, object] = dict(peers.report(title, timings))
    ranks = timings[OURS][-1].result
    for name, runs in timings.items():
        if name != OURS:
            found, same = _agreement(runs[-1].result, ranks, cases)
            print(f"{name}: has {found:.1%} of the targets, {same:.3%} of them at our rank")
    return {"timings": rows}


def whole(asked: argparse.Namespace, path: Path) -> dict[str, float]:
    """Time and memory of `item_to_item` in a fresh process, beyond vectors and codes."""
    vectors = np.load(path)
    codes, codebooks = _coded(vectors, asked.codes)
    arguments = (path, codes, codebooks, _cases(vectors, asked.cases), asked.threads)
    with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
        timing, added = fresh.submit(_evaluate_from_file, *arguments).result()
    print(f"whole evaluation: {vectors.shape}, {asked.cases:,} cases, {_told(timing)}; ", end="")
    print(f"peak memory beyond the vectors ({vectors.nbytes / 2**30:.2f} GiB): {added:.2f} GiB")
    return {"wall_s": timing.wall_s, "cpu_s": timing.cpu_s, "peak_added_gib": added}


def faiss_search(path: Path, queries: Ints) -> Timing:
    """The best rows of each query, (T, TOP), by an exact index over the directions."""
    import faiss

    unit = directions(np.load(path))
    index = faiss.IndexFlatIP(unit.shape[1])
    index.add(unit)
    return peers.timed(lambda: index.search(unit[queries], TOP)[1])


def _evaluate_from_file(
    path: Path, codes: Ints, codebooks: Codebooks, cases: Cases, threads: int
) -> tuple[Timing, float]:
    """Time and added peak memory (GiB), in a process that has done nothing else."""
    torch.set_num_threads(threads)
    vectors = np.load(path)
    CosineSearch(Pool.of(vectors[:9])).rank(Cases(np.array([0]), np.array([1])))
    before = _peak_gib()
    return _evaluate(vectors, codes, codebooks, cases), _peak_gib() - before


def _evaluate(vectors: Floats, codes: Ints, codebooks: Codebooks, cases: Cases) -> Timing:
    negatives = random_negatives(cases, len(vectors), 10, np.random.default_rng(0))
    return peers.timed(
        lambda: item_to_item(vectors, codes, codebooks.decode, cases, negatives).num_items
    )


def _cases(vectors: Floats, num_cases: int) -> Cases:
    """Random queries; half of the targets are random, half the nearest of 4,096 random items."""
    rng = np.random.default_rng(0)
    queries = rng.integers(0, len(vectors), num_cases)
    targets = (queries + rng.integers(1, len(vectors), num_cases)) % len(vectors)
    drawn = rng.integers(0, len(vectors), 4096)
    for near in np.array_split(np.arange(0, num_cases, 2), num_cases // 8192 + 1):
        scores = vectors[queries[near]] @ vectors[drawn].T
        scores[queries[near][:, None] == drawn] = -np.inf
        targets[near] = drawn[scores.argmax(axis=1)]
    return Cases(queries.astype(np.int32), targets.astype(np.int32))


def _coded(vectors: Floats, num_codes: int) -> tuple[Ints, Codebooks]:
    """Codes of three levels, by two iterations of k-means on a part of the rows."""
    vectors_ND, sizes = torch.from_numpy(vectors), (num_codes,) * 3
    generator = torch.Generator().manual_seed(0)
    levels = residual_kmeans(vectors_ND[: 16 * num_codes], sizes, generator, iterations=2)
    tables = [level.codewords_Kd for level in levels]
    codes = residual_codes(vectors_ND, tables).numpy().astype(np.int32)
    return codes, Codebooks(tuple(table.numpy() for table in tables))


def _agreement(neighbours: Ints, ranks: Ranks, cases: Cases) -> tuple[float, float]:
    """Share of the targets among the neighbours; and of those that stand where we say, ties apart.

    The query itself is not counted.
    """
    hits = neighbours == cases.targets[:, None]
    found = hits.any(axis=1)
    place = hits.argmax(axis=1)
    own = neighbours == cases.queries[:, None]
    place -= own.any(axis=1) & (own.argmax(axis=1) < place)
    low, high = ranks.num_better, ranks.num_better + ranks.num_tied
    return float(found.mean()), float(((low <= place) & (place <= high))[found].mean())


def _told(timing: Timing) -> str:
    return f"{timing.wall_s:.1f} s, {timing.cpu_s:.1f} CPU s"


def _peak_gib() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 2**20


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=500_000)
    parser.add_argument("--size", type=int, default=256, help="D")
    parser.add_argument("--cases", type=int, default=50_000, help="of the whole evaluation")
    parser.add_argument("--beside", type=int, default=2048, help="cases that faiss is given too")
    parser.add_argument("--codes", type=int, default=4096, help="of each of three levels")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--catalogue", type=Path, default=Path("../shared/data/beauty"))
    parser.add_argument("--quick", action="store_true", help="20,000 items and cases, 256 codes")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if asked.quick:
        asked.items, asked.cases, asked.codes = 20_000, 20_000, 256
    return asked


if __name__ == "__main__":
    main()
