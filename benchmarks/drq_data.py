"""What the five tokenizers are fitted to and tested on: vectors, pairs, test cases."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from drq_world import make_world
from quality import load_catalogue

from sidmint.contracts import Interactions, Items
from sidmint.evaluation import Cases, held_out_cases, random_negatives
from sidmint.seeds import generator_for
from sidmint.types import Floats, Ints, Pairs

VECTORS = "minilm_l6_v2.npy"
GEOMETRY_SAMPLE = 20_000
"""As in DRQ 5.2."""
SEED = 7
"""Of the world, the test cases and the geometry's sample: the same in every run."""


@dataclass(frozen=True)
class Data:
    """One catalogue; all items are fitted, and no pair reads the event of a test case."""

    vectors: Floats
    pairs: Pairs
    cases: Cases
    negatives: Cases
    """One random target a case."""
    sample: Ints
    """Rows whose geometry is taken."""


def industrial(num_items: int, num_cases: int) -> Data:
    """The world of `num_items`, with a random `num_cases` of its test cases.

    Each case is a search over all items, so all of them would take longer than the fits.
    """
    world = make_world(num_items, SEED)
    cases = world.cases
    if len(cases) > num_cases:
        rng = generator_for(SEED, "paper_drq", "cases")
        chosen = np.sort(rng.choice(len(cases), num_cases, replace=False))
        cases = Cases(cases.queries[chosen], cases.targets[chosen])
    return _tested(world.vectors, world.co_viewed, cases)


def public(folder: Path) -> Data:
    """The catalogue in `folder`, with all its test cases; pairs by Swing."""
    catalogue = load_catalogue(folder)
    return _tested(catalogue.vectors, catalogue.pairs, _last_events(folder))


def _last_events(folder: Path) -> Cases:
    """Leave-one-out: from the event before a user's last, find the last."""
    items = pl.read_parquet(folder / "items.parquet").select(Items.ITEM_ID).with_row_index("row")
    events = pl.read_parquet(folder / "interactions.parquet").join(
        items, on=Interactions.ITEM_ID, maintain_order="left"
    )
    users = events[Interactions.USER_ID].rank("dense").to_numpy().astype(np.int64)
    positions = events[Interactions.POSITION].to_numpy().astype(np.int64)
    last = np.zeros(users.max() + 1, dtype=np.int64)
    np.maximum.at(last, users, positions)
    rows = events["row"].to_numpy().astype(np.int64)
    return held_out_cases(users, positions, rows, positions == last[users])


def _tested(vectors: Floats, pairs: Pairs, cases: Cases) -> Data:
    rng = generator_for(SEED, "paper_drq", "negatives")
    negatives = random_negatives(cases, len(vectors), 1, rng)
    rng = generator_for(SEED, "paper_drq", "geometry")
    num_sampled = min(GEOMETRY_SAMPLE, len(vectors))
    sample = np.sort(rng.choice(len(vectors), num_sampled, replace=False)).astype(np.int32)
    return Data(vectors, pairs, cases, negatives, sample)
