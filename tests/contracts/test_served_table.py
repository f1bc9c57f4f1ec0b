"""`sidmint.load`: both ways through a published table, codes of new items, and what it refuses."""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from typer.testing import CliRunner

import sidmint
from releases import Built, build_workspace, publish_bare
from served_world import ITEM_IDS, TITLES, served_world
from sidmint.cli import app
from sidmint.errors import BadInput
from sidmint.publishing.encoding import ReleaseEncoder
from sidmint.publishing.serving import PublishedTable
from sidmint.publishing.store import VersionStore
from sidmint.tokenizers import make_tokenizer, storage


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return served_world(tmp_path_factory.mktemp("served") / "w")


@pytest.fixture(scope="module")
def table(built: Built) -> PublishedTable:
    return sidmint.load(built.root / "registry", "champion")


@pytest.fixture(scope="module")
def rows(built: Built) -> list[tuple[str, str]]:
    """(item, id) of the published file, read without sidmint."""
    frame = pl.read_parquet(built.store.release().folder / "sids.parquet")
    return list(frame.select("item_id", "semantic_id").iter_rows())


@pytest.fixture
def copied(built: Built, tmp_path: Path) -> Built:
    root = tmp_path / "w"
    return Built(Path(shutil.copytree(built.root, root)))


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(data))


def test_both_ways_give_the_table(table: PublishedTable, rows: list[tuple[str, str]]) -> None:
    items, ids = (list(column) for column in zip(*rows, strict=True))
    assert [table.semantic_id(item) for item in items] == ids
    assert [table.item(each) for each in ids] == items
    assert table.semantic_ids(items).to_list() == ids
    assert table.items(ids).to_list() == items
    assert table.item_ids.to_list() == items
    assert ["-".join(map(str, parts)) for parts in table.parts.tolist()] == ids
    assert len(table) == len(rows)


def test_many_are_answered_in_the_order_and_as_often_as_asked(
    table: PublishedTable, rows: list[tuple[str, str]]
) -> None:
    asked = [5, 0, 5, 29, 3]
    items, ids = ([rows[n][side] for n in asked] for side in (0, 1))
    for form in (items, tuple(items), np.array(items), pl.Series(items)):
        assert table.semantic_ids(form).to_list() == ids
    assert table.items(ids).to_list() == items
    assert table.semantic_ids([]).to_list() == []


def test_a_prefix_finds_the_items_whose_id_begins_with_it(
    table: PublishedTable, rows: list[tuple[str, str]]
) -> None:
    for _, whole in rows:
        parts = whole.split("-")
        for length in range(1, len(parts) + 1):
            prefix = parts[:length]
            wanted = [item for item, each in rows if each.split("-")[:length] == prefix]
            assert table.items_under("-".join(prefix)).to_list() == wanted


def test_unknown_items_are_refused_or_null_as_asked(table: PublishedTable) -> None:
    with pytest.raises(BadInput, match=r"v0001 has no item 'ITEM-0' among its 30 items; there is"):
        table.semantic_id("ITEM-0")
    with pytest.raises(BadInput, match="no item 'nowhere'"):
        table.semantic_ids(["item-00", "nowhere"])
    found = table.semantic_ids(["item-00", "nowhere"], unknown="null").to_list()
    assert found == [table.semantic_id("item-00"), None]
    free = next(f"0-{n}-0" for n in range(4) if not len(table.items_under(f"0-{n}")))
    assert table.items([free], unknown="null").to_list() == [None]
    with pytest.raises(BadInput, match=f"no item of v0001 has the Semantic ID '{free}'"):
        table.items([free])


def test_what_is_no_whole_id_is_named(table: PublishedTable) -> None:
    whole = table.semantic_id("item-00")
    with pytest.raises(BadInput, match=r"is a prefix of 3 parts and no whole id; `items_under`"):
        table.item(whole.rpartition("-")[0])
    with pytest.raises(BadInput, match=f"has the Semantic ID '0{whole}'; write {whole}"):
        table.item(f"0{whole}")
    for text in ("", "x", "4-0-0", "0-0-0-0", "1" * 5000):
        with pytest.raises(BadInput, match=r"is no Semantic ID of v0001"):
            table.item(text)
    for ask in (table.items, table.semantic_ids):
        with pytest.raises(BadInput, match="wants many texts, got one"):
            ask("item-00")
        with pytest.raises(BadInput, match="wants texts"):
            ask([1, 2])  # type: ignore[list-item]


def test_texts_and_stored_vectors_of_the_catalogue_get_the_codes_of_assign(
    built: Built, table: PublishedTable
) -> None:
    assigned = built.artifacts.codes("codes", "one")
    stored = np.asarray(built.artifacts.array("embed", "embeddings"))
    by_text = table.encode([f"{title}." for title in TITLES])
    for found in (
        by_text,
        table.encode(vectors=stored),
        table.encode(vectors=stored.astype(np.float32) * np.arange(1, 31)[:, None]),
        table.encode(vectors=stored.tolist()),
    ):
        np.testing.assert_array_equal(found.codes, assigned)
    for item, prefix in zip(ITEM_IDS, by_text.semantic_ids, strict=True):
        assert table.semantic_id(item).rpartition("-")[0] == prefix


def test_rows_are_encoded_each_by_itself(table: PublishedTable) -> None:
    texts = ["a wooden writing desk", "an electric guitar"]
    both = table.encode(texts)
    alone = [table.encode([text]).semantic_ids[0] for text in texts]
    assert both.semantic_ids == alone
    assert both.codes.dtype == np.int32


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "wants texts, vectors or sources, one of the three"),
        ({"texts": ["a"], "vectors": [[1.0] * 256]}, "one of the three"),
        ({"texts": "red desk"}, "put it in a list"),
        ({"texts": []}, "no texts to encode"),
        ({"texts": ["desk", " "]}, "text 2 of 2 wants words"),
        ({"texts": ["desk", None]}, "text 2 of 2 wants words"),
        ({"vectors": [[1.0, 2.0]]}, "fitted on vectors of 256 dimensions"),
        ({"vectors": [1.0] * 256}, "shape"),
        ({"vectors": [[1.0], [1.0, 2.0]]}, "as many in every row"),
        ({"vectors": [[float("nan")] * 256]}, "NaN or infinity"),
        ({"vectors": [[0.0] * 256]}, "no direction"),
        ({"vectors": [[1.0] * 256], "categories": ["x"]}, "categories: the tokenizer one reads"),
    ],
)
def test_what_cannot_be_encoded_is_named(table: PublishedTable, asked: dict, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        table.encode(**asked)


def test_a_tokenizer_that_reads_categories_wants_one_an_item(tmp_path: Path) -> None:
    """And a release that does not name its encoder still encodes vectors."""
    vectors = np.eye(4, 3, dtype=np.float32) + 1
    paths = ["A > B", "A > C", "D", "A > B"]
    tokenizer = make_tokenizer("category", {"sizes": [2, 2]})
    tokenizer.fit(vectors, seed=1, device="cpu", categories=paths)
    storage.save(tokenizer, tmp_path, "all", 4)
    new = ReleaseEncoder(None, None, tmp_path, "v0001", tmp_path)
    ready = new.ready(vectors)
    np.testing.assert_array_equal(ready, vectors)  # nothing says that they are scaled
    wanted = tokenizer.encode(vectors, categories=paths)
    np.testing.assert_array_equal(new.codes(ready, paths), wanted)
    with pytest.raises(BadInput, match="wants the category path of each item"):
        new.codes(ready)
    with pytest.raises(BadInput, match="4 items want as many categories, got 1"):
        new.codes(ready, ["D"])
    with pytest.raises(BadInput, match="v0001 does not name the encoder of its vectors"):
        new.vectors_of(["desk"])


def test_neighbours_are_those_of_the_command(
    built: Built, table: PublishedTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIDMINT_WORKSPACE", str(built.root))

    def printed(*arguments: str) -> object:
        result = CliRunner().invoke(app, ["neighbours", *arguments, "--k", "4", "--json"])
        assert result.exception is None, result.exception
        return json.loads(result.stdout)

    plain = lambda found: json.loads(json.dumps(found.to_dict()))  # noqa: E731
    assert plain(table.neighbours("item-03", k=4)) == printed("item-03")
    assert plain(table.neighbours(text="blue chair", k=4)) == printed("--text", "blue chair")


def test_a_vector_finds_its_item_first_and_its_codes(built: Built, table: PublishedTable) -> None:
    vector = built.artifacts.array("embed", "embeddings")[7]
    found = table.neighbours(vector=vector, k=3)
    assert found.items[0].item_id == "item-07"
    assert found.items[0].shared_prefix == 2
    codes = built.artifacts.codes("codes", "one")[7]
    assert found.semantic_id == "-".join(map(str, codes))
    assert (found.item_id, found.text) == (None, None)


def test_neighbours_wants_one_of_three(table: PublishedTable) -> None:
    for asked in ({}, {"item": "item-00", "text": "desk"}):
        with pytest.raises(BadInput, match="one of the three"):
            table.neighbours(**asked)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="k wants 1 or more"):
        table.neighbours("item-00", k=0)


def test_the_recommender_answers_again_and_again(table: PublishedTable) -> None:
    first, second = table.recommend(["item-00"], k=2).items
    assert (first.item_id, second.item_id) == ("item-01", "item-02")
    assert first.semantic_id == table.semantic_id("item-01")
    assert table.recommend(["item-00"], k=2) == table.recommend(("item-00",), k=2)


@pytest.mark.parametrize(
    ("name", "ask"),
    [
        ("manifest.json", lambda table: table),
        ("sids.parquet", lambda table: table),
        ("neighbours.faiss", lambda table: table.neighbours("item-00")),
        ("tokenizer/tokenizer.json", lambda table: table.encode(["desk"])),
        ("tokenizer/tokenizer.safetensors", lambda table: table.encode(["desk"])),
        ("recommender/recommender.json", lambda table: table.recommend(["item-00"])),
        ("recommender/recommender.safetensors", lambda table: table.recommend(["item-00"])),
    ],
)
def test_a_changed_byte_is_refused_before_the_file_is_read(
    copied: Built, name: str, ask: object
) -> None:
    damage(copied.store.release().folder / name)
    with pytest.raises(BadInput, match=f"{name} is not what was published: its sha256"):
        ask(sidmint.load(copied.root / "registry"))  # type: ignore[operator]


def test_a_manifest_rewritten_for_a_changed_table_is_refused(copied: Built) -> None:
    folder = copied.store.release().folder
    damage(folder / "sids.parquet")
    manifest = json.loads((folder / "manifest.json").read_text())
    from sidmint.disk import digest

    manifest["files"]["sids.parquet"]["sha256"] = digest(folder / "sids.parquet")
    (folder / "manifest.json").chmod(0o644)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for version in ("champion", "v0001"):
        with pytest.raises(BadInput, match="its sha256 is not the one in the log"):
            sidmint.load(copied.root / "registry", version)


def test_a_table_stays_its_version_when_the_champion_moves(tmp_path: Path) -> None:
    built = build_workspace(tmp_path)
    built.publish("one")
    registry = str(built.root / "registry")
    first = sidmint.load(registry)
    built.judge("two")
    built.publish("two")
    assert (first.version, first.semantic_id("d")) == ("v0001", "3-3-0")
    assert sidmint.load(registry).semantic_id("d") == "2-2-0"
    assert sidmint.load(registry, "v0001").semantic_id("d") == "3-3-0"
    with pytest.raises(BadInput, match="holds no recommender"):
        first.recommend(["a"])
    with pytest.raises(BadInput, match=r"there is no version 'v0009'.*did you mean|newest"):
        sidmint.load(registry, "v0009")


def test_what_is_no_registry_and_what_was_never_champion_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match=r"nowhere holds no published table; give what registry.path"
    ):
        sidmint.load(tmp_path / "nowhere")
    store = VersionStore(tmp_path)
    publish_bare(store)
    shutil.copytree(store.folder / "versions" / "v0001", store.folder / "versions" / "v0002")
    with pytest.raises(BadInput, match="v0002 is in no line of the log"):
        sidmint.load(tmp_path, "v0002")


def test_an_id_of_two_items_names_neither(tmp_path: Path) -> None:
    built = build_workspace(tmp_path)
    built.build("one", codes={"a": (0, 1), "b": (0, 1), "c": (0, 2), "d": (3, 3)}, suffixed=False)
    built.publish("one")
    table = sidmint.load(tmp_path / "registry")
    assert table.items_under("0-1").to_list() == ["a", "b"]
    assert table.semantic_ids(["b", "a"]).to_list() == ["0-1", "0-1"]
    for ask in (lambda: table.item("0-1"), lambda: table.items(["0-2"])):
        with pytest.raises(BadInput, match="gives 0-1 to several items"):
            ask()
    assert table.trie.following((0,)) == [1, 2]


def test_the_readme_opens_a_table(
    built: Built, table: PublishedTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    block = next(b for b in readme.split("```python\n") if b.startswith("import sidmint"))
    whole = table.semantic_id("item-05")
    code = block.split("```")[0].replace("registry/demo", "registry").replace("12-7-201-0", whole)
    code = code.replace("12-7", whole.rpartition("-")[0]).replace("B004756YJA", "item-05")
    monkeypatch.chdir(built.root)
    script = built.root / "readme.py"
    script.write_text(code, encoding="utf-8")
    names = runpy.run_path(str(script), {"many_items": ITEM_IDS})
    assert names["table"].version == "v0001"


def test_the_package_is_light_until_something_is_loaded() -> None:
    code = "import sidmint, sys; print(sorted({n.split('.')[0] for n in sys.modules}))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for heavy in ("torch", "polars", "numpy", "mlflow", "faiss", "pydantic"):
        assert f"'{heavy}'" not in ended.stdout


def generate(table: PublishedTable, seed: int, skip: int, beams: int = 6) -> list[tuple[int, ...]]:
    """What a beam search under `for_generate` writes, with logits by chance. End is 99."""
    allowed = table.trie.for_generate(end=99, skip=skip)
    random = np.random.default_rng(seed)
    beam = [(0.0, (7,) * skip)]
    for _ in range(len(table.sizes) + 1):
        grown = [
            (score + random.normal(), (*tokens, token))
            for score, tokens in beam
            for token in allowed(0, torch.tensor(tokens))
        ]
        beam = sorted(grown, reverse=True)[:beams]
    assert all(tokens[-1] == 99 for _, tokens in beam)
    return [tokens[skip:-1] for _, tokens in beam]


@pytest.mark.parametrize("skip", [0, 1, 5])
def test_a_beam_under_the_constraint_writes_published_ids_and_can_write_all(
    table: PublishedTable, skip: int
) -> None:
    offsets = np.cumsum([0, *table.sizes])[:-1]
    published = {tuple((parts + offsets).tolist()) for parts in table.parts}
    for seed in range(5):
        written = generate(table, seed, skip)
        assert len(set(written)) == len(written)
        assert set(written) <= published
    assert set(generate(table, 0, skip, beams=10**6)) == published


def test_a_language_models_own_numbers_are_used(table: PublishedTable) -> None:
    words = table.trie.words()
    assert words[:4] == ("<a_0>", "<a_1>", "<a_2>", "<a_3>")
    assert len(set(words)) == len(words) == sum(table.sizes)
    vocabulary = {word: 5000 - place for place, word in enumerate(words)} | {"hello": 3}
    allowed = table.trie.for_generate(end=2, skip=1, token_ids=vocabulary)
    roots = table.trie.following()
    assert sorted(allowed(0, [1])) == sorted(vocabulary[f"<a_{part}>"] for part in roots)
    first = roots[0]
    after = allowed(0, [1, vocabulary[f"<a_{first}>"]])
    assert after == [vocabulary[f"<b_{part}>"] for part in table.trie.following((first,))]
    del vocabulary["<b_0>"]
    with pytest.raises(BadInput, match=r"lacks <b_0> \(1 of"):
        table.trie.for_generate(end=2, token_ids=vocabulary)
    with pytest.raises(BadInput, match="two words one id"):
        table.trie.for_generate(end=2, token_ids=dict.fromkeys(words, 1))


def test_a_beam_that_left_the_trie_may_only_end(table: PublishedTable) -> None:
    allowed = table.trie.for_generate(end=99, skip=0)
    whole = [int(part) for part in table.parts[0] + np.cumsum([0, *table.sizes])[:-1]]
    assert allowed(0, whole) == [99]
    assert allowed(0, [*whole, 99, 99]) == [99]
    assert allowed(0, [12345]) == [99]
    assert allowed(0, [whole[1]]) == [99]  # a token of the second level is no first one


def test_the_masks_say_what_the_lists_say(table: PublishedTable) -> None:
    everything = np.array(list(np.ndindex(*table.sizes)))
    for length in range(len(table.sizes)):
        prefixes = np.unique(everything[:, :length], axis=0) if length else np.zeros((3, 0))
        mask = table.trie.allowed(torch.as_tensor(prefixes))
        assert mask.shape == (len(prefixes), table.sizes[length])
        for row, prefix in zip(mask, prefixes.astype(int).tolist(), strict=True):
            assert row.nonzero().flatten().tolist() == table.trie.following(prefix)
    assert not table.trie.allowed(np.array([[4], [-1], [10**6]])).any()
    with pytest.raises(BadInput, match=r"0 to 2 parts\), got \(1, 3\)"):
        table.trie.allowed(np.array([[0, 0, 0]]))
