"""What levels carry in sound tables, whence the bounds of the gate: a part of docs/RESULTS.md.

    python benchmarks/levels.py --data FOLDER [--catalogues office,builtin,beauty,toys]
                                [--only rq_kmeans,pq] [--seed 7]

Every tokenizer of docs/RESULTS.md on every catalogue: FOLDER's, 3 x 256 over MiniLM, and the
built-in one as `sidmint demo` makes it, 3 x 64 over wordllama vectors, all items fitted. One line
of docs/results/levels.jsonl a finished run; what is there is not made again.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from quality import (
    LEVEL_ROWS,
    Catalogue,
    Run,
    catalogue_of,
    fit_all,
    load_catalogue,
    row_place,
    write_pages,
)
from quality_runs import RUNS, SIZES, settings_of
from row_files import put_rows, read_lines

from sidmint.catalogue import build_catalogue
from sidmint.contracts import Items
from sidmint.diagnostics.code_counts import count_codes
from sidmint.embedding import ENCODERS, item_texts, unit_norm
from sidmint.params import parse_params
from sidmint.seeds import seed_for
from sidmint.sources import SOURCES, SourceFiles
from sidmint.sources.bring_in import demo_params

BUILT_IN = "builtin"
KEPT = ("n_eff_share", "collision_rate")
KEPT_OF_LEVELS = ("perplexity_share", "dead_code_share", "information_share", "top_code_share")


def main() -> None:
    """Make what is missing, one run at a time, and write the page after each."""
    asked = _arguments()
    done = {row["key"] for row in read_lines(LEVEL_ROWS)}
    for run in _runs(asked):
        if run.key not in done:
            row = _measure(run, asked.data)
            put_rows(LEVEL_ROWS, [row], row_place)
            write_pages()
            shares = [row["metrics"][f"information_share_{level}"] for level in (1, 2, 3)]
            print(f"{run.catalogue} {run.name}: information {shares}", flush=True)
    write_pages()


def _runs(asked: argparse.Namespace) -> Iterator[Run]:
    from sidmint.tokenizers import make_tokenizer

    names = asked.only.split(",") if asked.only else list(RUNS)
    for name in names:
        for catalogue in asked.catalogues.split(","):
            vectors = _catalogue(catalogue, asked.data).vectors
            digest = hashlib.sha256(np.ascontiguousarray(vectors).tobytes()).hexdigest()
            config = make_tokenizer(name, _settings(catalogue, name)).config
            yield Run(catalogue, name, asked.seed, settings_of(name, config), digest)


def _settings(catalogue: str, name: str) -> dict[str, Any]:
    """The built-in catalogue is small: as many codes as the demo has."""
    own = RUNS[name]
    return own | {"sizes": [64, 64, 64]} if catalogue == BUILT_IN and own["sizes"] == SIZES else own


@cache
def _catalogue(name: str, data: Path) -> Catalogue:
    return _built_in() if name == BUILT_IN else load_catalogue(data / name)


def _built_in() -> Catalogue:
    """The built-in catalogue, every item of it; pairs from its training events."""
    params = parse_params(yaml.safe_load(demo_params()), "params.demo.yaml")
    raw = SOURCES["synthetic"](params.ingest, SourceFiles(), params.seed)
    items = raw.items.sort(Items.ITEM_ID)
    built = build_catalogue(items, raw.interactions, min_interactions=5, cold_share=0.0, seed=0)
    vectors = ENCODERS["wordllama"]("").encode(item_texts(params.embed.template, items))
    ids = items[Items.ITEM_ID].to_list()
    return catalogue_of(items, built.interactions, unit_norm(vectors, ids))


def _measure(run: Run, data: Path) -> dict[str, Any]:
    import torch

    from sidmint.tokenizers import make_tokenizer

    torch.set_num_threads(1)
    catalogue = _catalogue(run.catalogue, data)
    tokenizer = make_tokenizer(run.name, _settings(run.catalogue, run.name))
    categories = catalogue.categories if tokenizer.uses_categories else None
    fit_all(tokenizer, catalogue, seed_for(run.seed, "train", run.name))
    codes = tokenizer.encode(catalogue.vectors, categories=categories)
    found = count_codes(codes, tokenizer.config.sizes).metrics()
    levels = range(1, len(tokenizer.config.sizes) + 1)
    kept = [*KEPT, *(f"{name}_{level}" for name in KEPT_OF_LEVELS for level in levels)]
    metrics = {name: float(f"{found[name]:.6g}") for name in kept}
    return {"key": run.key, **asdict(run), "num_items": len(codes), "metrics": metrics}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--catalogues", default=f"office,{BUILT_IN},beauty,toys")
    parser.add_argument("--only", help="names of runs, comma-separated; all by default")
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args()


if __name__ == "__main__":
    main()
