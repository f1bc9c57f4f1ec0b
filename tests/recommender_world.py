"""A small world for recommenders: unique ids, users that step through the items in a ring."""

from __future__ import annotations

import numpy as np

from sidmint.recommenders import HeldOut, IdTable, Sequences
from sidmint.recommenders.storage import make_recommender
from sidmint.types import Codes

SMALL = {"epochs": 3, "width": 16, "heads": 2, "layers": 1, "check_every": 1}
SETTINGS: dict[str, dict[str, object]] = {
    "popularity": {},
    "last_item": {},
    "sasrec": SMALL,
    "causal": {**SMALL, "hidden": 16, "beam": 8},
    "parallel": SMALL,
    "semantic_knn": {},
    "hybrid": {"base": "causal", "settings": {**SMALL, "hidden": 16, "beam": 8}, "one_in": 5},
    "tiger": {**SMALL, "head_width": 8, "feed_forward": 32, "beam": 8},
}
NUM_ITEMS = 40


def a_table(seed: int = 0) -> IdTable:
    """Unique codes with crowded and lonely prefixes, and vectors that lie by their first code."""
    generator = np.random.default_rng(seed)
    every = np.stack(np.meshgrid(range(4), range(5), range(4), indexing="ij"), -1).reshape(-1, 3)
    codes = every[generator.choice(len(every), NUM_ITEMS, replace=False)].astype(np.int32)
    vectors = np.eye(8)[codes[:, 0]] + 0.1 * generator.standard_normal((NUM_ITEMS, 8))
    return IdTable(Codes(codes, (4, 5, 4)), vectors.astype(np.float32))


def walks(generator: np.random.Generator, num_users: int = 120) -> Sequences:
    """Users that step through the items in a ring, from anywhere."""
    starts = generator.integers(NUM_ITEMS, size=num_users)
    lengths = generator.integers(2, 12, size=num_users)
    return Sequences.of(
        [(s + np.arange(n)) % NUM_ITEMS for s, n in zip(starts, lengths, strict=True)]
    )


def fitted(name: str, table: IdTable, train: Sequences, validation: HeldOut | None = None):
    recommender = make_recommender(name, SETTINGS[name], "test")
    recommender.fit(train, table, validation, seed=3)
    return recommender
