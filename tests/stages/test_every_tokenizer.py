"""Naming a tokenizer in params.yaml is all it takes: every one runs from items to a verdict."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sidmint.adapters.gx_catalogue import check_catalogue
from sidmint.adapters.gx_gate import judge
from sidmint.artifacts import Artifacts
from sidmint.contracts import SemanticIds
from sidmint.layout import Layout
from sidmint.params import Params, parse_params
from sidmint.stages.assign import assign
from sidmint.stages.diagnose import diagnose
from sidmint.stages.embed import embed
from sidmint.stages.evaluate import evaluate
from sidmint.stages.gate import gate
from sidmint.stages.ingest import ingest
from sidmint.stages.pairs import pairs
from sidmint.stages.recommend import CHAMPION, check_recommender, recommend
from sidmint.stages.segments import segments
from sidmint.stages.train import check_settings, train
from sidmint.tokenizers import TOKENIZERS
from tokenizer_settings import SETTINGS
from workspaces import NO_CHAMPION

NUM_ITEMS = 400
PARAMS = {
    "seed": 3,
    "ingest": {"synthetic": {"num_items": NUM_ITEMS, "num_users": 800}, "min_interactions": 3},
    "embed": {"collaborative": "data/raw/collaborative.parquet"},
    "train": {"tokenizers": list(SETTINGS), "device": "cpu"},
    "tokenizers": SETTINGS,
    "recommend": {
        "seeds": 1,
        "settings": {"width": 16, "hidden": 16, "heads": 2, "layers": 1, "epochs": 1, "beam": 20},
    },
}


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> tuple[Params, Artifacts]:
    """A built-in catalogue after ingest, embed and pairs."""
    params = parse_params(PARAMS, "params.yaml")
    here = Artifacts(Layout(Path(tmp_path_factory.mktemp("catalogue"))))
    check_settings(params)
    check_recommender(params)
    here.layout.champion.parent.mkdir(parents=True, exist_ok=True)
    here.layout.champion.write_text(json.dumps(NO_CHAMPION), encoding="utf-8")
    ingest(params, here, check_catalogue)
    write_collaborative(here)
    embed(params, here)
    pairs(params, here)
    recommend(params, here, CHAMPION)
    return params, here


def write_collaborative(here: Artifacts) -> None:
    """Vectors by item id, as a recommender might have them; none for some items."""
    rng = np.random.default_rng(0)
    known = here.items()["item_id"].to_list()[5:]
    vectors = rng.normal(size=(len(known), 12)).astype(np.float32)
    path = here.layout.root / "data" / "raw" / "collaborative.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame({"item_id": known, "vector": vectors.tolist()}).write_parquet(path)


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_it_runs_from_items_to_a_verdict(catalogue: tuple[Params, Artifacts], name: str) -> None:
    params, here = catalogue
    train(params, here, name)
    for stage in (assign, diagnose, evaluate, recommend, segments):
        stage(params, here, name)
    gate(params, here, name, judge)
    ids = here.table("assign", "sids", name)
    assert ids[SemanticIds.SEMANTIC_ID].n_unique() == ids.height > 0.8 * NUM_ITEMS
    used = here.metrics("recommend", name)
    assert 0 < used["recommend_hr_at_20"] <= 1
    assert used["num_recommend_cases"] > 100
    measured = here.metrics("diagnose", name)
    assert ("own_overlap_rate_3" in measured) == (
        params.tokenizers[name].get("type", name) == "rq_gmm"
    )
    verdict = here.layout.build / "gate" / name / "verdict.json"
    assert '"passed"' in verdict.read_text(encoding="utf-8")


def test_no_registered_tokenizer_is_left_out() -> None:
    assert {settings.get("type", name) for name, settings in SETTINGS.items()} == set(TOKENIZERS)
