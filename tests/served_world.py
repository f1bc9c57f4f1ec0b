"""A published table whose tokenizer, encoder, index and recommender are real, in a second."""

from __future__ import annotations

from pathlib import Path

from embed_world import catalogue
from releases import Built, build_workspace
from sidmint.params import Params, parse_params
from sidmint.recommenders import Sequences
from sidmint.recommenders.id_table import id_table_of
from sidmint.recommenders.storage import make_recommender, save
from sidmint.stages.assign import assign
from sidmint.stages.embed import embed
from sidmint.tokenizers import make_tokenizer, storage

COLOURS = ("red", "blue", "green", "black")
THINGS = ("oak desk", "stapler", "lipstick", "tennis racket", "garden hose", "guitar", "kettle")
TEMPLATE = "{title}."
TITLES = [f"{colour} {thing}" for thing in THINGS for colour in COLOURS] + ["red kettle"] * 2
"""30 items; the last two have the title of another, so that their codes collide."""
ITEM_IDS = [f"item-{n:02d}" for n in range(len(TITLES))]


def served_params() -> Params:
    return parse_params({"embed": {"template": TEMPLATE}}, "params.yaml")


def trained_world(root: Path, params: Params) -> Built:
    """`one` is an rq_kmeans of 4 x 4 codes over what `params.embed` makes; nothing published."""
    built = build_workspace(root)
    built.build("one", dict.fromkeys(ITEM_IDS, (0, 1)))  # metrics of stages that do not matter here
    here = catalogue(root, {"item_id": ITEM_IDS, "title": TITLES})
    embed(params, here)
    tokenizer = make_tokenizer("one", {"type": "rq_kmeans", "sizes": [4, 4]})
    tokenizer.fit(here.embeddings().vectors, seed=1, device="cpu")
    with here.writing("train", "one") as out:
        storage.save(tokenizer, out.folder, "all", len(ITEM_IDS))
    assign(params, here, "one")
    return built


def served_world(root: Path) -> Built:
    """`trained_world` of wordllama vectors with a recommender, published as v0001."""
    built = trained_world(root, served_params())
    here = built.artifacts
    table = id_table_of(here.table("assign", "sids", "one"))
    recommender = make_recommender("last_item", {}, "test")
    recommender.fit(Sequences.of([[0, 1], [0, 1], [0, 2], [3]]), table, seed=0)
    with here.writing("recommend", "one") as out:
        save(recommender, table, out.folder)
        out.metrics({})
    built.judge("one")
    built.publish("one")
    return built
