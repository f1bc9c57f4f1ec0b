"""The whole chain on 60,000 items in 8 shards: the same bytes on every engine, and published."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from scale import TOKENIZER, make_workspace
from stage_processes import measure

import sidmint
from chain import commands
from sidmint.artifacts import Artifacts
from sidmint.layout import Layout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

NUM_ITEMS, SHARD_ROWS = 60_000, 7_500


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A published workspace an engine."""
    roots = {}
    for engine in ("local", "ray"):
        root = tmp_path_factory.mktemp(engine) / "workspace"
        make_workspace(root, NUM_ITEMS, engine, 2, SHARD_ROWS, num_dimensions=32, size=64)
        for command in [*commands([TOKENIZER]), ["publish", "--tokenizer", TOKENIZER]]:
            measure(root, command)
        roots[engine] = root
    return roots


def files_of(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_both_engines_build_the_same_bytes(built: dict[str, Path]) -> None:
    local, ray = (files_of(root / "data" / "build") for root in built.values())
    assert sorted(local) == sorted(ray)
    assert [name for name in local if local[name] != ray[name]] == []


def test_every_table_of_items_lies_in_eight_parts(built: dict[str, Path]) -> None:
    here = Artifacts(Layout(built["local"]))
    tables = [("ingest", "items", None), ("assign", "codes", TOKENIZER)]
    for stage, name, tokenizer in [*tables, ("assign", "sids", TOKENIZER)]:
        shards = here.shards(stage, name, tokenizer)
        assert shards is not None
        assert [part.rows for part in shards.parts] == [SHARD_ROWS] * 8
    log = here.shards("ingest", "interactions")
    assert log is not None
    assert len(log.parts) > 1


def test_the_release_answers_by_item_and_by_id(built: dict[str, Path]) -> None:
    wanted = Artifacts(Layout(built["local"])).table("assign", "sids", TOKENIZER).sample(50, seed=1)
    for root in built.values():
        table = sidmint.load(next((root / "registry").iterdir()))
        ids = table.semantic_ids(wanted["item_id"].to_list())
        assert ids.to_list() == wanted["semantic_id"].to_list()


def test_ids_are_unique_and_the_release_verifies(built: dict[str, Path]) -> None:
    here = Artifacts(Layout(built["ray"]))
    assert (
        here.scan("assign", "sids", TOKENIZER)
        .select(pl.col("semantic_id").n_unique())
        .collect()
        .item()
        == NUM_ITEMS
    )
    said = json.loads((here.folder("gate", TOKENIZER) / "verdict.json").read_text())
    assert said["passed"]
    measure(built["ray"], ["verify"])
