"""How fast a published table answers: lookups of all its items, prefixes, and the MLflow model.

    OMP_NUM_THREADS=2 python benchmarks/serving.py [--items 1000000] [--repetitions 5] [--json]

The table has random ids of 3 x 256 codes and a suffix, published in a temporary registry. The
model is an `rq_kmeans` of 3 x 256 codes on wordllama vectors of made-up titles; a process of its
own loads it as MLflow's server does and asks for 256 texts. Medians of wall seconds; of the model
also of processor seconds, which other work on the machine changes less.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

import sidmint
from sidmint.adapters.mlflow_files import write_files
from sidmint.adapters.mlflow_saving import save_model
from sidmint.embedding import ENCODERS, encode_texts, stored, unit_norm
from sidmint.publishing.store import VersionStore
from sidmint.tokenizers import make_tokenizer, storage

SIZES = (256, 256, 256)
NUM_TEXTS, NUM_FITTED = 256, 3000
WORDS = ("red", "oak", "desk", "lamp", "lipstick", "matte", "hose", "guitar", "kettle", "office")
LOAD = """
import json, statistics, sys, time
clocks = (time.perf_counter, time.process_time)
def now(): return [clock() for clock in clocks]
started = now()
import mlflow
imported = now()
model = mlflow.pyfunc.load_model(sys.argv[1])
times = {"import mlflow": (started, imported), "load the model": (imported, now())}
import pandas as pd
asked = pd.DataFrame({"text": json.loads(sys.argv[2])})
answers = []
for _ in range(int(sys.argv[3]) + 1):
    begun = now()
    model.predict(asked)
    answers.append((begun, now()))
times["256 texts, the first time"] = answers[0]
found = {}
for place, clock in enumerate(("wall", "processor")):
    for what, (begin, end) in times.items():
        found[f"{what}, {clock}"] = end[place] - begin[place]
    rest = [end[place] - begin[place] for begin, end in answers[1:]]
    found[f"256 texts, {clock}"] = statistics.median(rest)
print(json.dumps(found))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seconds = lookups(Path(folder), arguments.items, arguments.repetitions)
        seconds |= served(Path(folder), arguments.repetitions)
    if arguments.json:
        print(json.dumps(seconds, indent=2))
        return
    shown = Table("what", "seconds", box=None)
    for what, value in seconds.items():
        shown.add_row(what, f"{value:.4f}")
    Console().print(shown)


def lookups(folder: Path, num_items: int, repetitions: int) -> dict[str, float]:
    """Questions to a table of `num_items`, each item once."""
    rng = np.random.default_rng(7)
    publish(folder / "registry", rng.integers(0, 256, size=(num_items, 3), dtype=np.int32))
    table = sidmint.load(folder / "registry")
    items = table.item_ids.sample(fraction=1.0, shuffle=True, seed=7)
    ids = table.semantic_ids(items)
    beams = table.parts[rng.integers(0, num_items, size=50)]
    allowed = table.trie.for_generate(end=-1, skip=0)
    table.semantic_id(items[0]), table.items_under("0")  # what is built at the first question
    asked: dict[str, Callable[[], Any]] = {
        "load": lambda: sidmint.load(folder / "registry"),
        "semantic_ids of all items": lambda: table.semantic_ids(items),
        "items of all ids": lambda: table.items(ids),
        "semantic_id of one": lambda: table.semantic_id(items[0]),
        "items_under two codes": lambda: table.items_under("12-7"),
        "masks of 50 beams, 4 parts": lambda: [table.trie.allowed(beams[:, :p]) for p in range(4)],
        "prefix_allowed_tokens_fn, once": lambda: allowed(0, [beams[0, 0], beams[0, 1] + 256]),
    }
    return {f"{what} ({num_items:,})": median(ask, repetitions) for what, ask in asked.items()}


def publish(registry: Path, codes: np.ndarray) -> None:
    """A release with nothing but such a table."""
    columns = {f"code_{level}": codes[:, level - 1] for level in (1, 2, 3)}
    frame = pl.DataFrame({"item_id": [f"I{n:09d}" for n in range(len(codes))], **columns})
    frame = frame.with_columns(
        suffix=pl.int_range(pl.len(), dtype=pl.Int32).over(list(columns))
    ).with_columns(semantic_id=pl.concat_str([*columns, "suffix"], separator="-"))

    def assemble(folder: Path) -> dict[str, Any]:
        frame.write_parquet(folder / "sids.parquet")
        layout = {"levels": 3, "sizes": list(SIZES), "columns": [*columns, "suffix"]}
        layout["suffix_size"] = int(frame["suffix"].max()) + 1
        facts: dict[str, Any] = dict.fromkeys(("created_at", "created_by", "tokenizer"), "")
        return {
            **facts,
            "override": None,
            "overruled": [],
            "num_items": len(frame),
            "semantic_ids": layout,
        }

    VersionStore(registry).publish(assemble, None, {"action": "publish", "by": "benchmark"})


def served(folder: Path, repetitions: int) -> dict[str, float]:
    """Loading and answers of the MLflow model, in a process of its own."""
    rng = np.random.default_rng(7)
    titles = [
        " ".join(words) + f" {n}" for n, words in enumerate(rng.choice(WORDS, (NUM_FITTED, 12)))
    ]
    encoder = ENCODERS["wordllama"]("")
    vectors = unit_norm(encode_texts(encoder, titles), titles)
    tokenizer = make_tokenizer("rq_kmeans", {"sizes": list(SIZES)})
    tokenizer.fit(stored(vectors, titles).astype(np.float32), seed=7, device="cpu")
    trained, files = folder / "trained", folder / "files"
    trained.mkdir()
    files.mkdir()
    storage.save(tokenizer, trained, "all", len(titles))
    sids = next((folder / "registry").rglob("sids.parquet"))
    made_by = {"name": "wordllama", "model": encoder.model, "unit_norm": True, "second": None}
    write_files(files, sids, trained, {"encoder": made_by, "dimensions": vectors.shape[1]})
    save_model(folder / "model", files, "wordllama")
    command = [sys.executable, "-W", "ignore", "-c", LOAD, str(folder / "model")]
    command += [json.dumps(titles[:NUM_TEXTS]), str(repetitions)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(ended.stdout.splitlines()[-1]))


def median(ask: Callable[[], Any], repetitions: int) -> float:
    seconds = []
    for _ in range(repetitions):
        started = time.perf_counter()
        ask()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
