"""Swing: seconds and memory on a catalogue and on ten million synthetic interactions.

    python benchmarks/pairs.py [--items ITEMS --interactions EVENTS] [--events 10000000] [--json]

The synthetic log is long-tailed on both sides: items are drawn by a Zipf law (exponent 0.8),
users have 3 + a geometric number of events. A double loop over all pairs of users (the formula
as printed) is run beside it on a small log, and has to give the same pairs.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections import defaultdict
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from sidmint.catalogue import build_catalogue
from sidmint.contracts import Interactions, Items
from sidmint.pairs import swing
from sidmint.types import Ints


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=Path)
    parser.add_argument("--interactions", type=Path)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    compare_with_double_loop(arguments.seed)
    rows = []
    if arguments.items and arguments.interactions:
        logged = training_events(arguments.items, arguments.interactions)
        rows.append(timed(str(arguments.interactions.parent.name), *logged))
    rows.append(timed("synthetic", *synthetic_log(arguments.events, arguments.seed)))
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    table = Table("log", "events", "items", "pairs", "seconds", "peak MiB of the process so far")
    for row in rows:
        table.add_row(*(f"{v:,.1f}" if isinstance(v, float) else f"{v}" for v in row.values()))
    Console().print(table)


def timed(name: str, users: Ints, items: Ints, num_items: int) -> dict[str, Any]:
    started = time.perf_counter()
    found = swing(users, items, num_items=num_items)
    return {
        "log": name,
        "events": len(users),
        "items": num_items,
        "pairs": len(found),
        "seconds": round(time.perf_counter() - started, 2),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def training_events(items_path: Path, interactions_path: Path) -> tuple[Ints, Ints, int]:
    """Users and items of the training part of a leave-one-out split."""
    items = pl.read_parquet(items_path)
    built = build_catalogue(
        items,
        pl.read_parquet(interactions_path),
        min_interactions=5,
        cold_share=0.05,
        seed=0,
        item_set="core",
    )
    rows = built.items.select(Items.ITEM_ID).with_row_index("row")
    training = built.interactions.filter(pl.col(Interactions.SPLIT) == "train")
    numbered = training.join(rows, on=Interactions.ITEM_ID, maintain_order="left")
    users = numbered[Interactions.USER_ID].rank("dense").to_numpy().astype(np.int32)
    return users, numbered["row"].to_numpy().astype(np.int32), len(items)


def synthetic_log(num_events: int, seed: int) -> tuple[Ints, Ints, int]:
    """About `num_events` events; items are a tenth as many as users."""
    rng = np.random.default_rng(seed)
    lengths = 3 + rng.geometric(1 / 7, size=max(10, num_events // 10))
    num_items = max(10, len(lengths) // 10)
    weights = np.arange(1, num_items + 1) ** -0.8
    bounds = np.cumsum(weights / weights.sum())
    users = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    items = np.searchsorted(bounds, rng.random(len(users))).astype(np.int32)
    distinct = np.unique(users.astype(np.int64) * num_items + items)
    return (
        (distinct // num_items).astype(np.int32),
        (distinct % num_items).astype(np.int32),
        num_items,
    )


def compare_with_double_loop(seed: int) -> None:
    """Stop unless `swing` gives what the formula gives, pair of users by pair of users."""
    users, items, num_items = synthetic_log(2000, seed)
    baskets: dict[int, set[int]] = defaultdict(set)
    for user, item in zip(users.tolist(), items.tolist(), strict=True):
        baskets[user].add(item)
    scores: dict[tuple[int, int], float] = defaultdict(float)
    for first, second in combinations(sorted(baskets), 2):
        common = baskets[first] & baskets[second]
        weight = (len(baskets[first]) * len(baskets[second])) ** -0.5 / (1 + len(common))
        for trigger in common:
            for target in common - {trigger}:
                scores[trigger, target] += weight
    found = swing(users, items, num_items=num_items, top=num_items, max_users_per_item=10**9)
    given = {
        (trigger, target): score
        for trigger, target, score in zip(
            found.triggers.tolist(), found.targets.tolist(), found.scores.tolist(), strict=True
        )
    }
    if given.keys() != scores.keys() or any(
        abs(given[pair] - score) > 1e-5 * score for pair, score in scores.items()
    ):
        raise SystemExit("swing and the double loop differ")


if __name__ == "__main__":
    main()
