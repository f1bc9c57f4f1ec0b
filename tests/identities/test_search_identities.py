"""The search behind the ranks: exact however it is cut up, however its products round.

The oracle counts in whole numbers: on their grid, unit vectors are integers times 2^-24.
"""

import faiss
import numpy as np
import polars as pl
import pytest
import torch

from sidmint.errors import BadInput
from sidmint.evaluation import Cases, comparing, held_out_cases, search
from sidmint.evaluation.code_ranks import EqualCodesSearch
from sidmint.evaluation.cosines import CosineSearch, directions
from sidmint.evaluation.pool import Pool
from sidmint.rows import rows_made


def crowd(num_items=240, size=12, seed=0):
    """Vectors of which many are equal, many nearly equal, some zero, some of another length."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((num_items, size)).astype(np.float32)
    vectors[60:140] = vectors[rng.integers(0, 20, 80)]
    vectors[140:200] = vectors[rng.integers(0, 20, 60)] + 1e-7 * vectors[140:200]
    vectors[200:220] *= 1000
    vectors[220:230] = 0
    return rng.permutation(vectors)


def some_cases(num_items, num_cases, seed=1):
    rng = np.random.default_rng(seed)
    queries = rng.integers(0, num_items // 3, num_cases)  # most ask more than once
    targets = (queries + rng.integers(1, num_items, num_cases)) % num_items
    return Cases(queries.astype(np.int32), targets.astype(np.int32))


def whole_numbers(vectors):
    steps = directions(vectors).astype(np.float64) * 2**24
    assert (steps == np.round(steps)).all()
    return steps.astype(np.int64)


def by_counting(scores, asked):
    """(better, tied) of each case from a full matrix of exact scores."""
    found = []
    for query, target in zip(asked.queries, asked.targets, strict=True):
        others = np.delete(scores[query], [query, target])
        bar = scores[query, target]
        found.append((int((others > bar).sum()), int((others == bar).sum())))
    return found


def pairs_of(found):
    return list(zip(found.num_better.tolist(), found.num_tied.tolist(), strict=True))


def exact_ranks(vectors, asked):
    steps = whole_numbers(vectors)
    return by_counting(steps @ steps.T, asked)


def test_ranks_by_cosine_are_those_of_whole_numbers():
    vectors, asked = crowd(), some_cases(240, 500)
    found = CosineSearch(Pool.of(vectors), "cpu").rank(asked)
    assert pairs_of(found) == exact_ranks(vectors, asked)


@pytest.mark.parametrize("block", [(1, 1), (7, 3), (500, 1), (1, 500)])
@pytest.mark.parametrize("open_share", [0, 1 / 128, 1])
def test_ranks_do_not_depend_on_how_the_work_is_cut_up(monkeypatch, block, open_share):
    vectors, asked = crowd(), some_cases(240, 60)
    monkeypatch.setitem(search.BLOCKS, "cpu", block)
    monkeypatch.setitem(search.PAIR_VALUES, "cpu", 30)
    monkeypatch.setattr(search, "OPEN_SHARE", open_share)
    found = CosineSearch(Pool.of(vectors), "cpu").rank(asked)
    assert pairs_of(found) == exact_ranks(vectors, asked)


def in_pieces(pool):
    """The same pool, its rows not held."""
    return Pool(rows_made(pool.rows, lambda rows: rows, most_bytes=0), pool.row_of)


@pytest.mark.parametrize("rows_at_once", [1, 7, 239, 1000])
def test_rows_that_are_not_held_get_the_same_ranks_and_scores(monkeypatch, rows_at_once):
    vectors, asked = crowd(), some_cases(240, 500)
    codes = np.random.default_rng(5).integers(0, 3, (240, 3)).astype(np.int32)
    decoder = np.random.default_rng(6).standard_normal((3, 12)).astype(np.float32)
    decoded = Pool.of(codes).through(lambda rows: rows @ decoder)
    every_item = Pool(rows_made(vectors, lambda rows: rows, most_bytes=0), np.arange(240))
    held = [(CosineSearch, Pool.of(vectors)), (CosineSearch, decoded)]
    held.append((EqualCodesSearch, Pool.of(codes)))
    expected = [make(pool, "cpu") for make, pool in held]
    monkeypatch.setattr(search, "ROWS_AT_ONCE", rows_at_once)
    monkeypatch.setattr(search, "HELD_BYTES", {"cpu": 0})
    found = [make(in_pieces(pool), "cpu") for make, pool in held]
    found.append(CosineSearch(every_item, "cpu"))
    for one, other in zip(found, [*expected, expected[0]], strict=True):
        assert not isinstance(one.rows, np.ndarray)
        assert pairs_of(one.rank(asked)) == pairs_of(other.rank(asked))
        assert one.scores(asked).tolist() == other.scores(asked).tolist()


def test_a_decoder_that_rounds_by_its_batch_still_ties_a_target_with_itself(monkeypatch):
    vectors, asked = crowd(), some_cases(240, 500)

    def by_batch(rows):
        return rows + np.float32(1e-3) * len(rows)  # the last piece is shorter, and another one

    monkeypatch.setattr(search, "ROWS_AT_ONCE", 50)
    pool = Pool(rows_made(vectors, by_batch, most_bytes=0), np.arange(240))
    monkeypatch.setattr(search, "HELD_BYTES", {"cpu": 0})
    found = CosineSearch(pool, "cpu").rank(asked)
    pieces = np.concatenate([by_batch(vectors[at : at + 50]) for at in range(0, 240, 50)])
    assert pairs_of(found) == exact_ranks(pieces, asked)


@pytest.mark.parametrize("open_share", [0, 1])
def test_products_that_round_in_another_way_give_the_same_ranks(monkeypatch, open_share):
    class Rounding(CosineSearch):
        def block(self, queries_UD, rows_CD, out_UC):
            super().block(queries_UD, rows_CD, out_UC)
            out_UC += 0.9 * self.error * (2 * torch.rand(out_UC.shape) - 1)

    vectors, asked = crowd(), some_cases(240, 500)
    monkeypatch.setattr(search, "OPEN_SHARE", open_share)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        found = Rounding(Pool.of(vectors), "cpu").rank(asked)
    assert pairs_of(found) == exact_ranks(vectors, asked)


@pytest.mark.parametrize("size", [1, 2, 5, 64, 700])
def test_a_product_lies_within_the_error_it_states(size):
    vectors = np.random.default_rng(size).standard_normal((50, size)).astype(np.float32)
    made = CosineSearch(Pool.of(vectors), "cpu")
    rows_GD = torch.from_numpy(made.rows[:])
    scores_GG = torch.empty(len(rows_GD), len(rows_GD))
    made.block(rows_GD, rows_GD, scores_GG)
    exact_GG = made.exact_block(rows_GD, rows_GD)
    assert (scores_GG - exact_GG).abs().max() < made.error


def test_exact_scores_are_exact_in_whatever_order_they_are_summed():
    vectors = np.random.default_rng(3).standard_normal((40, 300)).astype(np.float32)
    made = CosineSearch(Pool(vectors, np.arange(40)), "cpu")
    steps = whole_numbers(vectors)
    wanted = (steps @ steps.T).astype(np.float64) / 2.0**48
    rows_GD = torch.from_numpy(made.rows[:])
    assert (made.exact_block(rows_GD, rows_GD).numpy() == wanted).all()
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    assert (made.exact_block(rows_GD[:, order], rows_GD[:, order]).numpy() == wanted).all()
    assert (made.exact_pairs(rows_GD[:-1], rows_GD[1:]).numpy() == np.diag(wanted, 1)).all()


def test_both_ways_to_compare_say_the_same():
    generator = torch.Generator().manual_seed(4)
    for dtype, places in ((torch.float32, True), (torch.float32, False), (torch.float64, False)):
        scores_UC = torch.randint(-9, 9, (6, 50), generator=generator).to(dtype) / 8
        query_of, bars = np.array([0, 0, 1, 3, 5, 5, 2]), np.arange(-3, 4) / 8
        multiplicity = np.random.default_rng(5).integers(1, 4, 50)
        asked = (scores_UC, query_of, bars - 0.125, bars + 0.125, multiplicity, places)
        rows, at_once = comparing.compare_by_rows(*asked), comparing.compare_at_once(*asked)
        for field in ("num_above", "num_between", "cases", "rows"):
            one, other = getattr(rows, field), getattr(at_once, field)
            assert one.tolist() == other.tolist()
        above = scores_UC.numpy()[query_of] > bars[:, None] + 0.125
        assert rows.num_above.tolist() == (above @ multiplicity).tolist()
        assert (len(rows.rows) > 0) is places


@pytest.mark.gpu
def test_a_device_gives_the_ranks_of_the_processor():
    if not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device")
    vectors, asked = crowd(3000, 96), some_cases(3000, 20_000)
    codes = np.random.default_rng(6).integers(0, 5, (3000, 4)).astype(np.int32)
    for make, values in ((CosineSearch, vectors), (EqualCodesSearch, codes)):
        here, there = (make(Pool.of(values), device) for device in ("cpu", "cuda"))
        assert pairs_of(here.rank(asked)) == pairs_of(there.rank(asked))
        assert here.scores(asked).tolist() == there.scores(asked).tolist()


@pytest.mark.parametrize("block", [(512, 16384), (7, 3)])
def test_equal_codes_are_counted_with_the_items_that_share_them(monkeypatch, block):
    monkeypatch.setitem(search.BLOCKS, "cpu", block)
    codes = np.random.default_rng(7).integers(0, 3, (200, 4)).astype(np.int32)
    asked = some_cases(200, 100)
    found = EqualCodesSearch(Pool.of(codes), "cpu").rank(asked)
    assert pairs_of(found) == by_counting((codes[:, None] == codes).sum(axis=2), asked)


def test_one_direction_is_one_score_whatever_the_length():
    vectors = np.random.default_rng(8).standard_normal((30, 7)).astype(np.float32)
    vectors[10:20], vectors[20:] = 4 * vectors[:10], vectors[:10] / 1024
    asked = Cases(np.array([0, 5], dtype=np.int32), np.array([10, 25], dtype=np.int32))
    found = CosineSearch(Pool.of(vectors), "cpu").rank(asked)
    assert pairs_of(found) == [(0, 1), (0, 1)]  # its two copies lead, and tie


def test_a_zero_vector_is_as_near_to_all():
    vectors = crowd()
    zero = int(np.flatnonzero(~vectors.any(axis=1))[0])
    asked = Cases(np.array([zero], dtype=np.int32), np.array([zero ^ 1], dtype=np.int32))
    assert pairs_of(CosineSearch(Pool.of(vectors), "cpu").rank(asked)) == [(0, 238)]


def test_directions_are_of_unit_length_on_their_grid_and_zero_stays():
    vectors = crowd(300, 40)
    unit = directions(vectors)
    norms = np.linalg.norm(unit.astype(np.float64), axis=1)
    assert norms[vectors.any(axis=1)] == pytest.approx(1, abs=1e-6)
    assert not norms[~vectors.any(axis=1)].any()
    assert (unit * np.float32(2**24) % 1 == 0).all()


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_directions_neither_overflow_nor_vanish(scale):
    vectors = np.random.default_rng(9).standard_normal((5, 8)).astype(np.float32)
    assert directions(vectors * np.float32(scale)) == pytest.approx(directions(vectors), abs=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_vectors_that_are_not_finite_are_refused(bad):
    vectors = np.ones((4, 3), dtype=np.float32)
    vectors[2, 1] = bad
    with pytest.raises(BadInput, match="finite"):
        CosineSearch(Pool.of(vectors), "cpu")


@pytest.mark.parametrize("device", ["gpu", "cudo:1", "mps"])
def test_a_device_without_meaning_is_refused(device):
    with pytest.raises(BadInput, match="cuda:N"):
        CosineSearch(Pool.of(np.eye(3, dtype=np.float32)), device)


def office_cases(office):
    """From the event before the last one of each user, find the last."""
    events = pl.read_parquet(office / "interactions.parquet")
    rows = pl.read_parquet(office / "items.parquet", columns=["item_id"]).with_row_index("row")
    events = events.join(rows, on="item_id", maintain_order="left")
    users = events["user_id"].rank("dense").to_numpy().astype(np.int64)
    positions = events["position"].to_numpy().astype(np.int64)
    ends = np.zeros(users.max() + 1, dtype=np.int64)
    np.maximum.at(ends, users, positions)
    return held_out_cases(
        users, positions, events["row"].to_numpy().astype(np.int64), positions == ends[users]
    )


def test_real_vectors_are_ranked_as_by_whole_numbers(office):
    vectors = np.load(office / "minilm_l6_v2.npy").astype(np.float32)
    asked = office_cases(office)
    found = CosineSearch(Pool.of(vectors), "cpu").rank(asked)
    steps = directions(vectors).astype(np.float64)  # float64 holds these products exactly
    assert pairs_of(found) == by_counting(steps @ steps.T, asked)


def test_faiss_finds_the_targets_where_the_ranks_say(office):
    vectors = directions(np.load(office / "minilm_l6_v2.npy").astype(np.float32))
    asked = office_cases(office)
    found = CosineSearch(Pool.of(vectors), "cpu").rank(asked)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    scores, neighbours = index.search(vectors[asked.queries], 201)
    seen = 0
    for case, (query, target) in enumerate(zip(asked.queries, asked.targets, strict=True)):
        place = np.flatnonzero(neighbours[case] == target)
        if len(place) == 0:
            continue
        seen += 1
        others = scores[case][(neighbours[case] != target) & (neighbours[case] != query)]
        bar = scores[case, place[0]]
        # What faiss rounds to within 1e-6 of the target may come before it or after.
        assert (others > bar + 1e-6).sum() <= found.num_better[case] <= (others > bar - 1e-6).sum()
    assert seen > 500
    sure = found.num_better + found.num_tied < 150
    assert all(
        target in row for target, row in zip(asked.targets[sure], neighbours[sure], strict=True)
    )
