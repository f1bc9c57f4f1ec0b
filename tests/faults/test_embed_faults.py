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


def image(**settings):
    return {
        "text": {"encoder": "wordllama"},
        "image": {"path": "data/raw/image.parquet"} | settings,
    }


def assert_sources_refused(root, words, frame, **settings):
    frame.write_parquet(put(root, "image.parquet"))
    assert_refused(root, words, sources=image(**settings))


def test_a_source_must_cover_every_item(tmp_path):
    words = "image.parquet has no vector for 1 of 4 items, the first of them d"
    assert_sources_refused(tmp_path, words, lists(random_vectors(3), list("abc")))


@pytest.mark.parametrize("missing", ["refuse", "zeros", "mean"])
@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (lists(spoiled(2, np.nan)), "image.parquet.* the vector of item c holds NaN"),
        (lists(spoiled(1, 0.0)), "image.parquet.* the vector of item b is zero"),
        (lists(random_vectors(5), [*IDS, "b"]), "image.parquet has two vectors for item b"),
        (lists(np.ones((4, 3))), r"source image .* all 4 items have the same vector"),
        (lists(random_vectors(), list("wxyz")), "image.parquet has no vector for .*4 items"),
    ],
)
def test_a_source_with_a_bad_row_names_file_and_item(tmp_path, frame, words, missing):
    assert_sources_refused(tmp_path, words, frame, missing=missing)


def test_rows_of_an_npy_source_must_be_those_of_the_items_file(tmp_path):
    put(tmp_path, "items.csv").write_text("item_id\na\nb\nc\nd\n")
    np.save(put(tmp_path, "image.npy"), random_vectors(3))
    ingest = {"source": "table", "items": "data/raw/items.csv"}
    words = "image.npy has 3 rows and data/raw/items.csv has 4"
    assert_refused(tmp_path, words, sources=image(path="data/raw/image.npy"), ingest=ingest)


def test_a_source_whose_file_is_not_there_is_named(tmp_path):
    assert_refused(tmp_path, r"image.parquet is not there; .*embed\.sources", sources=image())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"pca": 7}, "source image has 6 dimensions, and pca wants 7; set 6 or fewer"),
        ({"whiten": True}, r"varies in 3 directions over 4 items, .* set pca: 3 or fewer"),
    ],
)
def test_more_directions_than_there_are_cannot_be_kept(tmp_path, settings, words):
    assert_sources_refused(tmp_path, words, lists(random_vectors()), **settings)


def test_an_item_that_no_source_knows_is_named(tmp_path):
    for name in ("one", "two"):
        table = lists(random_vectors(3, seed=len(name)), list("abd"))
        table.write_parquet(put(tmp_path, f"{name}.parquet"))
    sources = {
        name: {"path": f"data/raw/{name}.parquet", "missing": "zeros"} for name in ("one", "two")
    }
    assert_refused(tmp_path, "the joined sources: the vector of item c is zero", sources=sources)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"sources": {}}, "one source at least whose weight is above 0"),
        ({"sources": {"a": {"encoder": "wordllama", "weight": 0}}}, "weight is above 0"),
        ({"sources": {"a": {"encoder": "wordllama", "weight": -1}}}, "greater than or equal to 0"),
        ({"sources": {"a": {}}}, r"encoder \(it reads text\) or path"),
        ({"sources": {"a": {"encoder": "wordllama", "path": "x.npy"}}}, "one of two"),
        ({"sources": {"a": {"path": "x.npy", "template": "{title}"}}}, "take them out"),
        ({"sources": {"a": {"encoder": "wordllama", "model": "m"}}}, "take model out"),
        (
            {"sources": {"a": {"encoder": "wordllama", "missing": "mean"}}},
            "of a source with a path",
        ),
        ({"sources": {"a": {"path": "x.npy", "pca": 0}}}, "greater than or equal to 1"),
        ({"sources": {"../a": {"path": "x.npy"}}}, "wants a name of small letters"),
        ({"sources": {"joined": {"path": "x.npy"}}}, "'joined'.*is what the page calls"),
        ({"sources": {"a": {"path": "x.npy", "wieght": 2}}}, "sources.a.wieght.*weight"),
        (
            {"sources": {"a": {"path": "x.npy"}}, "encoder": "precomputed", "path": "y.npy"},
            "sources take the place of encoder and path",
        ),
        ({"second": {"path": "x.npy", "weight": 2}}, r"second: \{path: x.npy, weight: 2\}"),
    ],
)
def test_settings_of_sources_that_contradict_each_other_say_how_to_mend_them(settings, words):
    with pytest.raises(BadInput, match=words):
        embed_params(**settings)


def test_params_of_before_with_no_second_vector_hold_still():
    assert embed_params(second=None) == embed_params()


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
    words = "embed.model 'nobody/no-such-model' cannot be loaded"
    assert_refused(tmp_path, words, encoder="sentence_transformer", model="nobody/no-such-model")
