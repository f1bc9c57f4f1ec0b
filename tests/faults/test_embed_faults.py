"""Bad vectors and settings: the message names what is wrong, and nothing is half written."""

from __future__ import annotations

import sys

import numpy as np
import polars as pl
import pytest

from embed_world import ITEMS, catalogue, embed_params, put, random_vectors
from sidmint.errors import BadInput
from sidmint.stages.embed import embed

IDS = list("abcd")


def assert_refused(root, words, artifacts=None, **settings):
    artifacts = artifacts or catalogue(root)
    with pytest.raises(BadInput, match=words):
        embed(embed_params(**settings), artifacts)
    assert [path.name for path in (root / "data/build").iterdir()] == ["ingest"]


def assert_table_refused(root, words, frame):
    frame.write_parquet(put(root, "v.parquet"))
    assert_refused(root, words, encoder="precomputed", path="data/raw/v.parquet")


def assert_npy_refused(root, words, array, **ingest):
    put(root, "items.csv").write_text("item_id\na\nb\nc\nd\n")
    if isinstance(array, bytes):
        put(root, "v.npy").write_bytes(array)
    else:
        np.save(put(root, "v.npy"), array, allow_pickle=True)
    ingest = {"source": "table", "items": "data/raw/items.csv", **ingest}
    assert_refused(root, words, encoder="precomputed", path="data/raw/v.npy", ingest=ingest)


def lists(vectors, ids=IDS):
    return pl.DataFrame({"item_id": ids, "vector": [list(map(float, v)) for v in vectors]})


def spoiled(row, value):
    vectors = random_vectors()
    vectors[row] = value
    return vectors


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_vector_with_nan_or_infinity_names_its_item(tmp_path, value):
    assert_table_refused(
        tmp_path, "v.parquet: the vector of item c holds NaN", lists(spoiled(2, value))
    )


def test_a_null_inside_a_vector_names_its_item(tmp_path):
    frame = pl.DataFrame({"item_id": IDS, "vector": [[1.0, 2], [None, 1], [2, 2], [3, 1]]})
    assert_table_refused(tmp_path, "item b holds NaN", frame)


def test_a_zero_vector_names_its_item(tmp_path):
    assert_table_refused(tmp_path, "item d is zero", lists(spoiled(3, 0.0)))


def test_constant_vectors_are_refused(tmp_path):
    assert_table_refused(tmp_path, "all 4 items have the same", lists(np.ones((4, 3))))


def test_items_without_a_vector_are_counted_and_one_is_named(tmp_path):
    frame = lists(random_vectors(2), ["d", "a"])
    assert_table_refused(tmp_path, "no vector for 2 of 4 items, the first of them b", frame)


def test_two_vectors_of_one_item_are_refused(tmp_path):
    frame = lists(random_vectors(5), [*IDS, "b"])
    assert_table_refused(tmp_path, "two vectors for item b", frame)


def test_vectors_of_unequal_length_name_the_odd_one(tmp_path):
    vectors = [[1, 2, 3], [1, 2], [3, 2, 1], [2, 2, 2]]
    assert_table_refused(tmp_path, "item b has 2 dimensions where others have 3", lists(vectors))


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (pl.DataFrame({"id": IDS, "v": [1.0] * 4}), "lacks the column item_id; it has id, v"),
        (pl.DataFrame({"item_id": IDS}), "it also has nothing"),
        (pl.DataFrame({"item_id": IDS, "v": [1.0] * 4, "title": IDS}), "it also has title"),
        (pl.DataFrame({"item_id": IDS, "v": [["x"]] * 4}), "wants lists of numbers"),
        (lists(random_vectors()).with_columns(w=pl.col("vector")), "several columns of lists"),
        (pl.DataFrame({"item_id": ["a", None], "v": [1.0, 2]}), "row 2 has no item_id"),
    ],
)
def test_a_table_of_another_form_is_refused(tmp_path, frame, words):
    assert_table_refused(tmp_path, words, frame)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (random_vectors(3), "v.npy has 3 rows and data/raw/items.csv has 4"),
        (random_vectors(4)[:, 0], r"shape \(4,\)"),
        (random_vectors(4).reshape(4, 2, 3), r"shape \(4, 2, 3\)"),
        (random_vectors(4).astype(np.complex64), "complex64"),
        (np.array([[{}], [1], [2], [3]], dtype=object), "without Python objects"),
        (b"", "is no .npy file"),
        (b"item_id,vector\n", "is no .npy file"),
        (spoiled(1, np.nan), "item b holds NaN"),
    ],
)
def test_an_npy_file_of_another_form_is_refused(tmp_path, array, words):
    assert_npy_refused(tmp_path, words, array)


def test_npy_rows_need_an_items_file_to_follow(tmp_path):
    assert_npy_refused(tmp_path, "ingest.source is synthetic", random_vectors(), source="synthetic")


def test_npy_rows_need_the_id_column_of_that_file(tmp_path):
    assert_npy_refused(
        tmp_path, "lacks the column 'asin'", random_vectors(), columns={"item_id": "asin"}
    )


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("data/raw/none.npy", "is not there"),
        ("../v.npy", "outside the workspace"),
        ("/etc/hostname", "outside the workspace"),
        ("data/raw/v.txt", "known format"),
    ],
)
def test_a_path_that_leads_to_no_vectors_is_refused(tmp_path, path, words):
    put(tmp_path, "v.txt").touch()
    assert_refused(tmp_path, words, encoder="precomputed", path=path)


def test_a_second_vector_must_cover_every_item(tmp_path):
    lists(random_vectors(3), ["a", "b", "c"]).write_parquet(put(tmp_path, "image.parquet"))
    words = "image.parquet has no vector for 1 of 4 items, the first of them d"
    assert_refused(tmp_path, words, second={"path": "data/raw/image.parquet"})


def test_an_item_without_text_is_named(tmp_path):
    artifacts = catalogue(tmp_path, {**ITEMS, "title": ["x", "y", None, "z"]})
    assert_refused(tmp_path, "item c has no text", artifacts, template="{title}. {categories}")


def test_a_template_with_an_unknown_column_names_those_there(tmp_path):
    words = "'maker'.*item_id, title, brand, categories"
    assert_refused(tmp_path, words, template="{title} {maker}")


@pytest.mark.parametrize("settings", [{"encoder": "precomputed"}, {"path": "data/raw/v.npy"}])
def test_a_path_goes_with_precomputed_alone(settings):
    with pytest.raises(BadInput, match="precomputed wants a path"):
        embed_params(**settings)


def test_an_encoder_that_is_not_installed_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    words = r"pip install 'sidmint\[sentence-transformers\]'"
    assert_refused(tmp_path, words, encoder="sentence_transformer")


@pytest.mark.slow
def test_a_model_that_cannot_be_reached_is_named(tmp_path):
    pytest.importorskip("sentence_transformers")
    words = "embed.model 'nobody/no-such-model' cannot be loaded"
    assert_refused(tmp_path, words, encoder="sentence_transformer", model="nobody/no-such-model")
