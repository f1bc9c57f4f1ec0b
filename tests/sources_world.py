"""A published table whose vectors were joined from text, pictures and behaviour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from embed_world import catalogue, put
from releases import Built, build_workspace
from served_world import ITEM_IDS, TEMPLATE, TITLES
from sidmint.params import Params, parse_params
from sidmint.stages.assign import assign
from sidmint.stages.embed import embed
from sidmint.tokenizers import make_tokenizer, storage

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
    """`one` is an rq_kmeans of 4 x 4 codes over the joined vectors, published as v0001."""
    built = build_workspace(root)
    built.build("one", dict.fromkeys(ITEM_IDS, (0, 1)))  # metrics of stages that do not matter here
    here = catalogue(root, {"item_id": ITEM_IDS, "title": TITLES})
    put_sources(root)
    params = params or sources_params()
    embed(params, here)
    tokenizer = make_tokenizer("one", {"type": "rq_kmeans", "sizes": [4, 4]})
    tokenizer.fit(here.embeddings().vectors, seed=1, device="cpu")
    with here.writing("train", "one") as out:
        storage.save(tokenizer, out.folder, "all", len(ITEM_IDS))
    assign(params, here, "one")
    built.judge("one")
    built.publish("one")
    return built
