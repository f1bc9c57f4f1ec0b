"""Texts that were encoded before are not encoded again, and nothing else comes of it."""

from __future__ import annotations

import os

import numpy as np
import polars as pl
import pytest

from embed_world import ITEMS, catalogue, embed_params
from served_world import ITEM_IDS, TITLES, served_world
from sidmint import kept_vectors, text_vectors
from sidmint.embedding import encode_texts
from sidmint.embedding.identity import digest_of_files
from sidmint.embedding.sentence_transformer import _downloaded
from sidmint.kept_vectors import KeptVectors
from sidmint.layout import Layout
from sidmint.publishing.arrivals import read_arrivals
from sidmint.sources import fusion
from sidmint.sources.new_items import NewItems
from sidmint.stages import embed as stage
from sidmint.text_vectors import TextVectors
from text_encoders import DigestEncoder, vector_of

NUM = 60
TITLED = {"item_id": [f"i{n:02d}" for n in range(NUM)], "title": [f"desk {n}" for n in range(NUM)]}


@pytest.fixture
def encoder(monkeypatch):
    """What the stage loads in place of a model."""
    encoder = DigestEncoder()
    monkeypatch.setattr(stage, "load_encoder", lambda *_: encoder)
    monkeypatch.setattr(fusion, "load_encoder", lambda *_: encoder)
    return encoder


def embedded(root, items=TITLED, **settings):
    """The headline and the bytes of stage embed."""
    artifacts = catalogue(root, items)
    outcome = stage.embed(embed_params(template="{title}", batch_size=8, **settings), artifacts)
    folder = artifacts.folder("embed")
    return outcome.headline, {path.name: path.read_bytes() for path in folder.iterdir()}


def changed(row, title):
    return TITLED | {"title": [title if n == row else t for n, t in enumerate(TITLED["title"])]}


def test_a_second_run_encodes_nothing_and_gives_the_same_bytes(tmp_path, encoder):
    told, first = embedded(tmp_path)
    assert "60 texts, 0 known, 60 encoded" in told
    encoder.asked.clear()
    told, second = embedded(tmp_path)
    assert "60 texts, 60 known, 0 encoded" in told
    assert encoder.batched == []
    assert second == first


def test_one_changed_text_encodes_one_and_gives_the_bytes_of_a_new_workspace(tmp_path, encoder):
    embedded(tmp_path / "one")
    encoder.asked.clear()
    told, found = embedded(tmp_path / "one", changed(7, "a very long walnut table"))
    assert "60 texts, 59 known, 1 encoded" in told
    assert encoder.asked.count(["a very long walnut table"]) == 2  # made, and looked at alone
    assert encoder.batched == []
    assert found == embedded(tmp_path / "two", changed(7, "a very long walnut table"))[1]


def test_another_template_knows_the_texts_that_it_shares_and_no_others(tmp_path, encoder):
    embedded(tmp_path, ITEMS)
    artifacts = catalogue(tmp_path, ITEMS)
    params = embed_params(template="{title}. {brand}")  # Pine desk has no brand, so its text stays
    assert "4 texts, 1 known, 3 encoded" in stage.embed(params, artifacts).headline
    texts = ["Oak desk. Acme", "Pine desk", "Red stapler. Bolt", "Blue stapler. Bolt"]
    wanted = np.stack([vector_of(text) for text in texts])
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(artifacts.array("embed", "embeddings"), wanted, atol=1e-3)


def test_another_model_knows_nothing(tmp_path, encoder):
    embedded(tmp_path)
    encoder.model = "another"
    told, found = embedded(tmp_path)
    assert "60 texts, 0 known, 60 encoded" in told
    assert found == embedded(tmp_path / "new")[1]


def test_an_encoder_that_does_not_say_what_it_is_is_asked_every_time(tmp_path, monkeypatch):
    class Nameless:
        model = "nameless"

        def encode(self, texts):
            return np.stack([vector_of(text) for text in texts])

    monkeypatch.setattr(stage, "load_encoder", lambda *_: Nameless())
    embedded(tmp_path)
    assert "60 texts, 0 known, 60 encoded" in embedded(tmp_path)[0]
    assert not Layout(tmp_path).vectors.exists()


def test_wordllama_in_two_processes_or_with_a_memory_gives_the_bytes_of_one_without(tmp_path):
    _, wanted = embedded(tmp_path / "one")
    told, two = embedded(tmp_path / "two", workers=2)
    assert "60 texts, 0 known, 60 encoded" in told
    assert two == wanted
    embedded(tmp_path / "three", changed(3, "an oak desk with drawers"))
    told, three = embedded(tmp_path / "three")
    assert "60 texts, 59 known, 1 encoded" in told
    assert three == wanted


@pytest.mark.slow
def test_minilm_with_a_memory_of_other_batches_gives_the_bytes_of_one_without(tmp_path):
    _, wanted = embedded(tmp_path / "one", encoder="sentence_transformer")
    half = {column: values[::2] for column, values in TITLED.items()}
    embedded(tmp_path / "two", half, encoder="sentence_transformer", workers=2)
    told, two = embedded(tmp_path / "two", encoder="sentence_transformer")
    assert "60 texts, 30 known, 30 encoded" in told
    assert two == wanted


def test_sources_that_read_text_go_through_the_same_memory(tmp_path, encoder):
    sources = {"first": {"encoder": "wordllama"}, "second": {"encoder": "wordllama", "weight": 2}}
    told, wanted = embedded(tmp_path, sources=sources)
    assert "120 texts, 60 known, 60 encoded" in told
    told, again = embedded(tmp_path, sources=sources)
    assert "120 texts, 120 known, 0 encoded" in told
    assert again == wanted


def test_a_refresh_knows_what_the_stage_and_a_refresh_before_have_encoded(tmp_path):
    built = served_world(tmp_path / "w")
    titles = [*TITLES[:3], "a red steel lamp"]
    items = pl.DataFrame({"item_id": [*ITEM_IDS[:3], "new"], "title": titles})
    found = []
    for known in (3, 4):
        encode = TextVectors(built.layout)
        given = NewItems(items, None, "items.csv")
        found.append(read_arrivals(given, built.store.release(), built.root, encode))
        assert (encode.num_texts, encode.num_known) == (4, known)
    np.testing.assert_array_equal(found[0].halves, found[1].halves)


def store(root):
    identity = DigestEncoder().identity()
    return KeptVectors(kept_vectors.folder_of(Layout(root).vectors, identity), identity)


def ask(root, texts, tidy=True):
    encode = TextVectors(Layout(root), batch_size=4)
    vectors = encode(DigestEncoder(), texts)
    np.testing.assert_array_equal(vectors, np.stack([vector_of(text) for text in texts]))
    if tidy:
        encode.tidy()
    return encode.num_known


def numbered(start, stop):
    return [f"text {n}" for n in range(start, stop)]


def test_what_nobody_asks_for_goes_once_it_outnumbers_the_rest(tmp_path):
    ask(tmp_path, numbered(0, 20))
    ask(tmp_path, numbered(10, 30))  # ten unused of thirty
    assert ask(tmp_path, numbered(0, 10), tidy=False) == 10
    ask(tmp_path, numbered(21, 30))  # 21 unused, 9 asked for
    assert ask(tmp_path, numbered(0, 21), tidy=False) == 0
    assert ask(tmp_path, numbered(21, 30)) == 9


def test_a_few_texts_without_a_tidying_up_leave_the_others(tmp_path):
    ask(tmp_path, numbered(0, 20))
    ask(tmp_path, numbered(0, 1), tidy=False)
    assert ask(tmp_path, numbered(0, 20)) == 20


def test_small_parts_become_one_with_every_vector_in_it(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_vectors, "SECONDS_BETWEEN_PARTS", 0.0)
    ask(tmp_path, numbered(0, 100), tidy=False)
    folder = store(tmp_path).folder
    assert len(list(folder.glob("*.safetensors"))) == 25
    assert ask(tmp_path, numbered(0, 100)) == 100
    assert len(list(folder.glob("*.safetensors"))) == 1
    assert ask(tmp_path, numbered(0, 100)) == 100


def test_parts_stay_below_their_size(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_vectors, "_PART_BYTES", 10 * 32 * 4)
    ask(tmp_path, numbered(0, 100))
    sizes = [path.stat().st_size for path in store(tmp_path).folder.glob("*.safetensors")]
    assert len(sizes) >= 8
    assert max(sizes) < 2 * 14 * (32 * 4 + 32)
    assert ask(tmp_path, numbered(0, 100)) == 100


def test_of_many_encoders_those_used_last_are_kept(tmp_path):
    root = Layout(tmp_path).vectors
    for n in range(6):
        encode = TextVectors(Layout(tmp_path))
        encode(DigestEncoder(f"model {n}"), ["text"])
        for path in root.glob("*/identity.json"):  # as if a minute had gone by
            before = path.stat().st_mtime - 60
            os.utime(path, (before, before))
    TextVectors(Layout(tmp_path))(DigestEncoder("model 0"), ["text"])
    encode = TextVectors(Layout(tmp_path))
    encode(DigestEncoder("model 5"), ["text"])
    encode.tidy()
    kept = {path.read_text().split("model ")[1][0] for path in root.glob("*/identity.json")}
    assert kept == {"0", "3", "4", "5"}
    assert len(kept) == text_vectors._MOST_ENCODERS


def test_a_files_digest_follows_content_and_name(tmp_path):
    found = []
    for name, content in (("a", "x"), ("a", "y"), ("b", "y")):
        folder = tmp_path / f"{len(found)}"
        folder.mkdir()
        (folder / name).write_text(content)
        found.append(digest_of_files(folder, folder.rglob("*")))
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "a").write_text("x")
    assert len(set(found)) == 3
    assert digest_of_files(tmp_path / "3", (tmp_path / "3").iterdir()) == found[0]


def test_without_a_memory_texts_have_the_same_vectors():
    texts = numbered(0, 9)
    wanted = np.stack([vector_of(text) for text in texts])
    np.testing.assert_array_equal(encode_texts(DigestEncoder(), texts, 2), wanted)


def test_files_of_a_model_from_the_hub_are_found_where_the_library_put_them(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for name in ("acme--mini", "sentence-transformers--tiny"):
        model = tmp_path / f"models--{name}"
        (model / "snapshots" / "c0ffee").mkdir(parents=True)
        (model / "refs").mkdir()
        (model / "refs" / "main").write_text("c0ffee")
    assert _downloaded("acme/mini") == tmp_path / "models--acme--mini" / "snapshots" / "c0ffee"
    assert _downloaded("tiny").parts[-3] == "models--sentence-transformers--tiny"
    assert _downloaded("nobody/nothing") is None
