"""Several named vectors an item: joined by embed, judged, published, and made of new items."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file

import sidmint
from embed_world import catalogue, embed_params, put
from served_world import ITEM_IDS, TITLES, served_world
from sidmint.adapters.mlflow_files import read_files, reader_of_texts, write_files
from sidmint.errors import BadInput, Refused
from sidmint.layout import Layout
from sidmint.neighbours import load_index
from sidmint.publishing.arrivals import read_arrivals, sort_out
from sidmint.reporting.sources import sources_table, sources_words
from sidmint.sources.bring_in import Sources, bring_in
from sidmint.sources.new_items import NewItems
from sidmint.sources.vectors import files_by_source
from sidmint.stages.embed import embed
from sources_world import (
    IMAGE_PATH,
    SOURCES,
    WITHOUT_BEHAVIOUR,
    behaviours,
    images,
    put_sources,
    sources_params,
    sources_world,
)

NUM = len(ITEM_IDS)
FEW = [0, 3, 7, 12]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return sources_world(tmp_path_factory.mktemp("sources") / "w")


def embedded(root, sources=None, **settings):
    artifacts = catalogue(root, {"item_id": ITEM_IDS, "title": TITLES})
    put_sources(root)
    outcome = embed(sources_params(sources, **settings), artifacts)
    return artifacts, outcome


def stored(artifacts):
    return artifacts.array("embed", "embeddings").astype(np.float32)


def files_of(artifacts):
    return {path.name: path.read_bytes() for path in artifacts.folder("embed").iterdir()}


def test_parts_stand_side_by_side_in_the_order_of_their_names(tmp_path):
    artifacts, outcome = embedded(tmp_path, unit_norm=False)
    vectors = stored(artifacts)
    assert vectors.shape == (NUM, 6 + 3 + 256)
    norms = [np.linalg.norm(vectors[:, a:b], axis=1) for a, b in ((0, 6), (6, 9), (9, 265))]
    known = NUM - len(WITHOUT_BEHAVIOUR)
    np.testing.assert_allclose(norms[0][:known], 0.25, rtol=2e-3)
    np.testing.assert_allclose(norms[1], 0.5, rtol=2e-3)
    np.testing.assert_allclose(norms[2], 1.0, rtol=2e-3)
    wanted = "behaviour (data/raw/behaviour.parquet), image (data/raw/image.parquet), text (wordll"
    assert wanted in outcome.headline


def test_an_item_without_a_vector_gets_the_mean_of_the_parts(tmp_path):
    artifacts, _ = embedded(tmp_path, unit_norm=False)
    parts = stored(artifacts)[:, :6]
    known = NUM - len(WITHOUT_BEHAVIOUR)
    np.testing.assert_allclose(
        parts[known:], np.tile(parts[:known].mean(axis=0), (4, 1)), atol=1e-3
    )
    described = artifacts.json("embed", "embed")["sources"]["behaviour"]
    assert (described["num_items"], described["missing"]) == (known, "mean")


def test_or_a_part_of_zeros_and_its_similarity_rests_on_the_other_sources(tmp_path):
    behaviour = SOURCES["behaviour"] | {"missing": "zeros"}
    artifacts, _ = embedded(tmp_path, SOURCES | {"behaviour": behaviour})
    without = {name: each for name, each in SOURCES.items() if name != "behaviour"}
    other, _ = embedded(tmp_path / "other", without)
    known = NUM - len(WITHOUT_BEHAVIOUR)
    vectors = stored(artifacts)[known:]
    assert not vectors[:, :6].any()
    np.testing.assert_allclose(vectors[:, 6:], stored(other)[known:], atol=1e-3)


def test_weight_0_gives_the_bytes_of_a_catalogue_without_the_source(tmp_path):
    image = SOURCES["image"] | {"weight": 0}
    artifacts, _ = embedded(tmp_path, SOURCES | {"image": image})
    without = {name: each for name, each in SOURCES.items() if name != "image"}
    other, _ = embedded(tmp_path / "other", without)
    for name in ("embeddings.npy", "neighbours.faiss", "sources.safetensors"):
        assert files_of(artifacts)[name] == files_of(other)[name], name
    assert artifacts.table("embed", "sources")["source"].unique().sort().to_list() == [
        *("behaviour", "image", "joined", "text"),
    ]


def test_two_unit_sources_have_the_say_that_their_weights_give(tmp_path):
    two = {"first": {"encoder": "wordllama"}, "second": {"path": IMAGE_PATH, "weight": 2.0}}
    artifacts, _ = embedded(tmp_path, two)
    alone = catalogue(tmp_path / "alone", {"item_id": ITEM_IDS, "title": TITLES})
    embed(embed_params(template="{title}."), alone)
    text, pictures = stored(alone), images(NUM)
    pictures /= np.linalg.norm(pictures, axis=1, keepdims=True)
    wanted = (text @ text.T + 4 * (pictures @ pictures.T)) / 5
    np.testing.assert_allclose(stored(artifacts) @ stored(artifacts).T, wanted, atol=2e-3)


def test_files_in_another_order_and_with_other_items_too_give_the_same_bytes(tmp_path):
    artifacts, _ = embedded(tmp_path)
    before = files_of(artifacts)
    for name in ("image", "behaviour"):
        file = put(tmp_path, f"{name}.parquet")
        table = pl.read_parquet(file).sample(fraction=1, shuffle=True, seed=3)
        stranger = table[:1].with_columns(pl.lit("a stranger").alias("item_id"))
        pl.concat([stranger, table]).write_parquet(file)
    named = dict(reversed(SOURCES.items()))
    embed(sources_params(named), artifacts)
    assert files_of(artifacts) == before


def test_reordering_the_items_reorders_the_vectors(tmp_path):
    artifacts, _ = embedded(tmp_path)
    order = np.random.default_rng(1).permutation(NUM)
    shuffled = {"item_id": [ITEM_IDS[n] for n in order], "title": [TITLES[n] for n in order]}
    other = catalogue(tmp_path / "other", shuffled)
    put_sources(tmp_path / "other")
    embed(sources_params(), other)
    np.testing.assert_allclose(stored(other), stored(artifacts)[order], atol=2e-3)


def test_the_table_of_geometry_has_each_source_and_the_joined_vectors_before_and_after(tmp_path):
    artifacts, _ = embedded(tmp_path)
    table = artifacts.table("embed", "sources")
    assert table.select("source", "state").rows() == [
        (name, state)
        for name in ("behaviour", "image", "text", "joined")
        for state in ("before", "after")
    ]
    found = {(row["source"], row["state"]): row for row in table.iter_rows(named=True)}
    # Pictures share a large mean: one direction before, three even ones afterwards.
    assert found["image", "before"]["mean_cosine"] > 0.8
    assert abs(found["image", "after"]["mean_cosine"]) < 0.1
    assert found["image", "after"]["effective_rank"] > 2.5
    assert found["image", "after"]["dimensions"] == 3
    assert found["behaviour", "before"]["num_items"] == NUM - len(WITHOUT_BEHAVIOUR)
    assert found["joined", "before"]["dimensions"] == 6 + 8 + 256
    assert found["joined", "after"]["dimensions"] == 6 + 3 + 256


def test_the_page_words_that_table_with_a_row_a_source_and_state(tmp_path):
    artifacts, _ = embedded(tmp_path)
    measured = artifacts.table("embed", "sources")
    table = sources_table(measured)
    assert [row[0] for row in table.rows][:3] == [
        *("behaviour, before", "behaviour, after", "image, before"),
    ]
    assert all(len(row) == len(table.heads) == 9 for row in table.rows)
    assert "joined from behaviour, image, text. Side by side" in sources_words(measured)


def test_a_release_holds_what_was_fitted_and_says_of_what(built):
    release = built.store.release()
    described = release.manifest["neighbours"]["encoder"]
    assert described["name"] == "sources"
    assert sorted(described["sources"]) == ["behaviour", "image", "text"]
    tensors = load_file(release.intact_file("sources.safetensors"))
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    assert shapes == {"behaviour.filler": (6,), "image.axes": (8, 3), "image.mean": (8,)}


def test_the_gate_judges_what_was_fitted(tmp_path):
    built = sources_world(tmp_path / "w")
    verdict = json.loads((built.layout.stage("gate", "one") / "verdict.json").read_text())
    assert "embed/sources.safetensors" in json.dumps(verdict)
    file = built.artifacts.folder("embed") / "sources.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\1")
    with pytest.raises(Refused, match=r"embed/sources\.safetensors has other bytes"):
        built.publish("one")


def published_codes(built, rows):
    table = pl.read_parquet(built.artifacts.folder("assign", "one") / "codes.parquet")
    return table[rows].select(r"^code_\d+$").to_numpy()


def said(rows):
    return {
        "text": [f"{TITLES[row]}." for row in rows],
        "image": images(NUM)[rows],
        "behaviour": behaviours(NUM - len(WITHOUT_BEHAVIOUR))[rows],
    }


def test_what_the_sources_say_of_an_item_gives_its_published_codes(built):
    table = sidmint.load(built.root / "registry")
    np.testing.assert_array_equal(
        table.encode(sources=said(FEW)).codes, published_codes(built, FEW)
    )


def test_an_item_without_behaviour_is_encoded_as_the_catalogue_encodes_one(built):
    table, rows = sidmint.load(built.root / "registry"), [NUM - 4, NUM - 1]
    texts = [f"{TITLES[row]}." for row in rows]
    given = {"text": texts, "image": images(NUM)[rows]}
    wanted = published_codes(built, rows)
    np.testing.assert_array_equal(table.encode(sources=given).codes, wanted)
    nothing = np.full((2, 6), np.nan)
    np.testing.assert_array_equal(
        table.encode(sources=given | {"behaviour": nothing}).codes, wanted
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image": None}, r"new items lack image \(vectors as in data/raw/image.parquet\)"),
        ({"picture": [[1.0]]}, "no source 'picture'; it has behaviour, image, text"),
        ({"image": [[1.0, 2.0]] * 4}, "source image wants vectors of 8 dimensions, got 2"),
        ({"image": [[1.0] * 8] * 3}, "source image has 3 vectors for 4 items"),
        ({"image": np.zeros((4, 8))}, "source image: the vector of item 1 is zero"),
        ({"image": [[np.nan] * 7 + [1.0]] * 4}, "the vector of item 1 holds NaN"),
        ({"image": [[np.nan] * 8] * 4}, "new items lack image"),
        ({"text": "oak desk"}, "source text wants a list of texts"),
        ({"text": ["oak desk", " "] * 2}, "source text reads texts; number 2 of 4 wants words"),
    ],
)
def test_what_a_source_of_new_items_may_not_be_is_named(built, change, words):
    given = {name: each for name, each in (said(FEW) | change).items() if each is not None}
    with pytest.raises(BadInput, match=words):
        sidmint.load(built.root / "registry").encode(sources=given)


def test_a_text_alone_is_refused_with_what_is_missing(built):
    with pytest.raises(BadInput, match=r"joined from behaviour, image, text, and new items lack"):
        sidmint.load(built.root / "registry").encode(["oak desk."])


def arrivals_of(built, item_ids, titles, **sources):
    items = pl.DataFrame({"item_id": item_ids, "title": titles})
    given = NewItems(items, None, "new.csv", sources)
    return read_arrivals(given, built.store.release(), built.root)


def test_a_refresh_reads_published_items_as_the_stage_did(built):
    names = [ITEM_IDS[row] for row in FEW]
    pictures = (ITEM_IDS, images(NUM))
    acts = (ITEM_IDS[: NUM - 4], behaviours(NUM - 4))
    titles = [TITLES[row] for row in FEW]
    arrivals = arrivals_of(built, names, titles, image=pictures, behaviour=acts)
    np.testing.assert_array_equal(
        arrivals.halves, built.artifacts.array("embed", "embeddings")[FEW]
    )
    index = load_index(built.store.release().file("neighbours.faiss"))
    assert sort_out(arrivals, pl.Series(ITEM_IDS), index).num_known == len(FEW)


def test_a_refresh_may_lack_what_the_catalogue_may_lack_and_nothing_else(built):
    pictures = (["new"], images(1, seed=9))
    assert arrivals_of(built, ["new"], ["red guitar"], image=pictures).halves.shape == (1, 265)
    with pytest.raises(BadInput, match="new items lack image"):
        arrivals_of(built, ["new"], ["red guitar"])
    with pytest.raises(BadInput, match="--vectors image has no vector for 1 of 1 items"):
        arrivals_of(built, ["new"], ["red guitar"], image=(["other"], images(1)))
    spoiled = np.full((1, 6), np.nan, dtype=np.float32)
    with pytest.raises(BadInput, match="--vectors behaviour: the vector of item new holds NaN"):
        arrivals_of(built, ["new"], ["red kettle"], image=pictures, behaviour=(["new"], spoiled))


def test_a_refresh_says_whose_a_file_is(built):
    items = pl.DataFrame({"item_id": ["new"], "title": ["red guitar"]})
    given = NewItems(items, (["new"], images(1)), "new.csv")
    words = "--vectors behaviour=FILE --vectors image=FILE"
    with pytest.raises(BadInput, match=words):
        read_arrivals(given, built.store.release(), built.root)
    with pytest.raises(BadInput, match="source text is made from text"):
        arrivals_of(built, ["new"], ["red guitar"], text=(["new"], images(1)))


def carried(built, folder, described=None):
    release = built.store.release()
    folder.mkdir()
    neighbours = described or release.manifest["neighbours"]
    fitted = release.file("sources.safetensors")
    write_files(
        folder, release.file("sids.parquet"), release.whole("tokenizer"), neighbours, fitted
    )
    return neighbours


def test_a_model_in_mlflow_carries_what_was_fitted_and_encodes_by_source(built, tmp_path):
    assert reader_of_texts(carried(built, tmp_path / "m")) is None  # a text lacks its picture
    new = read_files(tmp_path / "m").new
    np.testing.assert_array_equal(new.codes(new.joined(said(FEW))), published_codes(built, FEW))
    whole = stored(built.artifacts)[FEW]
    np.testing.assert_array_equal(new.codes(new.ready(whole)), published_codes(built, FEW))
    fitted = tmp_path / "m" / "sources.safetensors"
    fitted.write_bytes(fitted.read_bytes()[:-1] + b"\1")
    with pytest.raises(BadInput, match=r"sources\.safetensors is not what was written"):
        read_files(tmp_path / "m")


def test_a_text_alone_is_enough_where_the_other_sources_may_be_missing(tmp_path):
    image = {"path": IMAGE_PATH, "weight": 0.5, "missing": "zeros"}
    built = sources_world(tmp_path / "w", sources_params(SOURCES | {"image": image}))
    assert reader_of_texts(carried(built, tmp_path / "m")) == "wordllama"
    texts = [f"{title}." for title in TITLES[:3]]
    table = sidmint.load(built.root / "registry")
    nothing = {"image": np.full((3, 8), np.nan), "behaviour": np.full((3, 6), np.nan)}
    wanted = table.encode(sources={"text": texts} | nothing).codes
    np.testing.assert_array_equal(table.encode(texts).codes, wanted)
    assert len(table.neighbours(text="oak desk.", k=3).items) == 3


def test_texts_without_a_name_are_refused_where_two_sources_read_some(tmp_path):
    two = {
        "title": {"encoder": "wordllama"},
        "id": {"encoder": "wordllama", "template": "{item_id}"},
    }
    built = sources_world(tmp_path / "w", sources_params(two))
    table = sidmint.load(built.root / "registry")
    with pytest.raises(BadInput, match="of which id, title read texts; say which"):
        table.encode(["red guitar"])
    given = {"title": ["red oak desk."], "id": [ITEM_IDS[0]]}
    np.testing.assert_array_equal(table.encode(sources=given).codes, published_codes(built, [0]))


def test_a_release_of_one_source_takes_no_names(tmp_path):
    table = sidmint.load(served_world(tmp_path / "w").root / "registry")
    with pytest.raises(BadInput, match="have one source; give texts or vectors, without a name"):
        table.encode(sources={"text": ["red guitar"]})


def test_a_file_is_named_with_its_source_or_alone(tmp_path):
    assert files_by_source(["v.npy"]) == {"": Path("v.npy")}
    both = files_by_source(["image=a/b=c.npy", "text=t.parquet"])
    assert both == {"image": Path("a/b=c.npy"), "text": Path("t.parquet")}
    odd = tmp_path / "x=y.npy"
    odd.touch()
    assert files_by_source([str(odd)]) == {"": odd}
    with pytest.raises(BadInput, match="two files of vectors for source image"):
        files_by_source(["image=a.npy", "image=b.npy"])


def test_init_wants_a_name_for_every_file_or_for_none(tmp_path):
    items, image = tmp_path / "items.csv", tmp_path / "image.npy"
    items.write_text("item_id,title\na,A desk\nb,A lamp\n")
    image.touch()
    sources = Sources("table", items, None, image, "shop", named={"image": image})
    with pytest.raises(BadInput, match=r"has no name beside image; .*--vectors NAME=FILE"):
        bring_in(Layout(tmp_path / "w"), sources)
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.full((2, 3), np.nan, np.float32), "NaN or infinity"),
        (np.ones((1, 3), np.float32), "1 rows"),
    ],
)
def test_init_looks_into_the_file_of_every_source(tmp_path, vectors, message):
    items, text, image = (tmp_path / name for name in ("items.csv", "text.npy", "image.npy"))
    items.write_text("item_id,title\na,A desk\nb,A lamp\n")
    np.save(text, np.eye(2, 3, dtype=np.float32))
    np.save(image, vectors)
    sources = Sources("table", items, None, None, "shop", named={"text": text, "image": image})
    with pytest.raises(BadInput, match=f"image.npy.*{message}"):
        bring_in(Layout(tmp_path / "w"), sources)
    assert not (tmp_path / "w").exists()
