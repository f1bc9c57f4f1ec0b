"""Stage embed: what it reads, what it writes, and whose row is whose."""

from __future__ import annotations

import hashlib
import shutil

import faiss
import numpy as np
import polars as pl
import pytest

from embed_world import ITEMS, catalogue, embed_params, put, random_vectors
from sidmint.artifacts import Artifacts
from sidmint.layout import Layout
from sidmint.stages.embed import embed

TABLE = {"source": "table", "items": "data/raw/items.csv", "columns": {"item_id": "asin"}}


def files_of(root):
    return {path.name: path.read_bytes() for path in (root / "data/build/embed").iterdir()}


def test_writes_unit_vectors_in_float16_row_by_row(tmp_path):
    artifacts = catalogue(tmp_path)
    outcome = embed(embed_params(batch_size=2), artifacts)
    vectors, summary = artifacts.array("embed", "embeddings"), artifacts.json("embed", "embed")
    assert sorted(files_of(tmp_path)) == ["embed.json", "embeddings.npy", "neighbours.faiss"]
    assert (vectors.dtype, vectors.shape) == (np.float16, (4, 256))
    np.testing.assert_allclose(np.linalg.norm(vectors.astype(np.float32), axis=1), 1, atol=1e-3)
    assert summary["sha256"] == hashlib.sha256(vectors.tobytes()).hexdigest()
    assert summary["encoder"] == "wordllama"
    assert (summary["num_items"], summary["dim"], summary["unit_norm"]) == (4, 256, True)
    assert summary["norms"]["min"] < summary["norms"]["max"]
    assert "4 vectors of 256 dimensions" in outcome.headline


def test_items_with_equal_text_are_counted_as_duplicates(tmp_path):
    artifacts = catalogue(tmp_path, {**ITEMS, "title": ["Desk"] * 4, "brand": ["Acme"] * 4})
    embed(embed_params(template="{title}. {categories}"), artifacts)
    # "Desk. Office > Desks" twice, "Desk", "Desk. Office > Staplers"
    assert artifacts.json("embed", "embed")["num_exact_duplicates"] == 1


def test_twice_gives_the_same_bytes(tmp_path):
    artifacts = catalogue(tmp_path)
    embed(embed_params(), artifacts)
    first = files_of(tmp_path)
    embed(embed_params(), artifacts)
    assert files_of(tmp_path) == first


def test_reordering_the_items_reorders_the_vectors_and_nothing_else(tmp_path):
    order = [2, 0, 3, 1]
    one = catalogue(tmp_path / "one")
    two = catalogue(tmp_path / "two", {k: [v[n] for n in order] for k, v in ITEMS.items()})
    embed(embed_params(), one)
    embed(embed_params(), two)
    np.testing.assert_array_equal(
        two.array("embed", "embeddings"), one.array("embed", "embeddings")[order]
    )


def test_without_unit_norm_the_headline_warns_of_norms_that_follow_length(tmp_path):
    titles = ["desk", "desk lamp oak", "desk lamp oak red steel tall", "desk lamp oak red " * 9]
    artifacts = catalogue(tmp_path, {**ITEMS, "title": titles})
    outcome = embed(embed_params(unit_norm=False, template="{title}"), artifacts)
    assert "follows the length" in outcome.headline
    norms = np.linalg.norm(artifacts.array("embed", "embeddings").astype(np.float32), axis=1)
    np.testing.assert_allclose(
        norms.max(), artifacts.json("embed", "embed")["norms"]["max"], rtol=1e-3
    )


def test_the_index_answers_by_cosine_with_the_row_numbers_of_the_items(tmp_path):
    # On a circle at 0, 10, 30 and 180 degrees, and of different lengths.
    angles, lengths = np.deg2rad([0, 10, 30, 180]), np.array([[1], [100], [0.1], [10]])
    vectors = (np.stack([np.cos(angles), np.sin(angles)], axis=1) * lengths).astype(np.float32)
    ids = pl.Series("item_id", list("abcd"))
    frame = pl.DataFrame([ids, pl.Series("vector", vectors.tolist(), dtype=pl.List(pl.Float32))])
    frame[::-1].write_parquet(put(tmp_path, "vectors.parquet"))
    artifacts = catalogue(tmp_path)
    settings = {"encoder": "precomputed", "path": "data/raw/vectors.parquet", "unit_norm": False}
    embed(embed_params(**settings), artifacts)
    index = faiss.read_index(str(artifacts.folder("embed") / "neighbours.faiss"))
    cosines, rows = index.search(np.array([[1, 0]], dtype=np.float32), 4)
    assert rows.tolist() == [[0, 1, 2, 3]]
    np.testing.assert_allclose(cosines[0], np.cos(angles), atol=1e-3)


@pytest.mark.parametrize("form", ["lists", "arrays", "columns", "folder"])
def test_a_table_of_vectors_is_matched_by_id(tmp_path, form):
    artifacts, vectors = catalogue(tmp_path), random_vectors(5)
    ids = pl.Series("item_id", ["d", "c", "gone", "a", "b"])
    if form == "columns":
        frame = pl.DataFrame(vectors, schema=[f"v{n}" for n in range(6)]).with_columns(ids)
    else:
        dtype = pl.Array(pl.Float32, 6) if form == "arrays" else pl.List(pl.Float32)
        frame = pl.DataFrame([ids, pl.Series("vector", vectors.tolist(), dtype=dtype)])
    path = put(tmp_path, "vectors" if form == "folder" else "vectors.parquet")
    if form == "folder":
        path.mkdir()
        frame[:2].write_parquet(path / "part-0.parquet")
        frame[2:].write_parquet(path / "part-1.parquet")
    else:
        frame.write_parquet(path)
    embed(
        embed_params(encoder="precomputed", path=f"data/raw/{path.name}", unit_norm=False),
        artifacts,
    )
    np.testing.assert_array_equal(
        artifacts.array("embed", "embeddings"), vectors[[3, 4, 1, 0]].astype(np.float16)
    )
    assert artifacts.json("embed", "embed")["template"] is None


def test_rows_of_an_npy_file_follow_the_users_own_items_file(tmp_path):
    # The file has an item that ingest dropped, and another order than the catalogue.
    artifacts, vectors = catalogue(tmp_path), random_vectors(5)
    put(tmp_path, "items.csv").write_text("asin,name\nc,C\nx,X\na,A\nd,D\nb,B\n")
    np.save(put(tmp_path, "vectors.npy"), vectors)
    params = embed_params(
        encoder="precomputed", path="data/raw/vectors.npy", unit_norm=False, ingest=TABLE
    )
    embed(params, artifacts)
    np.testing.assert_array_equal(
        artifacts.array("embed", "embeddings"), vectors[[2, 4, 0, 3]].astype(np.float16)
    )


def test_precomputed_vectors_of_office_land_on_their_items(tmp_path, office):
    theirs = pl.read_parquet(office / "items.parquet")
    for name in ("items.parquet", "minilm_l6_v2.npy"):
        shutil.copyfile(office / name, put(tmp_path, name))
    kept = theirs.sort("item_id")[::2]  # as ingest: sorted by id, and filtered
    artifacts = Artifacts(Layout(tmp_path))
    with artifacts.writing("ingest") as out:
        out.table("items", kept)
    params = embed_params(
        encoder="precomputed",
        path="data/raw/minilm_l6_v2.npy",
        unit_norm=False,
        ingest={"source": "table", "items": "data/raw/items.parquet"},
    )
    embed(params, artifacts)
    vectors, theirs_rows = artifacts.array("embed", "embeddings"), theirs["item_id"].to_list()
    original = np.load(office / "minilm_l6_v2.npy")
    rows = [theirs_rows.index(item_id) for item_id in kept["item_id"]]
    np.testing.assert_array_equal(vectors, original[rows])


@pytest.mark.slow
def test_minilm_from_its_package_gives_the_vectors_shipped_with_office(tmp_path, office):
    everything = pl.read_parquet(office / "items.parquet").with_row_index("row")
    # Without a description: long texts were cut at another length when these were made.
    some = everything.filter(pl.col("description").is_null())[:40]
    artifacts = Artifacts(Layout(tmp_path))
    with artifacts.writing("ingest") as out:
        out.table("items", some)
    template = (
        "Title: {title}; Brand: {brand}; Categories: {categories}; Description: {description}"
    )
    embed(embed_params(encoder="sentence_transformer", template=template), artifacts)
    vectors = artifacts.array("embed", "embeddings").astype(np.float32)
    shipped = np.load(office / "minilm_l6_v2.npy")[some["row"].to_numpy()].astype(np.float32)
    assert np.sum(vectors * shipped, axis=1).min() > 0.999
    assert artifacts.json("embed", "embed")["dim"] == 384
