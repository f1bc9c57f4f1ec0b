"""A published table of a real tokenizer over clusters of vectors, and more items of that world."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from embed_world import write_embedding
from releases import Built, build_workspace, case_table
from sidmint.diagnostics import reconstruction
from sidmint.progress import silent
from sidmint.publishing.arrivals import read_arrivals
from sidmint.publishing.refresh import Plan, plan_refresh, publish_refresh
from sidmint.publishing.release import Published
from sidmint.recommenders import Sequences
from sidmint.recommenders.id_table import id_table_of
from sidmint.recommenders.storage import make_recommender
from sidmint.recommenders.storage import save as save_recommender
from sidmint.sources.new_items import NewItems
from sidmint.stages.assign import assign
from sidmint.tokenizers import make_tokenizer, storage

SIZES = (6, 6, 32)
WIDTH = 8
NUM_PUBLISHED = 150


def vectors_of_world(num: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """(num, 8): twelve clusters on the sphere; `shift` moves all of them one way."""
    centres = np.random.default_rng(0).normal(size=(12, WIDTH))
    rng = np.random.default_rng(seed)
    points = centres[rng.integers(12, size=num)] + 0.35 * rng.normal(size=(num, WIDTH))
    points[:, 0] += shift
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True), dtype=np.float32)


def names(num: int, kind: str = "item") -> list[str]:
    return [f"{kind}-{number:04d}" for number in range(num)]


def batch(item_ids: list[str], vectors: np.ndarray) -> NewItems:
    """What a user brings: ids in this order, and their vectors."""
    return NewItems(pl.DataFrame({"item_id": item_ids}), (item_ids, vectors), "new.parquet")


@dataclass(frozen=True)
class Refreshing:
    """The workspace, and the steps of a refresh in it."""

    built: Built

    def plan(self, given: NewItems, move_changed: bool = False) -> Plan:
        store, params = self.built.store, self.built.params
        release = store.release()
        arrivals = read_arrivals(given, release, self.built.root)
        return plan_refresh(params.refresh, store, release, arrivals, move_changed, silent)

    def refresh(self, given: NewItems, move_changed: bool = False) -> Published:
        plan = self.plan(given, move_changed)
        return publish_refresh(self.built.layout, self.built.store, plan, by="test")

    def table(self, version: str | None = None) -> pl.DataFrame:
        return pl.read_parquet(self.built.store.release(version).file("sids.parquet"))

    def ids(self, version: str | None = None) -> dict[str, str]:
        return dict(self.table(version)["item_id", "semantic_id"].iter_rows())


def refreshing_world(
    root: Path, resolution: str = "suffix", recommender: str = "last_item"
) -> Refreshing:
    """`one` is an rq_kmeans of 6 x 6 x 32 over 150 items, published as v0001 under `resolution`."""
    built = build_workspace(root)
    built.set_params(assign={"resolution": resolution}, refresh={"rules": LOOSE})
    item_ids, vectors = names(NUM_PUBLISHED), vectors_of_world(NUM_PUBLISHED, seed=1)
    with built.artifacts.writing("ingest") as out:
        out.table("items", pl.DataFrame({"item_id": item_ids, "title": item_ids}))
        out.json("profile", {"digest": "c0ffee"})
    write_embedding(built.artifacts, vectors)
    candidate(built, recommender=recommender)
    built.publish("one")
    return Refreshing(built)


def candidate(built: Built, seed: int = 1, recommender: str = "last_item") -> None:
    """The table of `one`, trained with `seed`, by the stages' own means; judged."""
    vectors = built.artifacts.embeddings().vectors
    tokenizer = make_tokenizer("one", {"type": "rq_kmeans", "sizes": list(SIZES)})
    tokenizer.fit(vectors, seed=seed, device="cpu")
    with built.artifacts.writing("train", "one") as out:
        storage.save(tokenizer, out.folder, "all", NUM_PUBLISHED)
    assign(built.params, built.artifacts, "one")
    error = reconstruction(vectors, tokenizer.reconstruct(tokenizer.encode(vectors)))
    with built.artifacts.writing("diagnose", "one") as out:
        out.metrics(
            {"n_eff": 2.5, "reconstruction_mse": error.mse, "relative_mse": error.relative_mse}
        )
    with built.artifacts.writing("evaluate", "one") as out:
        out.table("cases", case_table(NUM_PUBLISHED))
        out.metrics({"retention_at_100": 0.8})
    table = id_table_of(built.artifacts.table("assign", "sids", "one"), vectors)
    made = make_recommender(recommender, SMALL.get(recommender, {}), "test")
    made.fit(Sequences.of([[0, 7], [0, 7], [0, 3]] * 20), table, seed=0)
    with built.artifacts.writing("recommend", "one") as out:
        save_recommender(made, table, out.folder)
        out.metrics({})
    built.judge("one")


SMALL: dict[str, dict[str, Any]] = {
    "causal": {"width": 16, "heads": 2, "layers": 1, "epochs": 40, "batch_size": 8, "beam": 20}
}

LOOSE = {
    "refresh_error_ratio": {"max": 3.0},
    "refresh_shift_level": {"max": 0.2},
    "refresh_decodable_1": {"min": 0.9},
}
"""Rules of the world: its tokenizer has seen 150 items, so new ones fit less well."""


def copy_of(world: Refreshing, root: Path) -> Refreshing:
    """The same workspace in a folder of its own."""
    return Refreshing(Built(Path(shutil.copytree(world.built.root, root))))
