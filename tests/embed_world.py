"""A catalogue of a few items on disk, as `ingest` leaves it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from sidmint.artifacts import Artifacts
from sidmint.layout import Layout
from sidmint.neighbours import build_index
from sidmint.params import Params, parse_params

ITEMS = {
    "item_id": ["a", "b", "c", "d"],
    "title": ["Oak desk", "Pine desk", "Red stapler", "Blue stapler"],
    "brand": ["Acme", None, "Bolt", "Bolt"],
    "categories": ["Office > Desks", "Office > Desks", None, "Office > Staplers"],
}


def catalogue(root: Path, items: dict[str, list[Any]] | None = None) -> Artifacts:
    """Artifacts at `root` with the items table of stage ingest and no interactions."""
    artifacts = Artifacts(Layout(root))
    with artifacts.writing("ingest") as out:
        out.table("items", pl.DataFrame(items or ITEMS))
    return artifacts


def with_events(root: Path, events: list[tuple[str, str, str]], item_ids: str) -> Artifacts:
    """Artifacts at `root` with `events` (user, item, split), in this order within a user."""
    frame = pl.DataFrame(events, schema=["user_id", "item_id", "split"], orient="row")
    artifacts = Artifacts(Layout(root))
    with artifacts.writing("ingest") as out:
        out.table("items", pl.DataFrame({"item_id": list(item_ids)}))
        out.table(
            "interactions",
            frame.with_columns(position=pl.int_range(pl.len()).over("user_id")),
        )
    return artifacts


def embed_params(**settings: Any) -> Params:
    """Params with this `embed` section; `ingest` is taken out of it."""
    ingest = settings.pop("ingest", {})
    return parse_params({"embed": settings, "ingest": ingest}, "params.yaml")


def random_vectors(num: int = 4, dim: int = 6, seed: int = 0) -> np.ndarray:
    """Vectors (num, dim) float32 that differ."""
    return np.random.default_rng(seed).normal(size=(num, dim)).astype(np.float32)


def put(root: Path, name: str) -> Path:
    """The path of a raw file, its folder made."""
    path = root / "data" / "raw" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write_embedding(artifacts: Artifacts, vectors: np.ndarray) -> None:
    """What stage embed leaves behind for `vectors` (N, D) that came in a file."""
    halves = vectors.astype(np.float16)
    origin = {"encoder": "precomputed", "model": "data/raw/v.npy", "template": None}
    size = {"num_items": len(halves), "dim": halves.shape[1]}
    with artifacts.writing("embed") as out:
        out.array("embeddings", halves)
        out.index("neighbours", build_index(halves.astype(np.float32)))
        out.json("embed", {**origin, **size, "unit_norm": False, "second": None})
