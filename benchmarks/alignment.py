"""What alignment buys: a trained recommender, not trained again, on ids of a retrained tokenizer.

    python benchmarks/alignment.py --data ../shared/data --catalogues beauty --tokenizers rq_kmeans

A row a catalogue, tokenizer and seed of the retraining, in docs/results/alignment.jsonl; it goes
on where it stopped. `causal` of docs/RECOMMENDERS.md learns the champion's ids (seed 7). The
tokenizer is trained again with another seed, and the recommender is asked over its ids as they
come and as `diagnostics.alignment` renames them. Leave-one-out, file order, test cases.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from recommenders import BACKBONE, World, fitted_codes, load_world
from row_files import put_rows, read_lines

from sidmint.diagnostics.alignment import alignment, renamed
from sidmint.diagnostics.stability import stability
from sidmint.evaluation import recommendation as judged
from sidmint.recommenders import IdTable, Recommender
from sidmint.recommenders.id_table import with_suffix
from sidmint.recommenders.storage import make_recommender
from sidmint.seeds import seed_for
from sidmint.semantic_ids import resolve_by_suffix
from sidmint.types import Codes

CHAMPION_SEED = 7
ROWS = Path(__file__).resolve().parents[1] / "docs" / "results" / "alignment.jsonl"


def main() -> None:
    import torch

    arguments = _arguments()
    torch.set_num_threads(1)
    done = {_place(row) for row in read_lines(ROWS)}
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    for catalogue in arguments.catalogues.split(","):
        world = load_world(arguments.data / catalogue, "file")
        for tokenizer in arguments.tokenizers.split(","):
            wanted = [s for s in seeds if (catalogue, tokenizer, str(s)) not in done]
            if wanted:
                _measure(catalogue, tokenizer, world, wanted)
    print(ROWS)


def _measure(catalogue: str, tokenizer: str, world: World, seeds: list[int]) -> None:
    """One training of the recommender, then a row a seed."""
    champion = _codes(tokenizer, CHAMPION_SEED, world)
    started = time.process_time()
    recommender = make_recommender("causal", dict(BACKBONE), "benchmark")
    split, train_seed = world.split, seed_for(CHAMPION_SEED, "recommend")
    recommender.fit(split.train, _table(champion, world), split.validation, seed=train_seed)
    trained_s = time.process_time() - started
    own = _quality(recommender, champion, world)
    for seed in seeds:
        raw = _codes(tokenizer, seed, world)
        names = alignment(champion.values, raw.values, raw.sizes)
        aligned = Codes(renamed(raw.values, names), raw.sizes)
        found = stability(champion.values, raw.values)
        row: dict[str, Any] = {
            "catalogue": catalogue,
            "tokenizer": tokenizer,
            "seed": seed,
            "recommender_cpu_s": round(trained_s, 1),
            "champion": own,
            "raw_kept": [round(share, 4) for share in found.raw],
            "aligned_kept": [round(share, 4) for share in found.matched],
        }
        for name, codes in (("raw", raw), ("aligned", aligned)):
            moved = recommender.moved_to(_table(codes, world))
            row[name] = _quality(moved, codes, world)
        put_rows(ROWS, [row], _place)
        print(json.dumps(row), flush=True)


def _codes(tokenizer: str, seed: int, world: World) -> Codes:
    return fitted_codes(tokenizer, seed, world.vectors, world.categories, world.pairs)


def _table(codes: Codes, world: World) -> IdTable:
    resolved = resolve_by_suffix(codes, world.item_ids)
    return IdTable(with_suffix(resolved.codes.values, resolved.suffixes), world.vectors)


def _quality(recommender: Recommender, codes: Codes, world: World) -> dict[str, float]:
    found = recommender.recommend(world.split.test.histories, 20)
    places = judged.target_places(found.items, world.split.test.targets)
    metrics = judged.list_metrics(places, (10,))
    metrics["distinct_items"] = float(len(np.unique(found.items[:2000, :10])))
    metrics["collision_rate"] = 1 - len(np.unique(codes.values, axis=0)) / codes.num_items
    return {name: float(f"{value:.6g}") for name, value in sorted(metrics.items())}


def _place(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["catalogue"], row["tokenizer"], str(row["seed"])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--catalogues", default="beauty")
    parser.add_argument("--tokenizers", default="rq_kmeans,rq_vae")
    parser.add_argument("--seeds", default="8,9", help="of the retraining; the champion's is 7")
    return parser.parse_args()


if __name__ == "__main__":
    main()
