"""How ids serve a ranking model: docs/RANKING.md, row by row.

    python benchmarks/ranking_probe.py --data FOLDER [--catalogue beauty] [--tokenizer rq_kmeans]
                                       [--seeds 7,8,9] [--items-a-row 4,1] [--page-only]

FOLDER is that of benchmarks/quality.py; the catalogue's log wants times. A row is one
representation of items in one click model, on one core. Pairs that a tokenizer reads are made of
clicks before the cut. A finished row is one line of docs/results/ranking.jsonl that says all it
depends on; what is there is not made again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from fit_version import FIT_VERSION as TOKENIZER_VERSION
from ranking_page import write_page
from recommenders import fitted_codes
from row_files import put_rows, read_lines

from sidmint.errors import BadInput
from sidmint.pairs import swing
from sidmint.ranking import (
    REPRESENTATIONS,
    ClickLog,
    ProbeSettings,
    budget_for,
    probe_representation,
    probe_world,
    summarized,
)
from sidmint.ranking.probe import RESULT_VERSION
from sidmint.types import Codes

DOCS = Path(__file__).resolve().parents[1] / "docs"
ROWS, PAGE = DOCS / "results" / "ranking.jsonl", DOCS / "RANKING.md"


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(1)
    for seed in [] if arguments.page_only else map(int, arguments.seeds.split(",")):
        wanted = [float(number) for number in arguments.items_a_row.split(",")]
        missing = [number for number in wanted if _missing(arguments, seed, number)]
        if missing:
            _run_seed(arguments, seed, missing)
            write_page(read_rows(), PAGE)
    write_page(read_rows(), PAGE)
    print(PAGE)


def read_rows() -> list[dict[str, Any]]:
    """The finished rows, sorted by what they are of."""
    return read_lines(ROWS)


def _run_seed(arguments: argparse.Namespace, seed: int, items_a_row: list[float]) -> None:
    """Fit the tokenizer once, then ask every representation at every budget."""
    vectors, categories, log = _read(arguments.data / arguments.catalogue)
    before = log.times < log.cut(ProbeSettings().test_share)
    pairs = swing(log.users[before], log.items[before], num_items=log.num_items)
    codes = fitted_codes(arguments.tokenizer, seed, vectors, categories, pairs)
    for number in items_a_row:
        started = time.process_time()
        rows = list(_rows(arguments, seed, number, codes, vectors, log))
        put_rows(ROWS, rows, _place)
        spent = time.process_time() - started
        print(f"seed {seed}, {number:g} items a row: {spent:.0f} CPU s", flush=True)


def _rows(
    arguments: argparse.Namespace,
    seed: int,
    items_a_row: float,
    codes: Codes,
    vectors: np.ndarray,
    log: ClickLog,
) -> Iterator[dict[str, Any]]:
    settings = _settings(log.num_items, items_a_row)
    started = time.process_time()
    world = probe_world(codes, vectors, log, settings, seed)
    world_s = time.process_time() - started
    facts = asdict(summarized(world, ()))
    del facts["scores"]
    for name in _names(arguments):
        started = time.process_time()
        score = asdict(probe_representation(world, name, settings, seed))
        cpu_s = time.process_time() - started
        print(f"  {name}: AUC {score['overall']['auc']:.4f}, {cpu_s:.1f} CPU s", flush=True)
        yield {
            **_identity(arguments, seed, items_a_row, name),
            "settings": settings.model_dump(mode="json"),
            "cpu_s": round(cpu_s, 1),
            "world_cpu_s": round(world_s, 1),
            "device": "one CPU thread",
            "facts": facts,
            "score": _rounded(score),
        }


def _read(folder: Path) -> tuple[np.ndarray, list[str | None], ClickLog]:
    """Vectors, categories and clicks of the catalogue in `folder`, items in the file's order."""
    items = pl.read_parquet(folder / "items.parquet")
    events = pl.read_parquet(folder / "interactions.parquet")
    if "timestamp" not in events.columns:
        raise BadInput(f"{folder.name} has no times; the probe cuts its log in time")
    numbered = events.join(
        items.select("item_id").with_row_index("row"), on="item_id", maintain_order="left"
    )
    log = ClickLog.of(
        numbered["user_id"].rank("dense").to_numpy(),
        numbered["row"].to_numpy(),
        numbered["timestamp"].to_numpy(),
        len(items),
    )
    vectors = np.load(folder / "minilm_l6_v2.npy").astype(np.float32)
    return vectors, items["categories"].to_list(), log


def _settings(num_items: int, items_a_row: float) -> ProbeSettings:
    plain = ProbeSettings()
    budget = budget_for(num_items, items_a_row, plain.clicks)
    return ProbeSettings(num_parameters=budget)


def _names(arguments: argparse.Namespace) -> list[str]:
    return arguments.only.split(",") if arguments.only else list(REPRESENTATIONS)


def _identity(
    arguments: argparse.Namespace, seed: int, items_a_row: float, name: str
) -> dict[str, Any]:
    """What a row is of, and a digest of it and of the settings: equal keys, equal figures."""
    of = {
        "catalogue": arguments.catalogue,
        "tokenizer": arguments.tokenizer,
        "items_a_row": items_a_row,
        "representation": name,
        "seed": seed,
        "result_version": RESULT_VERSION,
        "tokenizer_version": TOKENIZER_VERSION,
    }
    text = json.dumps({**of, **ProbeSettings().model_dump(mode="json")}, sort_keys=True)
    return {"key": hashlib.sha256(text.encode()).hexdigest()[:16], **of}


def _missing(arguments: argparse.Namespace, seed: int, items_a_row: float) -> bool:
    done = {row["key"] for row in read_rows()}
    wanted = {_identity(arguments, seed, items_a_row, name)["key"] for name in _names(arguments)}
    return not wanted <= done


def _place(row: dict[str, Any]) -> tuple[Any, ...]:
    names = ("catalogue", "tokenizer", "items_a_row", "representation", "seed")
    return tuple(row[name] for name in names)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--catalogue", default="beauty")
    parser.add_argument("--tokenizer", default="rq_kmeans", help="a name of quality_runs.py")
    parser.add_argument("--seeds", default="7,8,9")
    parser.add_argument("--items-a-row", default="4,1", help="budgets; fewer items, more rows")
    parser.add_argument("--only", help="representations, comma-separated; all by default")
    parser.add_argument("--page-only", action="store_true", help="write the page from the rows")
    return parser.parse_args()


if __name__ == "__main__":
    main()
