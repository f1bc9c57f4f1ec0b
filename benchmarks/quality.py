"""Every tokenizer on real catalogues, several seeds, one table: docs/RESULTS.md.

    python benchmarks/quality.py --data FOLDER [--catalogues beauty,toys] [--seeds 7,8,9]
                                 [--only quasid,rq_vae] [--processes 2] [--page-only]

FOLDER holds one folder a catalogue with items.parquet, interactions.parquet and
minilm_l6_v2.npy (rows as items). Each finished run is one line of docs/results/quality.jsonl
that says all it depends on; a run that is there already is not made again, so the table can be
completed in several goes. The page is written anew after every run, from the lines alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from fit_version import FIT_VERSION as RESULT_VERSION
from quality_page import write_page
from quality_runs import RUNS, settings_of
from row_files import put_rows, read_lines

from sidmint.catalogue import build_catalogue
from sidmint.contracts import Interactions, Items
from sidmint.diagnostics.diagnosis import Subject, diagnose_subject
from sidmint.pairs import swing
from sidmint.seeds import seed_for
from sidmint.types import Floats, Pairs

if TYPE_CHECKING:
    from sidmint.tokenizers import Tokenizer, TrainingLog

DOCS = Path(__file__).resolve().parents[1] / "docs"
ROWS, PAGE = DOCS / "results" / "quality.jsonl", DOCS / "RESULTS.md"
LEVEL_ROWS = DOCS / "results" / "levels.jsonl"
KAPPAS = (1.0,)
NEAR_DUPLICATE_COSINE = 0.95
GEOMETRY_SAMPLE = 20_000
COLLABORATIVE_SIZE = 32


@dataclass(frozen=True)
class Run:
    """One tokenizer on one catalogue with one seed, and all that its figures depend on."""

    catalogue: str
    name: str
    seed: int
    settings: Mapping[str, Any]
    """The whole config of the tokenizer, defaults included."""
    vectors_sha256: str
    result_version: int = RESULT_VERSION

    @property
    def key(self) -> str:
        """A digest of everything above: equal keys, equal figures."""
        text = json.dumps(asdict(self), sort_keys=True, default=list)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Catalogue:
    """A real catalogue as every run sees it: all items are fitted, none is withheld."""

    vectors: Floats
    pairs: Pairs
    """Swing on the training events of a leave-one-out split."""
    categories: list[str | None]
    collaborative: Floats
    """What `letter` aligns with: see `factorised`."""


def main() -> None:
    arguments = _arguments()
    done = {row["key"]: row for row in read_rows()}
    if not arguments.page_only:
        wanted = [run for run in _runs(arguments) if run.key not in done]
        print(f"{len(done)} rows are there, {len(wanted)} to make", flush=True)
        with ProcessPoolExecutor(arguments.processes) as pool:
            waiting = {pool.submit(_measure, run, arguments.data): run for run in wanted}
            for number, finished in enumerate(as_completed(waiting), start=1):
                run, row = waiting[finished], finished.result()
                put_rows(ROWS, [row], row_place)
                write_pages()
                print(
                    f"[{number}/{len(wanted)}] {run.catalogue} {run.name} seed {run.seed}: entropy "
                    f"{row['metrics']['composition_entropy']:.4f}, {row['cpu_s']:.0f} CPU s",
                    flush=True,
                )
    write_pages()
    print(PAGE)


def write_pages() -> None:
    """docs/RESULTS.md anew from the rows that are there."""
    write_page(read_rows(), read_lines(LEVEL_ROWS), PAGE)


def read_rows() -> list[dict[str, Any]]:
    """The finished runs; of two with one key the later."""
    return list({row["key"]: row for row in read_lines(ROWS)}.values())


def load_catalogue(folder: Path) -> Catalogue:
    """The catalogue in `folder`, its pairs from training events alone."""
    items = pl.read_parquet(folder / "items.parquet")
    events = pl.read_parquet(folder / "interactions.parquet")
    built = build_catalogue(
        items, events, min_interactions=5, cold_share=0.0, seed=0, item_set="core"
    )
    if len(built.items) != len(items):
        raise SystemExit(f"{folder} is not 5-core: items would be dropped, which the papers keep")
    vectors = np.load(folder / "minilm_l6_v2.npy").astype(np.float32)
    return catalogue_of(items, built.interactions, vectors)


def catalogue_of(items: pl.DataFrame, interactions: pl.DataFrame, vectors: Floats) -> Catalogue:
    """`items` with what the training events among `interactions` tell of them."""
    rows = items.select(Items.ITEM_ID).with_row_index("row")
    training = interactions.filter(pl.col(Interactions.SPLIT) == "train")
    numbered = training.join(rows, on=Interactions.ITEM_ID, maintain_order="left")
    users = numbered[Interactions.USER_ID].rank("dense").to_numpy() - 1
    pairs = swing(users, numbered["row"].to_numpy(), num_items=len(items))
    known = factorised(users, numbered["row"].to_numpy(), len(items))
    return Catalogue(vectors, pairs, items[Items.CATEGORIES].to_list(), known)


def factorised(users: Any, rows: Any, num_items: int) -> Floats:
    """Item vectors (N, 32) from users (E,) and item rows (E,) of training events.

    The first singular vectors of the matrix of users and items, each entry divided by the root of
    both their counts (the linear part of LightGCN), times their singular values. NaN for items
    without a training event.
    """
    from scipy import sparse

    log = sparse.csr_array((np.ones(len(rows)), (users, rows)), shape=(users.max() + 1, num_items))
    log.sum_duplicates()
    log.data[:] = 1.0
    by_user, by_item = log.sum(axis=1), log.sum(axis=0)
    scaled = sparse.diags_array(by_user**-0.5) @ log
    scaled = scaled @ sparse.diags_array(np.maximum(by_item, 1) ** -0.5)
    start = np.random.default_rng(0).normal(size=num_items)
    _, strengths, directions = sparse.linalg.svds(scaled, k=COLLABORATIVE_SIZE, v0=start)
    known = np.where(by_item[:, None] > 0, directions.T * strengths, np.nan)
    return known.astype(np.float32)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--catalogues", default="beauty,toys")
    parser.add_argument("--seeds", default="7,8,9")
    parser.add_argument("--only", help="names of runs, comma-separated; all by default")
    parser.add_argument("--processes", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument("--page-only", action="store_true", help="write the page from the rows")
    return parser.parse_args()


def _runs(arguments: argparse.Namespace) -> Iterator[Run]:
    """Seed by seed, so that an early end leaves whole seeds."""
    from sidmint.tokenizers import make_tokenizer

    names = arguments.only.split(",") if arguments.only else list(RUNS)
    for seed in map(int, arguments.seeds.split(",")):
        for catalogue in arguments.catalogues.split(","):
            path = arguments.data / catalogue / "minilm_l6_v2.npy"
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            for name in names:
                settings = settings_of(name, make_tokenizer(name, RUNS[name]).config)
                yield Run(catalogue, name, seed, settings, digest)


@cache
def _cached_catalogue(folder: Path) -> Catalogue:
    return load_catalogue(folder)


def fit_all(tokenizer: Tokenizer, catalogue: Catalogue, seed: int) -> TrainingLog:
    """Fit `tokenizer` on every item of `catalogue`, with what else of it the tokenizer reads."""
    from sidmint.tokenizers import GradientTokenizer

    pairs = catalogue.pairs if tokenizer.uses_pairs else None
    if isinstance(tokenizer, GradientTokenizer) and tokenizer.uses_collaborative:
        known = catalogue.collaborative
        return tokenizer.fit(catalogue.vectors, pairs, seed, "cpu", collaborative=known)
    categories = catalogue.categories if tokenizer.uses_categories else None
    return tokenizer.fit(catalogue.vectors, pairs, seed, "cpu", categories=categories)


def _measure(run: Run, data: Path) -> dict[str, Any]:
    import torch

    from sidmint.tokenizers import make_tokenizer

    torch.set_num_threads(1)
    catalogue = _cached_catalogue(data / run.catalogue)
    tokenizer = make_tokenizer(run.name, RUNS[run.name])
    categories = catalogue.categories if tokenizer.uses_categories else None
    started = time.process_time()
    log = fit_all(tokenizer, catalogue, seed_for(run.seed, "train", run.name))
    cpu_s = time.process_time() - started
    vectors = catalogue.vectors
    subject = Subject(
        vectors=vectors,
        latent=tokenizer.latent(vectors),
        codes=tokenizer.encode(vectors, categories=categories),
        codebooks=tokenizer.codebooks(),
        reconstruct=tokenizer.reconstruct,
        variances=tokenizer.variances(),
    )
    sample = np.arange(min(GEOMETRY_SAMPLE, len(vectors)))
    found = diagnose_subject(subject, catalogue.pairs, KAPPAS, NEAR_DUPLICATE_COSINE, sample)
    metrics = found.metrics() | {
        "num_items": len(vectors),
        "collision_rate": found.collisions.collision_rate,
    }
    return {
        "key": run.key,
        **asdict(run),
        "cpu_s": round(cpu_s, 1),
        "num_steps": log.num_steps,
        "metrics": {name: float(f"{value:.6g}") for name, value in sorted(metrics.items())},
    }


def row_place(row: Mapping[str, Any]) -> tuple[str, str, int]:
    """Where a row stands on the page."""
    return row["catalogue"], row["name"], row["seed"]


if __name__ == "__main__":
    main()
