"""The whole chain on Amazon Beauty with its own vectors, both tokenizers at 3 x 256."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from workspaces import make_workspace, sidmint

pytestmark = pytest.mark.slow

NUM_ITEMS = 12_101


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, beauty: Path) -> Path:
    root = make_workspace(tmp_path_factory.mktemp("chain") / "beauty")
    files = {
        "--items": "items.parquet",
        "--interactions": "interactions.parquet",
        "--vectors": "minilm_l6_v2.npy",
    }
    arguments = [text for option, name in files.items() for text in (option, str(beauty / name))]
    sidmint(root, "init", *arguments)
    sidmint(root, "run")
    return root


@pytest.mark.parametrize("tokenizer", ["rq_kmeans", "rq_vae"])
def test_it_passes_its_gate_and_its_numbers_are_in_reach(built: Path, tokenizer: str) -> None:
    """Entropy cannot pass ln N; every id is unique; ids keep most of what the vectors know."""
    metrics: dict[str, float] = {}
    for stage in ("assign", "diagnose", "evaluate"):
        path = built / "data/build" / stage / tokenizer / "metrics.json"
        metrics |= json.loads(path.read_text())
    assert metrics["num_items"] == NUM_ITEMS
    assert 9.1 < metrics["composition_entropy"] < math.log(NUM_ITEMS)
    assert metrics["resolved_collision_rate"] == 0
    assert metrics["hr_original_at_100"] > metrics["hr_at_100"] > 100 / NUM_ITEMS
    verdict = json.loads((built / "data/build/gate" / tokenizer / "verdict.json").read_text())
    assert verdict["passed"], verdict["blocked_by"]


def test_the_leader_is_published_and_verifies(built: Path) -> None:
    published = json.loads(sidmint(built, "publish", "--json"))
    assert published["manifest"]["num_items"] == NUM_ITEMS
    assert (built / "data/build/report/report.html").stat().st_size < 5_000_000
    sidmint(built, "verify")
