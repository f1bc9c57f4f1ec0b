"""A faiss index gives the neighbours that numpy gives, and approximate ones nearly all of them."""

from __future__ import annotations

import faiss
import numpy as np
import pytest
import torch

from sidmint import neighbours
from sidmint.errors import BadInput
from sidmint.neighbour_recall import NEIGHBOURS, QUERIES, recall
from sidmint.neighbours import (
    FLAT_BELOW,
    build_index,
    extend_index,
    kind_for,
    kind_of,
    load_index,
    replace_vectors,
    save_index,
    search,
    vector_of,
    vectors_of,
)
from sidmint.quantization.spherical import spherical_kmeans
from sidmint.recommenders import HeldOut, IdTable, Sequences
from sidmint.recommenders.storage import make_recommender
from sidmint.rows import as_float32, rows_made
from sidmint.types import Codes


def clustered(count: int, width: int = 24, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed)
    centres = drawn.standard_normal((50, width))
    noise = 0.5 * drawn.standard_normal((count, width))
    return (centres[drawn.integers(50, size=count)] + noise).astype(np.float32)


def unit_of(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


ROUNDED = {"flat": 1e-6, "hnsw": 1e-6, "ivf": 2.0**-12 + 1e-6}
"""How far a value of a unit vector may be from the one that was given: `ivf` holds float16."""


def exact(vectors: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    unit, asked = (
        side / np.linalg.norm(side.astype(np.float64), axis=1, keepdims=True)
        for side in (vectors, queries)
    )
    return np.argsort(-(asked @ unit.T), axis=1, kind="stable")[:, :k]


def test_a_flat_index_is_exact_whatever_the_length_of_a_vector():
    vectors, queries = clustered(2000), clustered(50, seed=1)
    scale = np.random.default_rng(2).uniform(0.01, 100, (2000, 1)).astype(np.float32)
    rows, cosines = search(build_index(vectors * scale), queries, 10)
    np.testing.assert_array_equal(rows, exact(vectors, queries, 10))
    assert (np.diff(cosines, axis=1) <= 0).all()
    assert cosines.max() <= 1 + 1e-5


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_an_approximate_index_finds_nine_in_ten(kind):
    vectors, queries = clustered(6000), clustered(200, seed=1)
    rows, _ = search(build_index(vectors, kind), queries, 10)
    wanted = exact(vectors, queries, 10)
    found = [len(set(a) & set(b)) / 10 for a, b in zip(rows.tolist(), wanted.tolist(), strict=True)]
    assert np.mean(found) >= 0.9


@pytest.mark.parametrize("kind", ["flat", "ivf"])
def test_equal_vectors_give_an_index_of_equal_bytes(kind):
    one, other = (faiss.serialize_index(build_index(clustered(3000), kind, 5)) for _ in range(2))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", ["flat", "ivf"])
def test_an_index_does_not_depend_on_pieces_or_threads(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = clustered(3000)
    threads = (torch.get_num_threads(), faiss.omp_get_max_threads())
    one = faiss.serialize_index(build_index(vectors, kind, 5))
    monkeypatch.setattr(neighbours, "_ROWS_AT_ONCE", 173)
    try:
        torch.set_num_threads(3)
        faiss.omp_set_num_threads(3)
        in_pieces = rows_made(vectors, as_float32, most_bytes=0)
        other = faiss.serialize_index(build_index(in_pieces, kind, 5))
    finally:
        torch.set_num_threads(threads[0])
        faiss.omp_set_num_threads(threads[1])
    np.testing.assert_array_equal(one, other)


def test_many_vectors_do_not_make_ever_more_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    assert build_index(clustered(3000), "ivf").nlist == 3000 // 64
    monkeypatch.setattr(neighbours, "_MOST_LISTS", 12)
    assert build_index(clustered(3000), "ivf").nlist == 12


def test_recall_is_the_share_of_the_exact_neighbours_that_are_found() -> None:
    vectors = np.random.default_rng(4).standard_normal((2000, 24)).astype(np.float32)
    assert recall(build_index(vectors), vectors) == 1
    index = build_index(vectors, "ivf")
    index.nprobe = 1
    asked = np.random.default_rng(0).choice(2000, QUERIES, replace=False, shuffle=False)
    wanted = exact(vectors, vectors[asked], NEIGHBOURS + 1)[:, 1:]  # itself comes first
    found = search(index, vectors[asked], NEIGHBOURS + 1)[0]
    shares = [
        len(set(w) & (set(f) - {n})) / NEIGHBOURS
        for n, w, f in zip(asked, wanted.tolist(), found.tolist(), strict=True)
    ]
    assert 0.2 < np.mean(shares) < 0.8
    assert recall(index, vectors) == pytest.approx(np.mean(shares), abs=0.002)
    in_pieces = rows_made(vectors, as_float32, most_bytes=0)
    assert recall(index, in_pieces) == recall(index, vectors)


def test_among_equal_vectors_every_neighbour_is_a_right_one() -> None:
    vectors = np.repeat(clustered(40), 50, axis=0)
    assert recall(build_index(vectors), vectors) == 1


def test_directions_far_apart_are_found() -> None:
    axes = np.eye(6, dtype=np.float32)
    noise = 0.05 * np.random.default_rng(3).standard_normal((600, 6)).astype(np.float32)
    points = torch.from_numpy(unit_of(np.repeat(axes, 100, axis=0) + noise))
    drawn = (spherical_kmeans(points, 30, torch.Generator().manual_seed(n)) for n in range(3))
    for codewords in drawn:
        np.testing.assert_allclose(codewords.norm(dim=1), 1, atol=1e-6)
        assert (points @ codewords.T).amax(dim=1).min() > 0.97
        assert set(codewords.argmax(dim=1).tolist()) == set(range(6))


def test_equal_cosines_go_to_the_lower_row():
    vectors = np.ones((5, 3), dtype=np.float32)
    rows, _ = search(build_index(vectors), vectors[:1], 5)
    assert rows.tolist() == [[0, 1, 2, 3, 4]]


def test_a_million_is_where_search_stops_being_exact():
    assert (kind_for(FLAT_BELOW - 1), kind_for(FLAT_BELOW)) == ("flat", "ivf")


def test_vectors_that_are_no_vectors_are_refused():
    with pytest.raises(BadInput, match="finite"):
        build_index(np.full((3, 2), np.nan, dtype=np.float32))


def table(vectors: np.ndarray | None) -> IdTable:
    codes = np.arange(6, dtype=np.int32)[:, None]
    return IdTable(Codes(codes, (6,)), vectors)


def test_semantic_knn_recommends_what_is_like_the_newest_item_even_if_nobody_saw_it():
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9], [-1, 0], [0, -1]], np.float32)
    recommender = make_recommender("semantic_knn", {"last": 1}, "test")
    recommender.fit(Sequences.of([[0, 2]]), table(vectors), seed=0)
    found = recommender.recommend(Sequences.of([[2, 0], [0, 2]]), 1).items
    assert found.tolist() == [[1], [3]]  # items 1 and 3 have no event
    with pytest.raises(BadInput, match="vectors"):
        recommender.fit(Sequences.of([[0]]), table(None), seed=0)


def test_hybrid_gives_every_nth_place_to_what_is_alike_and_repeats_nothing():
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9], [-1, 0], [0, -1]], np.float32)
    settings = {"base": "popularity", "one_in": 3}
    recommender = make_recommender("hybrid", settings, "test")
    # Popular: 5, then 4, then 2 and 0; item 1 is nearest to item 0 and nobody saw it.
    recommender.fit(Sequences.of([[5, 5, 5, 4, 4, 2, 0]]), table(vectors), seed=0)
    found = recommender.recommend(Sequences.of([[0]]), 6).items[0].tolist()
    assert found[:3] == [5, 4, 1]
    assert sorted(found) == list(range(6))
    assert recommender.recommend(Sequences.of([[0]]), 4).items[0].tolist() == found[:4]
    with pytest.raises(BadInput, match="base is hybrid"):
        make_recommender("hybrid", {"base": "hybrid"}, "test")


@pytest.mark.parametrize(
    ("targets", "one_in"),
    [([1], 2), ([5], 10), ([], 10)],  # alike what the user had; the most popular, first anyway
)
def test_hybrid_takes_the_share_that_validation_cases_ask_for(targets: list[int], one_in: int):
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9], [-1, 0], [0, -1]], np.float32)
    recommender = make_recommender("hybrid", {"base": "popularity"}, "test")
    ids = table(vectors)
    train = Sequences.of([[5, 5, 5, 4, 4, 2, 0]])
    cases = HeldOut(Sequences.of([[0]] * len(targets)), np.array(targets, dtype=np.int32))
    notes = recommender.fit(train, ids, cases, seed=0).notes
    assert notes == (f"one place in {one_in} is semantic_knn's",)
    assert recommender.state()["one_in"].tolist() == [one_in]
    read = make_recommender("hybrid", {"base": "popularity"}, "test")
    read.load_state(recommender.state(), ids, "cpu")
    asked = Sequences.of([[0]])
    assert read.recommend(asked, 6).items.tolist() == recommender.recommend(asked, 6).items.tolist()
    assert (read.recommend(asked, 2).items[0, 1] == 1) == (one_in == 2)


def test_ndcg_counts_the_place_of_the_target():
    cases = HeldOut(Sequences.of([[0], [0], [0]]), np.array([7, 7, 7], dtype=np.int32))
    lists = np.array([[7, 1, 2], [1, 2, 7], [1, 2, 3]], dtype=np.int32)
    assert cases.ndcg(lists) == pytest.approx((1 + 0.5 + 0) / 3)


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
def test_a_written_index_is_the_same_index_and_equal_vectors_give_equal_files(kind, tmp_path):
    vectors, queries = clustered(3000), clustered(20, seed=1)
    index = build_index(vectors, kind, 5)
    before = [part.tolist() for part in search(index, queries, 10)]
    save_index(index, tmp_path / "one.faiss")
    save_index(build_index(vectors, kind, 5), tmp_path / "two.faiss")
    assert (tmp_path / "one.faiss").read_bytes() == (tmp_path / "two.faiss").read_bytes()
    read = load_index(tmp_path / "one.faiss")
    assert kind_of(read) == kind
    assert [part.tolist() for part in search(read, queries, 10)] == before
    np.testing.assert_allclose(vector_of(read, 7), unit_of(vectors[7:8])[0], atol=ROUNDED[kind])


def test_a_file_that_is_no_index_is_bad_input(tmp_path):
    (tmp_path / "x.faiss").write_bytes(b"not an index")
    with pytest.raises(BadInput, match=r"x\.faiss is not readable as an index"):
        load_index(tmp_path / "x.faiss")


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
def test_later_items_come_behind_the_others_and_are_found(kind, tmp_path):
    vectors, later = clustered(1000), 3 * clustered(70, seed=1)
    save_index(build_index(vectors, kind), tmp_path / "i.faiss")
    index = load_index(tmp_path / "i.faiss")
    extend_index(index, later)
    save_index(index, tmp_path / "more.faiss")
    read = load_index(tmp_path / "more.faiss")
    assert (kind_of(read), read.ntotal) == (kind, 1070)
    rows, cosines = search(read, later, 1)
    assert (rows[:, 0] == np.arange(1000, 1070)).mean() > 0.95
    np.testing.assert_allclose(cosines.max(), 1, atol=5e-4 if kind == "ivf" else 1e-5)
    some = np.array([0, 999, 1001])
    wanted = unit_of(np.stack([vectors[0], vectors[999], later[1]]))
    np.testing.assert_allclose(vectors_of(read, some), wanted, atol=ROUNDED[kind])


@pytest.mark.parametrize("kind", ["flat", "ivf"])
def test_an_items_vector_is_replaced_and_no_others(kind, tmp_path):
    vectors = clustered(1000)
    save_index(build_index(vectors, kind), tmp_path / "i.faiss")
    index = load_index(tmp_path / "i.faiss")
    replace_vectors(index, np.array([5, 17]), -vectors[[5, 17]])
    assert search(index, -vectors[[5, 17]], 1)[0][:, 0].tolist() == [5, 17]
    vectors[[5, 17]] *= -1
    np.testing.assert_allclose(
        vectors_of(index, np.arange(1000)), unit_of(vectors), atol=ROUNDED[kind]
    )
    assert index.ntotal == 1000


def test_vectors_of_another_width_are_refused(tmp_path):
    index = build_index(clustered(20))
    for change in (extend_index, lambda i, v: replace_vectors(i, np.array([0]), v)):
        with pytest.raises(BadInput, match="holds vectors of 24 dimensions"):
            change(index, np.ones((1, 3), dtype=np.float32))
    with pytest.raises(BadInput, match="cannot move items"):
        replace_vectors(build_index(clustered(20), "hnsw"), np.array([0]), clustered(1))
