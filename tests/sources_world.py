"""A published table whose vectors were joined from text, pictures and behaviour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from embed_world import put
from releases import Built
from served_world import ITEM_IDS, TEMPLATE, trained_world
from sidmint.params import Params, parse_params

IMAGE_PATH, BEHAVIOUR_PATH = "data/raw/image.parquet", "data/raw/behaviour.parquet"
WITHOUT_BEHAVIOUR = ITEM_IDS[-4:]
SOURCES: dict[str, dict[str, Any]] = {
    "text": {"encoder": "wordllama"},
    "image": {"path": IMAGE_PATH, "weight": 0.5, "pca": 3, "whiten": True},
    "behaviour": {"path": BEHAVIOUR_PATH, "weight": 0.25, "missing": "mean"},
}


def images(num: int, seed: int = 5) -> np.ndarray:
    """(num, 8) float32 of four directions and a large mean, as raw features of pictures have."""
    rng = np.random.default_rng(seed)
    spread = rng.normal(size=(num, 4)) @ np.random.default_rng(0).normal(size=(4, 8))
    return (10 + spread).astype(np.float32)


def behaviours(num: int, seed: int = 6) -> np.ndarray:
    """(num, 6) float32."""
    return np.random.default_rng(seed).normal(size=(num, 6)).astype(np.float32)


def vector_table(item_ids: list[str], vectors: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame({"item_id": item_ids, "vector": vectors.tolist()})


def sources_params(sources: dict[str, dict[str, Any]] | None = None, **embed: Any) -> Params:
    settings = {"template": TEMPLATE, "sources": sources or SOURCES, **embed}
    return parse_params({"embed": settings}, "params.yaml")


def put_sources(root: Path) -> None:
    """The files that `SOURCES` names; the last four items have no behaviour."""
    num = len(ITEM_IDS)
    vector_table(ITEM_IDS, images(num)).write_parquet(put(root, "image.parquet"))
    known = num - len(WITHOUT_BEHAVIOUR)
    table = vector_table(ITEM_IDS[:known], behaviours(known))
    table.write_parquet(put(root, "behaviour.parquet"))


def sources_world(root: Path, params: Params | None = None) -> Built:
    """`trained_world` over the joined vectors, published as v0001."""
    root.mkdir(parents=True, exist_ok=True)
    put_sources(root)
    built = trained_world(root, params or sources_params())
    built.judge("one")
    built.publish("one")
    return built
