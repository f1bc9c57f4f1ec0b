"""Seconds of stage embed on a catalogue: the first time, again, and after some texts have changed.

    python benchmarks/embed_again.py --items ../shared/data/beauty/items.parquet \
        --encoder sentence_transformer

Each run is a call of the stage in a process of its own, so that a model is loaded each time.
The last is on a workspace that knows nothing: its bytes must be those of the run before it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from sidmint.artifacts import Artifacts
from sidmint.layout import Layout
from sidmint.params import parse_params
from sidmint.stages.embed import embed

CHANGED_SHARE = 0.01


def put(root: Path, items: pl.DataFrame) -> None:
    with Artifacts(Layout(root)).writing("ingest") as out:
        out.table("items", items)


def changed(items: pl.DataFrame) -> pl.DataFrame:
    """Every hundredth title with a word more."""
    row, step = pl.int_range(pl.len()), round(1 / CHANGED_SHARE)
    title = pl.col("title").fill_null("")
    return items.with_columns(
        pl.when(row % step == 0).then(title + " (new)").otherwise(pl.col("title")).alias("title")
    )


def run(root: Path, name: str, encoder: str, workers: int) -> None:
    start = time.perf_counter()
    arguments = ["--root", str(root), "--encoder", encoder, "--workers", str(workers)]
    headline = subprocess.run(
        [sys.executable, __file__, *arguments], check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()
    seconds = time.perf_counter() - start
    print(f"{name:24} {seconds:8.1f} s   {headline}", flush=True)


def embeddings(root: Path) -> bytes:
    return (Layout(root).stage("embed") / "embeddings.npy").read_bytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=Path)
    parser.add_argument("--root", type=Path, help="the stage on this workspace, once")
    parser.add_argument("--encoder", default="wordllama")
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    if given.root is not None:
        settings = {"encoder": given.encoder, "workers": given.workers}
        params = parse_params({"embed": settings}, "params.yaml")
        print(embed(params, Artifacts(Layout(given.root))).headline)
        return
    items = pl.read_parquet(given.items).sort("item_id")
    with TemporaryDirectory() as one, TemporaryDirectory() as two:
        put(Path(one), items)
        run(Path(one), "first", given.encoder, given.workers)
        run(Path(one), "again", given.encoder, given.workers)
        put(Path(one), changed(items))
        run(Path(one), f"{CHANGED_SHARE:.0%} changed", given.encoder, given.workers)
        put(Path(two), changed(items))
        run(Path(two), "the same, nothing known", given.encoder, given.workers)
        same = embeddings(Path(one)) == embeddings(Path(two))
        print("the last two wrote", "the same bytes" if same else "OTHER BYTES")


if __name__ == "__main__":
    main()
