"""train and assign: what they read, what they write, and that twice gives the same bytes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import worlds
from sidmint.artifacts import Artifacts
from sidmint.contracts import describe_metric
from sidmint.errors import BadInput
from sidmint.execution.making import open_engine
from sidmint.layout import Layout
from sidmint.params import Params, parse_params
from sidmint.seeds import seed_for
from sidmint.semantic_ids import shared_codes
from sidmint.stages.assign import assign
from sidmint.stages.encoding_rows import encode_rows
from sidmint.stages.train import drawn_rows, fitted_rows, train
from sidmint.tokenizers import storage

NUM_ITEMS = 300
SETTINGS: dict[str, Any] = {
    "seed": 5,
    "train": {"tokenizers": ["rq_kmeans", "small"], "device": "cpu"},
    "tokenizers": {
        "rq_kmeans": {"sizes": [8, 64]},
        "small": {
            "type": "rq_vae",
            "sizes": [8, 8],
            "hidden": [16],
            "latent_dim": 4,
            "start_steps": 20,
            "steps": 20,
            "batch_size": 64,
        },
    },
}


def params(**changes: Any) -> Params:
    return parse_params({**SETTINGS, **changes}, "params.yaml")


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    """A workspace after ingest and embed: 300 items, every tenth cold, two pairs of twins."""
    here = Artifacts(Layout(tmp_path))
    vectors = worlds.smooth_items(NUM_ITEMS)
    vectors[1], vectors[11] = vectors[0], vectors[12]
    write_catalogue(here, vectors)
    return here


def write_catalogue(here: Artifacts, vectors: np.ndarray) -> None:
    rows = np.arange(len(vectors))
    items = {
        "item_id": [f"i{row:04d}" for row in rows],
        "title": [f"title {row}" for row in rows],
        "categories": ["a > b"] * len(rows),
        "cold": rows % 10 == 9,
        "num_train": np.where(rows % 10 == 9, 0, 3),
    }
    with here.writing("ingest") as out:
        out.table("items", pl.DataFrame(items))
    with here.writing("embed") as out:
        out.array("embeddings", vectors.astype(np.float16))


def bytes_of(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("name", ["rq_kmeans", "small"])
def test_train_and_assign_twice_give_the_same_bytes(artifacts: Artifacts, name: str) -> None:
    seen = []
    for _ in range(2):
        trained = train(params(), artifacts, name)
        assigned = assign(params(), artifacts, name)
        seen.append(
            {s: bytes_of(artifacts.folder(s, name)) for s in ("train", "assign")}
            | {"said": (trained, assigned)}
        )
    assert seen[0] == seen[1]
    assert set(seen[0]["train"]) == {
        "curve.parquet",
        "metrics.json",
        "tokenizer.json",
        "tokenizer.safetensors",
    }
    assert set(seen[0]["assign"]) == {
        "codes.parquet",
        "collisions.json",
        "metrics.json",
        "sids.parquet",
    }
    for metric in {**trained.metrics, **assigned.metrics}:
        describe_metric(metric)


def test_cold_items_are_not_seen_in_training(artifacts: Artifacts) -> None:
    train(params(), artifacts, "rq_kmeans")
    before = (artifacts.folder("train", "rq_kmeans") / storage.TENSORS).read_bytes()
    vectors = artifacts.embeddings().vectors.copy()
    vectors[9::10] += 7
    write_catalogue(artifacts, vectors)
    outcome = train(params(), artifacts, "rq_kmeans")
    assert (artifacts.folder("train", "rq_kmeans") / storage.TENSORS).read_bytes() == before
    described = artifacts.json("train", "tokenizer", "rq_kmeans")
    assert (described["fitted_on"], described["num_fitted_items"]) == ("warm", 270)
    assert "270 warm items" in outcome.headline
    changed = params(train={**SETTINGS["train"], "fit_on": "all"})
    train(changed, artifacts, "rq_kmeans")
    assert artifacts.json("train", "tokenizer", "rq_kmeans")["fitted_on"] == "all"
    assert (artifacts.folder("train", "rq_kmeans") / storage.TENSORS).read_bytes() != before


def test_a_fit_on_drawn_rows_reads_these_and_no_others(artifacts: Artifacts) -> None:
    def fit(fit_rows: int | None) -> tuple[bytes, str]:
        drawing = params(train={**SETTINGS["train"], "fit_rows": fit_rows})
        said = train(drawing, artifacts, "rq_kmeans").headline
        return (artifacts.folder("train", "rq_kmeans") / storage.TENSORS).read_bytes(), said

    whole, drawn = fit(None), fit(100)
    assert fit(270)[0] == fit(10**6)[0] == whole[0]
    assert drawn[0] != whole[0]
    assert "100 of 270 warm items" in drawn[1]
    fit(100)
    assert artifacts.json("train", "tokenizer", "rq_kmeans")["num_fitted_items"] == 100
    wanted = fitted_rows(artifacts, "warm")
    rows = drawn_rows(wanted, 100, seed_for(params().seed, "train", "rows"))
    assert rows.sum() == (rows & wanted).sum() == 100
    vectors = artifacts.embeddings().vectors.copy()
    vectors[~rows] += 7
    write_catalogue(artifacts, vectors)
    assert fit(100) == drawn
    vectors[np.flatnonzero(rows)[0]] += 7
    write_catalogue(artifacts, vectors)
    assert fit(100)[0] != drawn[0]


IN_PARTS = {"shard_rows": 90}


@pytest.mark.parametrize("policy", ["suffix", "reassign"])
@pytest.mark.parametrize("name", ["rq_kmeans", "small"])
def test_a_table_in_parts_says_what_the_table_in_one_file_says(
    artifacts: Artifacts, name: str, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolution = {"resolution": policy}
    train(params(), artifacts, name)
    expected = assign(params(assign=resolution), artifacts, name)
    files = bytes_of(artifacts.folder("assign", name))
    tables = {table: artifacts.table("assign", table, name) for table in ("codes", "sids")}
    monkeypatch.setattr("sidmint.stages.encoding_rows.ROWS_AT_ONCE", 37)
    found = assign(params(execution=IN_PARTS, assign=resolution), artifacts, name)
    assert found.headline == expected.headline
    assert found.metrics == pytest.approx(expected.metrics, rel=1e-12)
    for table, rows in tables.items():
        shards = artifacts.shards("assign", table, name)
        assert shards is not None
        assert [part.rows for part in shards.parts] == [90, 90, 90, 30]
        assert artifacts.table("assign", table, name).equals(rows)
    assert artifacts.codes("sids", name).tolist() == codes_of(tables["sids"])
    again = bytes_of(artifacts.folder("assign", name))
    assert {"codes.parquet", "sids.parquet"}.isdisjoint(again)
    assign(params(execution=IN_PARTS, assign=resolution), artifacts, name)
    assert bytes_of(artifacts.folder("assign", name)) == again
    assign(params(assign=resolution), artifacts, name)
    assert bytes_of(artifacts.folder("assign", name)) == files


def codes_of(table: pl.DataFrame) -> list[list[int]]:
    return table.select(pl.selectors.starts_with("code_")).to_numpy().tolist()


def test_a_run_goes_on_from_the_parts_of_codes_that_are_complete(
    artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sidmint.stages import assign_parts

    train(params(), artifacts, "rq_kmeans")
    assign(params(execution=IN_PARTS), artifacts, "rq_kmeans")
    expected = bytes_of(artifacts.folder("assign", "rq_kmeans"))
    encoded: list[int] = []

    def dying(task: Any) -> Any:
        encoded.append(task.start)
        if len(encoded) == 3:
            raise KeyboardInterrupt
        return encode_rows(task)

    monkeypatch.setattr(assign_parts, "encode_rows", dying)
    with pytest.raises(KeyboardInterrupt):
        assign(params(execution=IN_PARTS), artifacts, "rq_kmeans")
    assert bytes_of(artifacts.folder("assign", "rq_kmeans")) == expected
    assign(params(execution=IN_PARTS), artifacts, "rq_kmeans")
    assert encoded == [0, 90, 180, 180, 270]
    assert bytes_of(artifacts.folder("assign", "rq_kmeans")) == expected


def test_parts_of_other_vectors_are_not_taken_for_complete(
    artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(params(), artifacts, "rq_kmeans")
    with monkeypatch.context() as patch:
        patch.setattr("sidmint.stages.assign_parts.resolve_shards_by_suffix", failing)
        with pytest.raises(RuntimeError):
            assign(params(execution=IN_PARTS), artifacts, "rq_kmeans")
    vectors = artifacts.embeddings().vectors.copy()
    vectors[100] = -vectors[100]
    write_catalogue(artifacts, vectors)
    assign(params(), artifacts, "rq_kmeans")
    expected = artifacts.codes("codes", "rq_kmeans")
    assign(params(execution=IN_PARTS), artifacts, "rq_kmeans")
    assert np.array_equal(artifacts.codes("codes", "rq_kmeans"), expected)


def failing(*_: Any, **__: Any) -> None:
    raise RuntimeError


def test_sinkhorn_in_parts_is_refused_with_the_way_out(artifacts: Artifacts) -> None:
    train(params(), artifacts, "rq_kmeans")
    settings = params(execution=IN_PARTS, assign={"resolution": "sinkhorn"})
    with pytest.raises(BadInput, match="sinkhorn wants all 300 items in memory"):
        assign(settings, artifacts, "rq_kmeans")
    assert not artifacts.layout.stage("assign", "rq_kmeans").exists()


def test_a_part_that_is_missing_is_named(artifacts: Artifacts) -> None:
    train(params(), artifacts, "rq_kmeans")
    assign(params(execution=IN_PARTS), artifacts, "rq_kmeans")
    (artifacts.folder("assign", "rq_kmeans") / "codes" / "part-00002.parquet").unlink()
    with pytest.raises(BadInput, match=r"part-00002\.parquet"):
        artifacts.codes("codes", "rq_kmeans")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", "ray"])
def test_an_engine_of_processes_gives_the_same_bytes(artifacts: Artifacts, engine: str) -> None:
    execution = {"engine": engine, "workers": 2, "shard_rows": 64}
    train(params(), artifacts, "rq_kmeans")
    assign(params(execution=execution), artifacts, "rq_kmeans")
    expected = bytes_of(artifacts.folder("assign", "rq_kmeans"))
    with open_engine(params(execution=execution).execution) as opened:
        shutil.rmtree(artifacts.folder("assign", "rq_kmeans"))
        assign(params(execution=execution), artifacts, "rq_kmeans", engine=opened)
    assert bytes_of(artifacts.folder("assign", "rq_kmeans")) == expected


def test_a_shard_that_does_not_fit_the_memory_is_refused(artifacts: Artifacts) -> None:
    train(params(), artifacts, "rq_kmeans")
    little = params(execution={"memory_gb": 0.1})
    with (
        open_engine(little.execution) as engine,
        pytest.raises(BadInput, match=r"encoding wants 0\.5 GB for one shard"),
    ):
        assign(little, artifacts, "rq_kmeans", engine=engine)
    assert not (artifacts.layout.stage("assign", "rq_kmeans")).exists()


@pytest.mark.parametrize("policy", ["suffix", "reassign", "sinkhorn"])
def test_assign_publishes_one_id_an_item(artifacts: Artifacts, policy: str) -> None:
    train(params(), artifacts, "rq_kmeans")
    outcome = assign(params(assign={"resolution": policy}), artifacts, "rq_kmeans")
    table = artifacts.table("assign", "sids", "rq_kmeans")
    codes = artifacts.table("assign", "codes", "rq_kmeans").drop("item_id").to_numpy()
    assert table["item_id"].to_list() == artifacts.items()["item_id"].to_list()
    assert table["semantic_id"].is_unique().all()
    shared = shared_codes(codes)
    assert outcome.metrics["num_items"] == NUM_ITEMS
    assert outcome.metrics["num_null_ids"] == 0
    assert outcome.metrics["collision_rate"] == pytest.approx(
        1 - len(np.unique(codes, axis=0)) / 300
    )
    assert outcome.metrics["collided_item_rate"] == shared.num_collided_items / NUM_ITEMS
    assert outcome.metrics["resolved_collision_rate"] == 0
    report = artifacts.json("assign", "collisions", "rq_kmeans")
    assert report["before"]["num_distinct_codes"] == shared.num_distinct_codes
    assert report["after"]["num_distinct_codes"] == NUM_ITEMS
    if policy == "suffix":
        assert outcome.metrics["suffixed_item_rate"] == outcome.metrics["collided_item_rate"] > 0
        assert outcome.metrics["moved_item_rate"] == outcome.metrics["added_distortion"] == 0
    else:
        assert report["moves"] == round(outcome.metrics["moved_item_rate"] * NUM_ITEMS) > 0
        assert outcome.metrics["added_distortion"] > 0
        assert "moved" in outcome.headline


def test_added_distortion_is_what_the_moves_cost(artifacts: Artifacts) -> None:
    train(params(), artifacts, "rq_kmeans")
    outcome = assign(params(assign={"resolution": "reassign"}), artifacts, "rq_kmeans")
    model = storage.load(artifacts.folder("train", "rq_kmeans"))
    latent = model.latent(artifacts.embeddings().vectors).astype(np.float64)
    errors = [
        ((latent - model.codebooks().decode(artifacts.codes(name, "rq_kmeans"))) ** 2).sum(axis=1)
        for name in ("codes", "sids")
    ]
    added = float((errors[1] - errors[0]).mean())
    assert outcome.metrics["added_distortion"] == pytest.approx(added, rel=1e-5)


def test_a_bad_vector_is_named_by_its_item_and_nothing_is_written(artifacts: Artifacts) -> None:
    vectors = artifacts.embeddings().vectors.copy()
    vectors[42, 0] = np.nan
    write_catalogue(artifacts, vectors)
    with pytest.raises(BadInput, match="the vector of item 'i0042' holds NaN"):
        train(params(), artifacts, "rq_kmeans")
    assert not artifacts.layout.stage("train", "rq_kmeans").exists()


def test_fewer_items_than_codes_names_the_settings(artifacts: Artifacts) -> None:
    large = {"rq_kmeans": {"sizes": [512, 8]}}
    message = (
        r"level 0 has 512 codes but only 26\d distinct items to fit; "
        r"lower tokenizers\.rq_kmeans\.sizes\[0\] or ingest\.min_interactions"
    )
    with pytest.raises(BadInput, match=message):
        train(params(tokenizers=large), artifacts, "rq_kmeans")


def test_embeddings_of_another_dimension_are_refused_by_assign(artifacts: Artifacts) -> None:
    train(params(), artifacts, "rq_kmeans")
    write_catalogue(artifacts, worlds.smooth_items(NUM_ITEMS, 20))
    with pytest.raises(BadInput, match="24 dimensions, these have 20"):
        assign(params(), artifacts, "rq_kmeans")
    assert not artifacts.layout.stage("assign", "rq_kmeans").exists()


@pytest.mark.parametrize("damage", ["bytes", "missing", "version", "json"])
def test_a_damaged_tokenizer_is_refused(artifacts: Artifacts, damage: str) -> None:
    train(params(), artifacts, "rq_kmeans")
    folder = artifacts.folder("train", "rq_kmeans")
    tensors, description = folder / storage.TENSORS, folder / storage.DESCRIPTION
    if damage == "bytes":
        tensors.write_bytes(tensors.read_bytes()[:-1] + b"x")
    elif damage == "missing":
        tensors.unlink()
    elif damage == "version":
        text = description.read_text().replace('"format_version": 1', '"format_version": 99')
        description.write_text(text)
    else:
        description.write_text("{")
    with pytest.raises(BadInput, match=str(folder)):
        storage.load(folder)


def test_category_codes_the_column_of_the_items(artifacts: Artifacts) -> None:
    settings = {
        "train": {"tokenizers": ["category"], "device": "cpu"},
        "tokenizers": {"category": {"sizes": [4, 4, 4]}},
    }
    train(params(**settings), artifacts, "category")
    outcome = assign(params(**settings), artifacts, "category")
    codes = artifacts.table("assign", "codes", "category")
    assert codes.select("code_1", "code_2", "code_3").unique().rows() == [(1, 1, 0)]
    suffixes = artifacts.table("assign", "sids", "category")["suffix"]
    assert suffixes.to_list() == list(range(NUM_ITEMS))  # the counter, in the order of item ids
    assert outcome.metrics["num_distinct_codes"] == 1


def test_category_without_the_column_names_the_way_out(artifacts: Artifacts) -> None:
    items = artifacts.items().drop("categories")
    with artifacts.writing("ingest") as out:
        out.table("items", items)
    settings = {"train": {"tokenizers": ["category"]}, "tokenizers": {"category": {}}}
    with pytest.raises(BadInput, match=r"no column categories; map one under ingest\.columns"):
        train(params(**settings), artifacts, "category")


def test_what_the_codes_hide_is_said_in_the_headline(artifacts: Artifacts) -> None:
    vectors = artifacts.embeddings().vectors
    write_catalogue(artifacts, vectors)
    items = artifacts.items().with_columns(categories=pl.format("c{}", pl.int_range(pl.len())))
    with artifacts.writing("ingest") as out:
        out.table("items", items)
    settings = {"tokenizers": {"category": {"sizes": [8, 8]}}}
    outcome = train(params(**settings), artifacts, "category")
    assert "264 of 270 share the last code" in outcome.headline


def test_items_that_sinkhorn_cannot_tell_apart_get_suffixes(artifacts: Artifacts) -> None:
    train(params(), artifacts, "rq_kmeans")
    outcome = assign(params(assign={"resolution": "sinkhorn"}), artifacts, "rq_kmeans")
    assert "moved; " in outcome.headline
    assert "still share a code and got suffixes" in outcome.headline  # the two pairs of twins
    assert outcome.metrics["suffixed_item_rate"] >= 4 / NUM_ITEMS


def test_sinkhorn_does_not_depend_on_the_order_of_rows(artifacts: Artifacts) -> None:
    chosen = params(assign={"resolution": "sinkhorn"})
    train(chosen, artifacts, "rq_kmeans")
    assign(chosen, artifacts, "rq_kmeans")
    before = artifacts.table("assign", "sids", "rq_kmeans").sort("item_id")
    order = np.random.default_rng(0).permutation(NUM_ITEMS)
    items, vectors = artifacts.items()[order], artifacts.array("embed", "embeddings")[order]
    with artifacts.writing("ingest") as out:
        out.table("items", items)
    with artifacts.writing("embed") as out:
        out.array("embeddings", vectors)
    assign(chosen, artifacts, "rq_kmeans")
    assert artifacts.table("assign", "sids", "rq_kmeans").sort("item_id").equals(before)


def test_sinkhorn_settings_want_their_resolution() -> None:
    with pytest.raises(BadInput, match="resolution suffix makes no use of sinkhorn"):
        params(assign={"sinkhorn": {"epsilon": 0.1}})
